//! What stands in for an exec where a process goes on as the next link: see `image`.

use std::arch::asm;
use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::checked;

unsafe extern "C" {
    #[link_name = "program_invocation_name"]
    static FIRST_ARGUMENT: *mut libc::c_char;
}

/// Does what an exec does to this process besides loading a program: it can be traced (and its files in
/// /proc are its user's) whatever has happened to its ids, and ps(1) shows `words`, where there is room
/// for them.
pub fn seem_executed(words: &[OsString]) -> io::Result<()> {
    // SAFETY: this prctl takes an integer.
    checked(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }.into())?;
    let name: Vec<u8> = words.iter().take(1).flat_map(|word| word.as_bytes()).copied().collect();
    let name = CString::new(name)?;
    // SAFETY: this one takes a C string.
    checked(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }.into())?;
    let line: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
    /// How many bytes the arguments had, and 0 before that is known.
    static ROOM: AtomicUsize = AtomicUsize::new(0);
    if ROOM.load(Ordering::Relaxed) == 0 {
        ROOM.store(std::env::args_os().map(|word| word.len() + 1).sum(), Ordering::Relaxed);
    }
    let room = ROOM.load(Ordering::Relaxed);
    if line.len() <= room {
        // SAFETY: the kernel put the arguments there, one behind the other, `room` bytes in all;
        // it is this process's memory to write to. Whoever reads the arguments there again
        // (`std::env::args_os`) finds other words, each still ended by a NUL.
        unsafe {
            let memory = FIRST_ARGUMENT.cast::<u8>();
            memory.copy_from(line.as_ptr(), line.len());
            memory.add(line.len()).write_bytes(0, room - line.len());
        }
    }
    Ok(())
}

/// Where the stack is begun anew; 0: nowhere.
static TOP: AtomicUsize = AtomicUsize::new(0);

/// More than the 128 bytes that x86_64's ABI grants a function below its stack pointer.
const BELOW_STACK: usize = 256;

/// Calls `main`, and has [`begin_stack_anew`] begin below the caller.
#[inline(always)]
pub fn mark_stack(main: fn() -> !) -> ! {
    TOP.store((super::spawn::stack_pointer() - BELOW_STACK) & !15, Ordering::Relaxed);
    main()
}

/// Calls `run` with `data` on a stack on which nothing lies but what lay there when it was marked: what came since
/// is of links that are over. Values there are forgotten, not dropped.
pub fn begin_stack_anew<T>(data: Box<T>, run: fn(T) -> !) -> ! {
    struct Call<T>(Box<T>, fn(T) -> !);
    unsafe extern "C" fn enter<T>(call: *mut u8) -> ! {
        // SAFETY: it is the box that was taken apart below, and nobody else's.
        let Call(data, run) = *unsafe { Box::from_raw(call.cast::<Call<T>>()) };
        run(*data)
    }
    let top = TOP.load(Ordering::Relaxed);
    let call = Box::into_raw(Box::new(Call(data, run))).cast::<u8>();
    let enter: unsafe extern "C" fn(*mut u8) -> ! = enter::<T>;
    if top == 0 {
        // SAFETY: `enter` gets the box that it takes over.
        unsafe { enter(call) }
    }
    // Not in any register that the compiler likes: it may like the frame pointer, which is cleared.
    // SAFETY: what lies below `top` belongs to functions that are never returned to, this one among
    // them: `run` doesn't return. What outlives them is in the box.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "mov rsp, rdx",
            "xor ebp, ebp",
            "call rsi",
            "ud2",
            in("rdx") top,
            in("rsi") enter,
            in("rdi") call,
            options(noreturn),
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "mov sp, x2",
            "mov x29, xzr",
            "blr x1",
            "brk 1",
            in("x2") top,
            in("x1") enter,
            in("x0") call,
            options(noreturn),
        );
    }
}

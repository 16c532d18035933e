//! A child that shares this process's memory until it executes another program, as vfork(2)'s does.
//!
//! fork(2) copies the page tables, and later each page that one of the two writes to: with a tool
//! that goes on to its exec at once, that takes longer than all else between the two calls.

use std::arch::asm;
use std::convert::Infallible;
use std::io;
use std::mem::{ManuallyDrop, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::process::CLONE_INTO_CGROUP;
use super::signal::{pending_signals, set_ignored};

/// Whether the code that runs is such a child's: in its parent nothing asks while this is set.
static SHARES_MEMORY: AtomicBool = AtomicBool::new(false);
/// Signals that the child has left to its parent, bit n-1 being signal n.
static HELD: AtomicU64 = AtomicU64::new(0);

/// What is left below the stack pointer to the function that calls the kernel: more than the 128
/// bytes that x86_64's ABI grants a function there.
const BELOW_STACK: usize = 1024;

/// A child that [`spawn`] has started.
#[derive(Debug)]
pub struct Spawned {
    /// Its id in this process's PID namespace.
    pub pid: i32,
    /// The child, whatever happens to its id; close-on-exec.
    pub pidfd: OwnedFd,
    /// The signals that would have stopped it before its exec, bit n-1 being signal n: it hasn't got
    /// them.
    pub held: u64,
}

/// Starts a child, in new namespaces (`CLONE_NEW*` in `flags`) and in `cgroup`, that runs `child`. All
/// signals are blocked in both.
///
/// With `share` it does so with this process's memory, on its stack. This process stands still until the
/// child has executed another program or has ended (CLONE_VM and CLONE_VFORK of clone(2)). CLONE_NEWTIME
/// is about memory, and can't go with that.
///
/// Linux before 6.2 lets no child share memory with a parent whose children are born into another
/// time namespace (`unshare --time` before a link of ours): the child gets a copy there, and this
/// process doesn't wait for it.
///
/// Descriptors are copied as by fork(2): those that `child` owns stay open in this process, where
/// nobody owns them.
pub fn spawn(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    share: bool,
    child: impl FnOnce() -> Infallible,
) -> io::Result<Spawned> {
    let mut child = ManuallyDrop::new(child);
    let entry = entry(&mut child);
    let sharing = if share { (libc::CLONE_VM | libc::CLONE_VFORK) as u64 } else { 0 };
    HELD.store(0, Ordering::Relaxed);
    SHARES_MEMORY.store(share, Ordering::Relaxed);
    let mut spawned = clone(sharing | flags, cgroup, entry);
    SHARES_MEMORY.store(false, Ordering::Relaxed);
    if share && matches!(&spawned, Err(error) if error.raw_os_error() == Some(libc::EINVAL)) {
        spawned = clone(flags, cgroup, entry);
    }
    match spawned {
        Ok((pid, pidfd)) => Ok(Spawned { pid, pidfd, held: HELD.swap(0, Ordering::Relaxed) }),
        Err(error) => {
            drop(ManuallyDrop::into_inner(child));
            Err(error)
        }
    }
}

/// One attempt at the child of [`spawn`]. Inlined, so that the stack in use is that of `spawn`.
#[inline(always)]
fn clone(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    (enter, data): (Enter, *mut u8),
) -> io::Result<(i32, OwnedFd)> {
    let mut pidfd: RawFd = -1;
    let flags = flags | libc::CLONE_PIDFD as u64;
    let stack = (stack_pointer() - BELOW_STACK) & !15;
    // In clone(2)'s word of flags CLONE_NEWTIME would be part of a signal's number.
    let has_room = flags & libc::CLONE_NEWTIME as u64 == 0;
    let result = match cgroup {
        None if has_room => {
            let flags = flags as usize | libc::SIGCHLD as usize;
            let arguments = [flags, stack, (&raw mut pidfd) as usize, 0, 0];
            // SAFETY: `enter` gets what it was made for, and takes it over, in the child. That one
            // runs while this process stands still, and leaves alone what is above `stack`; or it
            // has a copy of all that.
            unsafe { clone_at(libc::SYS_clone, arguments, enter, data) }
        }
        _ => {
            // SAFETY: an all-zero clone_args is valid.
            let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
            args.flags = flags;
            args.pidfd = (&raw mut pidfd) as u64;
            args.exit_signal = libc::SIGCHLD as u64;
            // The kernel asks for the lower end and the size.
            args.stack = (stack - BELOW_STACK) as u64;
            args.stack_size = BELOW_STACK as u64;
            if let Some(cgroup) = cgroup {
                args.flags |= CLONE_INTO_CGROUP;
                args.cgroup = cgroup.as_raw_fd() as u64;
            }
            let arguments = [(&raw mut args) as usize, size_of::<libc::clone_args>(), 0, 0, 0];
            // SAFETY: as above.
            unsafe { clone_at(libc::SYS_clone3, arguments, enter, data) }
        }
    };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result as i32));
    }
    // SAFETY: the kernel stored a new descriptor there, in the parent only.
    Ok((result as i32, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

/// To be called before the signal mask is opened: in a child that shares its parent's memory no
/// signal may stop it before its exec, since its parent stands still and could not tell. What
/// would is taken back, and left to the parent.
pub fn hold_stops() -> io::Result<()> {
    if !SHARES_MEMORY.load(Ordering::Relaxed) {
        return Ok(());
    }
    let pending = pending_signals()?;
    for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
        let bit = 1 << (signal - 1);
        if pending & bit != 0 && !super::signal::is_ignored(signal) {
            // Ignoring a signal discards it if it is pending (sigaction(2)).
            set_ignored(signal, true)?;
            set_ignored(signal, false)?;
            HELD.fetch_or(bit, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Whether this is such a child, before its exec.
pub fn shares_memory() -> bool {
    SHARES_MEMORY.load(Ordering::Relaxed)
}

type Enter = unsafe extern "C" fn(*mut u8) -> !;

/// A function for C's calling convention that takes over `child` and runs it.
fn entry<F: FnOnce() -> Infallible>(child: &mut ManuallyDrop<F>) -> (Enter, *mut u8) {
    unsafe extern "C" fn enter<F: FnOnce() -> Infallible>(child: *mut u8) -> ! {
        // SAFETY: it points to an F that nobody else takes: see `spawn`.
        let child = unsafe { child.cast::<F>().read() };
        match child() {}
    }
    (enter::<F>, (child as *mut ManuallyDrop<F>).cast())
}

#[inline(always)]
pub(super) fn stack_pointer() -> usize {
    let pointer: usize;
    // SAFETY: it copies a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// Makes a system call of the clone family that gives the child another stack, on which the child
/// calls `enter`. Returns the kernel's answer, in the parent only.
///
/// # Safety
///
/// The child must be able to call `enter` with `data`, and that not to return.
#[inline(always)]
unsafe fn clone_at(
    number: libc::c_long,
    arguments: [usize; 5],
    enter: Enter,
    data: *mut u8,
) -> isize {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the caller's promise. The child has a copy of the registers, the two pointers among
    // them; it doesn't come back here.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            in("r12") data,
            in("r13") enter,
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            out("rcx") _, out("r11") _,
        );
        #[cfg(target_arch = "aarch64")]
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x10",
            "blr x9",
            "brk 1",
            "2:",
            in("x10") data,
            in("x9") enter,
            in("x8") number,
            inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e,
        );
    }
    result
}

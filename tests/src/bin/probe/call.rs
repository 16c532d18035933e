//! Asking for a system call without its being made: what does a filter say of it?

use std::io;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// A sixth argument that no tried call has.
const REAL: libc::c_ulong = 0x600d_cafe;
/// The bit that marks the numbers of x32.
const X32: libc::c_long = 0x4000_0000;

/// How a call enters the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// As this machine does.
    Native,
    /// With x32's numbers.
    X32,
    /// As 32-bit programs do.
    I386,
}

impl Entry {
    /// By its name.
    pub fn named(name: &str) -> Option<Entry> {
        match name {
            "native" => Some(Entry::Native),
            "x32" => Some(Entry::X32),
            "i386" => Some(Entry::I386),
            _ => None,
        }
    }
}

/// A word for each number up to `last`: the errno, or the signal that ended the process. A call
/// that all filters let through gives ENOSYS and is not made.
pub fn ask_all(entry: Entry, last: libc::c_long) -> Vec<String> {
    (0..=last).map(|number| ask(entry, number)).collect()
}

fn ask(entry: Entry, number: libc::c_long) -> String {
    // SAFETY: the probe never has a second thread, so no lock is held at the fork.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Child => {
            hold_back().expect("load a filter");
            let errno = match entry {
                Entry::Native => call(number),
                Entry::X32 => call(number | X32),
                Entry::I386 => call_32(number),
            };
            // SAFETY: exit_group never returns; the filter knows it by its sixth argument.
            unsafe { libc::syscall(libc::SYS_exit_group, errno, 0, 0, 0, 0, REAL) };
            unreachable!("the process has ended")
        }
        ForkResult::Parent { child } => match waitpid(child, None).expect("waitpid") {
            WaitStatus::Exited(_, errno) => errno.to_string(),
            WaitStatus::Signaled(_, signal, _) => signal.to_string(),
            other => format!("{other:?}"),
        },
    }
}

/// Loads a filter that holds every call back which the filters before it let through: asking a
/// tracer that isn't there gives ENOSYS, and yields to whatever a stricter filter says.
fn hold_back() -> io::Result<()> {
    let filter = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let low_half_of_the_sixth_argument = 16 + 8 * 5;
    let mut program = [
        filter(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, low_half_of_the_sixth_argument),
        filter(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, REAL as u32),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        filter(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_TRACE),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: the first takes integers; the second reads `program`, which lives through it.
    let result = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn call(number: libc::c_long) -> libc::c_int {
    // SAFETY: the filter loaded before lets no such call through.
    match unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or(255),
        _ => 0,
    }
}

#[cfg(target_arch = "x86_64")]
fn call_32(number: libc::c_long) -> libc::c_int {
    let result: i32;
    // SAFETY: the filter loaded before lets no such call through, so that no memory is touched;
    // int 0x80 may clear r8 to r11, and rbx, which may not be named, is put back.
    unsafe {
        std::arch::asm!(
            "push rbx",
            "xor ebx, ebx",
            "int 0x80",
            "pop rbx",
            inlateout("eax") number as i32 => result,
            in("ecx") 0, in("edx") 0, in("esi") 0, in("edi") 0,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    if result < 0 { -result } else { 0 }
}

#[cfg(not(target_arch = "x86_64"))]
fn call_32(_: libc::c_long) -> libc::c_int {
    255
}

//! Signals: masks, dispositions, sending and receiving, with all 64 numbers.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::checked;

pub(super) fn is_ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is a valid value, and a null new action only queries.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Ignores `signal`, or gives it its default disposition (sigaction(2)).
pub fn set_ignored(signal: i32, ignored: bool) -> io::Result<()> {
    let disposition = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: an all-zero sigaction with SIG_IGN or SIG_DFL is valid and names no handler.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = disposition;
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    checked(result.into()).map(drop)
}

/// Has `signal` interrupt system calls (EINTR) and nothing else.
pub fn interrupt_by(signal: i32) -> io::Result<()> {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: an all-zero sigaction is valid: no flags (SA_RESTART among them), an empty mask; the
    // handler does nothing, which is safe at any moment.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as libc::sighandler_t;
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    checked(result.into()).map(drop)
}

/// The calling thread's signal mask, all 64 bits (libc's wrapper hides signals 32 and 33).
pub fn signal_mask() -> io::Result<u64> {
    mask_call(None)
}

/// Sets the signal mask and returns the old one (rt_sigprocmask(2)).
pub fn set_signal_mask(mask: u64) -> io::Result<u64> {
    mask_call(Some(&mask))
}

fn mask_call(new: Option<&u64>) -> io::Result<u64> {
    let mut old = 0_u64;
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are null or valid for the eight bytes that the last argument names.
    checked(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, &mut old, size_of::<u64>())
    })?;
    Ok(old)
}

/// The signals that are pending for this thread or process, bit n-1 being signal n
/// (rt_sigpending(2)).
pub(super) fn pending_signals() -> io::Result<u64> {
    let mut pending = 0_u64;
    // SAFETY: `pending` has the eight bytes that the last argument names.
    checked(unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut pending, size_of::<u64>()) })?;
    Ok(pending)
}

/// A descriptor that reads as the blocked signals in `mask` arrive (signalfd(2)); close-on-exec,
/// non-blocking.
pub fn signalfd(mask: u64) -> io::Result<OwnedFd> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: `mask` lives through the call and has the eight bytes that the third argument names.
    let fd = checked(unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, size_of::<u64>(), flags)
    })?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// One signal as signalfd(2) reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    /// Its number.
    pub signal: i32,
    /// `si_code`: who sent it and how (sigaction(2)); `SI_KERNEL` for the terminal.
    pub code: i32,
    /// The sender as this process's PID namespace sees it, 0 if it lies outside.
    pub pid: u32,
    /// The value sent with sigqueue(3).
    pub value: u64,
}

/// The next pending signal, or `None` when there is no more.
pub fn read_signal(fd: BorrowedFd<'_>) -> io::Result<Option<SignalInfo>> {
    let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut buffer)) {
        Ok(length) if length == buffer.len() => {}
        Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(rustix::io::Errno::AGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // SAFETY: signalfd_siginfo is plain integers, every bit pattern of which is valid, and the
    // buffer has exactly its size; read_unaligned asks for no alignment.
    let info: libc::signalfd_siginfo = unsafe { std::ptr::read_unaligned(buffer.as_ptr().cast()) };
    Ok(Some(SignalInfo {
        signal: info.ssi_signo as i32,
        code: info.ssi_code,
        pid: info.ssi_pid,
        value: info.ssi_ptr,
    }))
}

/// The head of `siginfo_t` for a queued signal, laid out as the kernel reads it on 64-bit Linux.
#[repr(C)]
struct QueuedSignal {
    signal: i32,
    errno: i32,
    code: i32,
    pad: i32,
    pid: i32,
    uid: u32,
    value: u64,
    rest: [u8; 128 - 32],
}

/// Sends `signal` with the value that came with it, as sigqueue(3) would
/// (pidfd_send_signal(2), Linux 5.1).
pub fn queue_signal(pidfd: BorrowedFd<'_>, signal: i32, value: u64) -> io::Result<()> {
    // SAFETY: getpid and getuid can't fail and touch no memory.
    let (pid, uid) = unsafe { (libc::getpid(), libc::getuid()) };
    let info = QueuedSignal {
        signal,
        errno: 0,
        code: libc::SI_QUEUE,
        pad: 0,
        pid,
        uid,
        value,
        rest: [0; 128 - 32],
    };
    // SAFETY: `info` has the 128 bytes of a siginfo_t and lives through the call.
    checked(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, &raw const info, 0)
    })
    .map(drop)
}

/// Sends `signal` to the process `pidfd`, as kill(2) would (pidfd_send_signal(2), Linux 5.1).
pub fn send_signal_to(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<QueuedSignal>();
    // SAFETY: a null info is allowed, and means what kill(2) would fill in.
    checked(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0)
    })
    .map(drop)
}

/// Arranges that the kernel sends `signal` to process `pid` when something happens to pipe end
/// `fd` (F_SETOWN_EX, F_SETSIG and O_ASYNC of fcntl(2)): here, when its last writer is gone.
pub fn signal_on_event(fd: BorrowedFd<'_>, pid: i32, signal: i32) -> io::Result<()> {
    #[repr(C)]
    struct Owner {
        kind: i32,
        pid: i32,
    }
    const F_SETSIG: i32 = 10;
    const F_SETOWN_EX: i32 = 15;
    const F_OWNER_PID: i32 = 1;
    let owner = Owner { kind: F_OWNER_PID, pid };
    let fd = fd.as_raw_fd();
    // SAFETY: F_SETOWN_EX reads a struct f_owner_ex, which `Owner` mirrors, during the call; the
    // other two take integers.
    unsafe {
        checked(libc::fcntl(fd, F_SETOWN_EX, &raw const owner).into())?;
        checked(libc::fcntl(fd, F_SETSIG, signal).into())?;
        checked(libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC).into())?;
    }
    Ok(())
}

/// Sends `signal` to process `pid`, to group `-pid`, or to all with -1 (kill(2)).
pub fn send_signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers.
    checked(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

//! Descriptors whose numbers come from outside of the program.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use super::checked;

/// Takes over a descriptor whose number came with the environment or the command line.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer and changes nothing.
    checked(unsafe { libc::fcntl(fd, libc::F_GETFD) }.into())?;
    // SAFETY: it is open, and the caller names a descriptor that was handed to this process and
    // that no other value here owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives descriptor `fd` the number `number` and closes what was open there (dup2(2)); it survives
/// the next exec.
pub fn place(fd: OwnedFd, number: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == number {
        return set_close_on_exec(fd.into_raw_fd(), false);
    }
    // SAFETY: dup2 takes two numbers; the caller says that nothing here owns `number`.
    checked(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into()).map(drop)
}

/// Sets close-on-exec on descriptor `fd`, or clears it (fcntl(2)); EBADF if it isn't open.
pub fn set_close_on_exec(fd: RawFd, on: bool) -> io::Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes no pointer; it changes one flag of the descriptor.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) }.into()).map(drop)
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: CLOSE_RANGE_CLOEXEC closes nothing: it sets a flag.
    checked(unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
    .map(drop)
}

/// Closes the descriptors from `first` on that are below `end` (close_range(2), Linux 5.9). Who owned one
/// must not use or drop it any more.
pub fn close_range(first: RawFd, end: RawFd) -> io::Result<()> {
    if end <= first {
        return Ok(());
    }
    // SAFETY: it takes numbers; the caller says that nobody uses the descriptors any more.
    checked(unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) }).map(drop)
}

/// Borrows a descriptor whose number came with the environment or the command line; `None` if it
/// is not open. For looking at it, not for keeping it.
pub fn borrow(fd: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: F_GETFD takes no pointer and changes nothing.
    let open = fd >= 0 && unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1;
    // SAFETY: it is open and not -1; descriptors that others handed to this process are closed
    // by nobody here before the exec.
    open.then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

//! The system calls that neither std nor nix has.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A descriptor that stands for the process `pid`, and becomes readable when it ends.
pub fn pidfd_open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = RawFd::try_from(fd).expect("a descriptor is an int");
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Kills the process that `process`, a pidfd, stands for; it may be dead already.
pub fn kill(process: BorrowedFd) {
    let (fd, no_info) = (process.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: takes integers, and a null pointer where no siginfo is given.
    unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, no_info, 0);
    }
}

/// Runs `birth` in the child, between fork and exec.
///
/// Other threads of the test runner may hold locks at the fork: `birth` makes system calls only
/// and allocates nothing.
pub fn in_the_child<F>(command: &mut Command, birth: F)
where
    F: FnMut() -> io::Result<()> + Send + Sync + 'static,
{
    // SAFETY: the only caller is `birth::Birth`, whose `happen` makes bare system calls on data
    // prepared before the fork.
    unsafe {
        command.pre_exec(birth);
    }
}

/// Marks all descriptors from `first` on close-on-exec.
pub fn close_from_on_exec(first: u32) -> io::Result<()> {
    let flags = libc::CLOSE_RANGE_CLOEXEC;
    // SAFETY: with CLOEXEC nothing is closed; the descriptors' owners do not notice.
    match unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, flags) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// A copy of `fd`, out of the way of the low numbers that tests give to their chains.
pub fn duplicate_high(fd: BorrowedFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer and returns a new descriptor or -1.
    match unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 500) } {
        -1 => Err(io::Error::last_os_error()),
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        number => Ok(unsafe { OwnedFd::from_raw_fd(number) }),
    }
}

/// Puts `fd` at the number `number`, to be inherited by the program that is executed next.
pub fn put_at(fd: BorrowedFd, number: RawFd) -> io::Result<()> {
    // SAFETY: only called in the child before its exec, where nothing that owns a descriptor
    // is ever dropped.
    match unsafe { libc::dup2(fd.as_raw_fd(), number) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Closes the number `number`.
pub fn close(number: RawFd) {
    // SAFETY: as in `put_at`.
    unsafe {
        libc::close(number);
    }
}

/// Gives every signal its default action, but for those of which the kernel or the C library says no.
pub fn forget_ignored_signals() {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL installs no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// What happens to `signal` from here on is nothing.
pub fn ignore(signal: i32) -> io::Result<()> {
    // SAFETY: SIG_IGN installs no handler, so no code of ours can run in a signal's context.
    match unsafe { libc::signal(signal, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes the terminal on descriptor 0 the controlling one.
pub fn control_terminal() -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    match unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Has the kernel say with each datagram who sent it.
pub fn pass_credentials(socket: &UnixDatagram) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    // SAFETY: SO_PASSCRED reads an int of the length given.
    let result = unsafe {
        let value = (&raw const on).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PASSCRED, value, length)
    };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A datagram, who sent it, and the descriptors that came with it.
pub type Datagram = (Vec<u8>, i32, Vec<OwnedFd>);

/// Waits for the next datagram; an empty one too when the socket was shut down.
pub fn receive(socket: &UnixDatagram) -> io::Result<Datagram> {
    let mut bytes = vec![0_u8; 65536];
    // Of u64, to be aligned as cmsghdr; with room for credentials and all descriptors that fit in.
    let mut control = [0_u64; 256];
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let (mut sender, mut descriptors) = (0, Vec::new());
    // SAFETY: all zeroes is a valid msghdr. The buffers that it is given outlive the call, with their
    // own lengths. What CMSG_FIRSTHDR and CMSG_NXTHDR give lies within `control`, and is only read
    // as what the kernel has marked it as; the descriptors are new ones and nobody else has them.
    unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&control);
        let length = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
        bytes.truncate(usize::try_from(length).map_err(|_| io::Error::last_os_error())?);
        let mut next = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(header) = next.as_ref() {
            let data = libc::CMSG_DATA(header);
            if header.cmsg_type == libc::SCM_CREDENTIALS {
                sender = data.cast::<libc::ucred>().read_unaligned().pid;
            } else if header.cmsg_type == libc::SCM_RIGHTS {
                let length = header.cmsg_len - data.offset_from_unsigned(next.cast());
                for index in 0..length / size_of::<RawFd>() {
                    let fd = data.cast::<RawFd>().add(index).read_unaligned();
                    descriptors.push(OwnedFd::from_raw_fd(fd));
                }
            }
            next = libc::CMSG_NXTHDR(&raw const message, next);
        }
    }
    Ok((bytes, sender, descriptors))
}

/// Has `last` called when the process exits.
pub fn at_exit(last: extern "C" fn()) {
    // SAFETY: `last` is a plain function that lives as long as the program.
    unsafe {
        libc::atexit(last);
    }
}

/// Sets the size of the terminal that `fd` is, or is the other side of.
pub fn set_window_size(fd: &impl AsRawFd, size: &libc::winsize) -> io::Result<()> {
    // SAFETY: TIOCSWINSZ reads a struct winsize during the call.
    match unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, std::ptr::from_ref(size)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

//! Datagrams with descriptors and credentials, and without.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// SO_PASSRIGHTS of asm-generic/socket.h (Linux 6.16).
const SO_PASSRIGHTS: libc::c_int = 83;

/// Has the kernel refuse descriptors that are sent to `socket`: the sender gets EPERM. ENOPROTOOPT
/// before Linux 6.16.
pub fn refuse_descriptors(socket: BorrowedFd<'_>) -> io::Result<()> {
    let no: libc::c_int = 0;
    let length = size_of_val(&no) as libc::socklen_t;
    let value = (&raw const no).cast();
    // SAFETY: the kernel reads one int from `no`, which outlives the call.
    let done = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_PASSRIGHTS, value, length)
    };
    checked(done.into()).map(drop)
}

/// What recvmsg(2) says of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of the buffer it has filled.
    pub length: usize,
    /// How many bytes of ancillary data it has filled (cmsg(3)).
    pub control: usize,
    /// The datagram, or its ancillary data, did not fit.
    pub is_cut: bool,
}

/// Receives a datagram without waiting; descriptors that come with it are close-on-exec and belong
/// to the caller. (`rustix` takes a sender's process id for one that can't be 0, and `nix` hides
/// the descriptors of a message that did not fit.)
pub fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    control: &mut [u64],
) -> io::Result<Datagram> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: an all-zero msghdr is valid: no address, no buffers.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // The C libraries differ in this type's layout; the kernel knows one.
    // SAFETY: the buffers that `message` names are exclusively borrowed with those lengths.
    let length = checked(unsafe {
        libc::syscall(libc::SYS_recvmsg, socket.as_raw_fd(), &raw mut message, flags)
    })?;
    Ok(Datagram {
        length: length as usize,
        control: message.msg_controllen as usize,
        is_cut: message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
    })
}

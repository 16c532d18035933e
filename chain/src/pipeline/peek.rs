//! Looking at what is in a pipe without taking it out (tee(2)).

use std::io;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, tee};

use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What a look at the pipe showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The bytes at its beginning, as many as were asked for or are there.
    pub bytes: Vec<u8>,
    /// Nobody can write to it any more.
    pub ended: bool,
}

/// The first `most` bytes that are in `pipe` now.
pub fn peek(pipe: BorrowedFd<'_>, most: usize) -> io::Result<Seen> {
    let mut poll_fds = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::io::retry_on_intr(|| poll(&mut poll_fds, Some(&now)))?;
    let found = poll_fds[0].revents();
    let bytes = if found.contains(PollFlags::IN) { copy(pipe, most)? } else { Vec::new() };
    Ok(Seen { bytes, ended: found.contains(PollFlags::HUP) })
}

fn copy(pipe: BorrowedFd<'_>, most: usize) -> io::Result<Vec<u8>> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // As many slots as the other may have, so that all of it fits. The limit for an ordinary
    // user may forbid that; then the beginning has to do.
    let _ = fcntl_setpipe_size(&write, most.max(4096));
    let length = match tee(pipe, &write, most, SpliceFlags::NONBLOCK) {
        Ok(length) => length,
        Err(rustix::io::Errno::AGAIN) => 0,
        Err(errno) => return Err(errno.into()),
    };
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        filled += rustix::io::retry_on_intr(|| rustix::io::read(&read, &mut bytes[filled..]))?;
    }
    Ok(bytes)
}

/// Waits until there is something in `pipe` or nobody can write to it, at most for `patience`.
pub fn wait(pipe: BorrowedFd<'_>, patience: Duration) -> io::Result<()> {
    let mut poll_fds = [PollFd::from_borrowed_fd(pipe, PollFlags::IN)];
    let patience =
        Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    match poll(&mut poll_fds, Some(&patience)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

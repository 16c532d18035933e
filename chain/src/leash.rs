//! What makes a child die with its monitor, even if that is ended by SIGKILL.
//!
//! Two mechanisms of the kernel cover each other's gaps, and no process is spent on it:
//!
//! - the parent-death signal (PR_SET_PDEATHSIG(2const)) reaches PID 1 of a PID namespace too, but a
//!   change of credentials clears it; our own tools set it again with [`rearm`];
//! - a pipe whose only write end the monitor holds, and whose read end has the child as its
//!   owner for asynchronous I/O (F_SETOWN_EX, F_SETSIG of fcntl(2)): when the monitor is gone,
//!   the kernel signals the child, whatever became of its credentials. It asks for no more
//!   permission than kill(2) by the monitor would; PID 1 of a PID namespace ignores it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, fcntl};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Error, Result, ResultExt};
use crate::signal::Signal;
use crate::status::Status;
use crate::sys;

/// The monitor's end.
#[derive(Debug)]
pub struct Leash {
    write: OwnedFd,
    read: OwnedFd,
    /// The kernel closes the descriptors of a dying process in an order that it does not promise;
    /// with one copy of the read end below the write end and one above, a read end outlives the
    /// write end in either.
    read_above: OwnedFd,
}

impl Leash {
    /// Makes the pipe, before the fork.
    pub fn new() -> Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).or_fail("can't make a pipe")?;
        let above = fcntl(&read, FcntlArg::F_DUPFD_CLOEXEC(write.as_raw_fd() + 1))
            .or_fail("can't duplicate a descriptor")?;
        let read_above = sys::adopt(above).or_fail("can't duplicate a descriptor")?;
        Ok(Leash { write, read, read_above })
    }

    /// In the monitor: ties process `pid` to it.
    pub fn tie(&self, pid: i32, signal: Signal) -> Result<()> {
        sys::signal_on_event(self.read.as_fd(), pid, signal.number())
            .or_fail("can't tie the child to its monitor")
    }

    /// In the child: keeps what it needs to know whether its monitor is still there.
    pub fn into_child(self, signal: Signal) -> Result<OwnedFd> {
        let Leash { write, read, read_above } = self;
        drop((write, read_above));
        arm(signal, read.as_fd())?;
        Ok(read)
    }
}

impl Leash {
    /// In a child that shares this memory with the monitor, whose value this stays: as
    /// [`Leash::into_child`], and ties the child itself.
    pub fn for_child(&self, signal: Signal) -> Result<OwnedFd> {
        let what = "can't take over the leash";
        let own = |fd: &OwnedFd| sys::adopt(fd.as_raw_fd()).or_fail(what);
        drop((own(&self.write)?, own(&self.read_above)?));
        self.tie(std::process::id() as i32, signal)?;
        let read = own(&self.read)?;
        arm(signal, read.as_fd())?;
        Ok(read)
    }
}

/// In a process that is to die with the monitor: its child, or one that its child gave birth to in its
/// place (CLONE_PARENT). If the monitor is gone already, this process ends as it would have a moment
/// later: without a word.
pub(crate) fn arm(signal: Signal, leash: BorrowedFd<'_>) -> Result<()> {
    let what = "can't arrange to die with the monitor";
    let number = nix::sys::signal::Signal::try_from(signal.number()).or_fail(what)?;
    nix::sys::prctl::set_pdeathsig(number).or_fail(what)?;
    // The monitor may have died before the line above took effect.
    let mut poll_fds = [PollFd::new(&leash, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    rustix::io::retry_on_intr(|| poll(&mut poll_fds, Some(&now))).or_fail(what)?;
    if poll_fds[0].revents().contains(PollFlags::HUP) {
        Status::Signaled(signal).mirror();
    }
    Ok(())
}

/// Runs `change`, which changes credentials, and sets the parent-death signal again if it was set:
/// commit_creds() in the kernel clears it.
pub fn rearm<T>(leash: Option<BorrowedFd<'_>>, change: impl FnOnce() -> Result<T>) -> Result<T> {
    let what = "can't read the parent-death signal";
    let signal = nix::sys::prctl::get_pdeathsig().or_fail(what)?;
    let done = change()?;
    if let Some(signal) = signal {
        let signal = Signal::from_number(signal as i32).ok_or_else(|| Error::new(what))?;
        match leash {
            Some(leash) => arm(signal, leash)?,
            None => nix::sys::prctl::set_pdeathsig(
                nix::sys::signal::Signal::try_from(signal.number()).or_fail(what)?,
            )
            .or_fail(what)?,
        }
    }
    Ok(done)
}

//! The controlling terminal of a foreground job: lent to the app's process group, taken back at
//! the end.

use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

use crate::error::{Result, ResultExt};
use crate::sys;

/// The terminal that this chain was started on, in the foreground.
#[derive(Debug)]
pub struct Terminal(OwnedFd);

impl Terminal {
    /// The controlling terminal, if one of 0 to 2 is it and this process is in its foreground.
    pub fn of_foreground_job() -> Result<Option<Self>> {
        Self::find(|foreground| foreground == getpgrp())
    }

    /// As above for a later link, when the first one was in the foreground: in a PID namespace a
    /// group outside of it has no number to compare.
    pub fn handed_on() -> Result<Option<Self>> {
        Self::find(|_| true)
    }

    fn find(is_ours: impl Fn(Pid) -> bool) -> Result<Option<Self>> {
        for fd in (0..3).filter_map(sys::borrow) {
            // ENOTTY: no terminal, or not this session's.
            if tcgetpgrp(fd).is_ok_and(&is_ours) {
                let what = "can't duplicate the terminal's descriptor";
                let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3)).or_fail(what)?;
                return Ok(Some(Terminal(sys::adopt(copy).or_fail(what)?)));
            }
        }
        Ok(None)
    }

    /// Makes this process's group the foreground one. SIGTTOU must be blocked: the caller is in
    /// the background at this moment.
    pub fn give_to_own_group(&self) -> Result<()> {
        // A terminal that has been hung up since has no foreground to be in.
        match tcsetpgrp(&self.0, getpgrp()) {
            Ok(()) | Err(nix::errno::Errno::EIO | nix::errno::Errno::ENOTTY) => Ok(()),
            Err(errno) => Err(errno).or_fail("can't take the terminal's foreground"),
        }
    }

    /// Its own copy of the descriptor, which may have to make room for another.
    pub(crate) fn descriptor(&mut self) -> &mut OwnedFd {
        &mut self.0
    }

    /// Takes the foreground back at the end, where this process's group has a number in its PID
    /// namespace; a monitor outside of it does so otherwise.
    pub fn take_back(&self) {
        if getpgrp().as_raw() != 0 {
            let _ = tcsetpgrp(&self.0, getpgrp());
        }
    }
}

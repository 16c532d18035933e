//! The controlling terminal of the chain: lent to the app's process group, taken back at the end.

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcdrain, tcgetattr, tcsetattr};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Result, ResultExt};
use crate::sys;

/// The controlling terminal that one of 0 to 2 is.
///
/// Process groups outside of a PID namespace have no number in it: getpgrp(2) and tcgetpgrp(3)
/// say 0 for them. So PID 1 can't compare the two, and asks the kernel in other ways.
#[derive(Debug)]
pub struct Terminal {
    descriptor: OwnedFd,
    /// The first link of the chain was started in its foreground.
    foreground: bool,
    /// Its modes at the start (termios(3)).
    modes: Option<Termios>,
    /// It is standard input.
    is_input: bool,
    /// Its modes before it was made raw, while it is.
    cooked: RefCell<Option<Termios>>,
}

/// Who is in the terminal's foreground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreground {
    /// This process's own group.
    Own,
    /// A group with a number here: the app's or one that it made, or the shell's.
    Other(Pid),
    /// A group outside of this PID namespace: the own one perhaps, or the shell's.
    Outside,
    /// It has been hung up.
    Nobody,
}

impl Terminal {
    /// The terminal of the chain's first link.
    pub fn of_this_session() -> Result<Option<Self>> {
        let mut found = Self::find(false)?;
        if let Some(terminal) = &mut found {
            terminal.foreground = terminal.foreground() == Foreground::Own;
        }
        Ok(found)
    }

    /// As above for a later link, told by the first one whether it was in the foreground.
    pub fn handed_on(foreground: bool) -> Result<Option<Self>> {
        Self::find(foreground)
    }

    fn find(foreground: bool) -> Result<Option<Self>> {
        for (number, fd) in (0..3).filter_map(|number| Some((number, sys::borrow(number)?))) {
            // ENOTTY: no terminal, or not this session's.
            if tcgetpgrp(fd).is_ok() {
                let what = "can't duplicate the terminal's descriptor";
                let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3)).or_fail(what)?;
                let descriptor = sys::adopt(copy).or_fail(what)?;
                let modes = tcgetattr(&descriptor).ok();
                let (is_input, cooked) = (number == 0, RefCell::new(None));
                return Ok(Some(Terminal { descriptor, foreground, modes, is_input, cooked }));
            }
        }
        Ok(None)
    }

    /// Another descriptor of the same terminal.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        let what = "can't duplicate the terminal's descriptor";
        let descriptor = self.descriptor.try_clone().or_fail(what)?;
        Ok(Terminal { descriptor, modes: self.modes.clone(), cooked: RefCell::new(None), ..*self })
    }

    /// Whether the first link was started in the foreground.
    pub(crate) fn is_lent(&self) -> bool {
        self.foreground
    }

    /// Who is in the foreground now.
    pub(crate) fn foreground(&self) -> Foreground {
        match tcgetpgrp(&self.descriptor).map(Pid::as_raw) {
            Err(_) => Foreground::Nobody,
            Ok(0) => Foreground::Outside,
            Ok(group) if group == getpgrp().as_raw() => Foreground::Own,
            Ok(group) => Foreground::Other(Pid::from_raw(group)),
        }
    }

    /// Makes `group` the foreground one. SIGTTOU must be blocked: the caller may be in the
    /// background at this moment.
    pub(crate) fn give_to(&self, group: i32) -> Result<()> {
        match tcsetpgrp(&self.descriptor, Pid::from_raw(group)) {
            // A terminal that has been hung up since has no foreground to be in.
            Ok(()) | Err(Errno::EIO | Errno::ENOTTY) => Ok(()),
            Err(errno) => Err(errno).or_fail("can't take the terminal's foreground"),
        }
    }

    /// The number of its own copy of the descriptor.
    pub(crate) fn number(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Has each key go as it is to who reads standard input, if that is this terminal (cfmakeraw(3)).
    pub(crate) fn make_raw(&self) {
        let mut cooked = self.cooked.borrow_mut();
        if let Ok(modes) = tcgetattr(&self.descriptor)
            && self.is_input
            && cooked.is_none()
        {
            let mut raw = modes.clone();
            cfmakeraw(&mut raw);
            if tcsetattr(&self.descriptor, SetArg::TCSANOW, &raw).is_ok() {
                *cooked = Some(modes);
            }
        }
    }

    /// Undoes that.
    pub(crate) fn make_cooked(&self) {
        if let Some(modes) = self.cooked.take() {
            let _ = tcsetattr(&self.descriptor, SetArg::TCSANOW, &modes);
        }
    }

    /// Has the modes be what they are by now.
    pub(crate) fn forget_cooked(&self) {
        self.cooked.take();
    }

    /// Its own copy of the descriptor, which may have to make room for another.
    pub(crate) fn descriptor(&mut self) -> &mut OwnedFd {
        &mut self.descriptor
    }

    /// Whether this process's group is in the foreground, where no number tells it. A read(2) of
    /// nothing is refused to the background with EIO, if SIGTTIN is blocked.
    ///
    /// It waits while another process reads the terminal: not for a process that others wait for.
    pub(crate) fn grants_reading(&self) -> bool {
        rustix::io::read(&self.descriptor, &mut [0_u8; 0][..]).is_ok()
    }

    /// Waits for the output to be sent, which the kernel answers with SIGTTOU to the whole process
    /// group if that is in the background. EIO where nobody could continue a group that stops.
    pub(crate) fn drain(&self) -> Result<(), Errno> {
        tcdrain(&self.descriptor)
    }

    /// At the end: takes the foreground back, unless somebody else has it by now (a shell that
    /// moved this job to the background); restores the modes after an app that could not.
    pub(crate) fn take_back(&self, restore_modes: bool) {
        let has_own_number = getpgrp().as_raw() != 0;
        match self.foreground() {
            Foreground::Own => {}
            Foreground::Other(group) if has_gone(group) => {
                if has_own_number {
                    let _ = tcsetpgrp(&self.descriptor, getpgrp());
                }
            }
            _ => return,
        }
        if let Some(modes) = self.modes.as_ref().filter(|_| restore_modes) {
            let _ = tcsetattr(&self.descriptor, SetArg::TCSANOW, modes);
        }
    }
}

/// Where this process fails it is not left raw.
impl Drop for Terminal {
    fn drop(&mut self) {
        self.make_cooked();
    }
}

/// Whether process group `group` has ended. An app whose monitor was killed is killed too, but
/// takes a moment to die.
fn has_gone(group: Pid) -> bool {
    let exists = || sys::send_signal(-group.as_raw(), 0).is_ok() || Errno::last() != Errno::ESRCH;
    let leader = rustix::process::Pid::from_raw(group.as_raw()).filter(|_| exists());
    let flags = rustix::process::PidfdFlags::empty();
    if let Some(leader) = leader
        && let Ok(pidfd) = rustix::process::pidfd_open(leader, flags)
    {
        let moment = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
        let _ = poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&moment));
    }
    !exists()
}

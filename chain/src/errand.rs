//! Errands: short-lived children of the job's group that ask the terminal something on behalf of
//! PID 1, which can't stop, and must not wait.

use nix::errno::Errno;
use nix::unistd::{Pid, setpgid};
use rustix::process::{WaitOptions, waitpid};

use crate::error::{Result, ResultExt};
use crate::job::stop_as;
use crate::monitor::Monitor;
use crate::signal::{Signal, SignalSet};
use crate::sys::{self, Change, Forked};
use crate::terminal::Terminal;

/// A child of the lender that asks the terminal something on its behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Finds out whether anybody could continue the job, were it stopped: the kernel lets no group
    /// stop for which that is not so.
    Probe,
    /// Has the job's group stop, which is in the foreground.
    Leave,
    /// Has the job's group stop, which is in the background, because the app was stopped by this signal.
    Stop(i32),
    /// Finds out whether the job's group is in the foreground.
    Look,
}

impl Monitor {
    /// Forks a child of the job's group that asks the terminal; [`Monitor::errand_returned`] sees
    /// its answer.
    pub(crate) fn send_out(&mut self, errand: Errand) -> Result<()> {
        let Some(terminal) = &self.job.terminal else { return Ok(()) };
        match sys::fork(0, None).or_fail("can't fork")? {
            Forked::Child => sys::exit_now(match errand {
                Errand::Look if terminal.grants_reading() => IN_FOREGROUND,
                Errand::Look => IN_BACKGROUND,
                Errand::Probe => stop_as(Signal::TSTP).map_or(IN_BACKGROUND, |()| CONTINUED),
                Errand::Leave if leave_foreground(terminal).is_err() => IN_FOREGROUND,
                Errand::Leave | Errand::Stop(_) => stop_group(terminal),
            }),
            Forked::Parent { pid, pidfd: _ } => {
                self.job.errand = Some((pid, errand));
                Ok(())
            }
        }
    }

    /// Child `pid` changed: whether it was one sent out to ask the terminal.
    pub(crate) fn errand_returned(&mut self, pid: i32, change: Change) -> Result<bool> {
        let Some((_, errand)) = self.job.errand.filter(|(sent, _)| *sent == pid) else {
            return Ok(false);
        };
        if matches!(change, Change::Stopped(_)) {
            if errand == Errand::Probe {
                let _ = sys::send_signal(pid, Signal::KILL.number());
            }
            return Ok(true);
        }
        self.job.errand = None;
        if self.status.is_some() {
            return Ok(true);
        }
        match (change, errand) {
            // It did stop, so others can.
            (Change::Signaled(_), Errand::Probe) => self.send_out(Errand::Leave)?,
            (_, Errand::Probe) => self.continue_job()?,
            // In the case of a stop: it was not the app's group that was in the foreground.
            (Change::Exited(IN_FOREGROUND), _) => {
                self.job.lend_to(self.child)?;
                self.continue_child()?;
            }
            (_, Errand::Look) => {
                self.job.leave_terminal();
                self.continue_child()?;
            }
            // The whole job was stopped, and has been continued.
            (Change::Exited(CONTINUED), _) => self.continue_job()?,
            // No shell could continue it: Ctrl-Z has no effect there.
            (Change::Exited(IN_BACKGROUND), Errand::Stop(libc::SIGTSTP)) => {
                self.continue_child()?;
            }
            (_, Errand::Stop(_) | Errand::Leave) => {}
        }
        Ok(true)
    }

    /// The child has ended: nobody asks for it any more.
    pub(crate) fn end_errand(&self) {
        if let Some((pid, _)) = self.job.errand {
            let _ = sys::send_signal(pid, Signal::KILL.number());
        }
    }
}

/// The answers, as exit statuses.
const IN_FOREGROUND: u8 = 0;
const IN_BACKGROUND: u8 = 1;
const CONTINUED: u8 = 2;

/// Has the terminal stop this process's group, this process included, and returns once that is
/// continued. SIGCONT interrupts it then: it must not stop the group again, for a shell may have
/// put it in the background (bg).
fn stop_group(terminal: &Terminal) -> u8 {
    let ready = sys::interrupt_by(Signal::CONT.number())
        .and_then(|()| SignalSet::ALL.without(Signal::TTOU).without(Signal::CONT).block());
    match ready.map(|_| terminal.drain()) {
        Ok(Ok(())) => IN_FOREGROUND,
        Ok(Err(Errno::EINTR)) => CONTINUED,
        _ => IN_BACKGROUND,
    }
}

/// Puts this process's group in the background, which it can't name: by making a group the foreground
/// that has ended. A shell takes the terminal from whatever stops.
fn leave_foreground(terminal: &Terminal) -> Result<()> {
    match sys::fork(0, None).or_fail("can't fork")? {
        Forked::Child => sys::exit_now(0),
        Forked::Parent { pid, pidfd: _ } => {
            let child = Pid::from_raw(pid);
            setpgid(child, child).or_fail("can't make a process group")?;
            terminal.give_to(pid)?;
            let _ = waitpid(rustix::process::Pid::from_raw(pid), WaitOptions::empty());
            Ok(())
        }
    }
}

//! Job control: the terminal's stop (Ctrl-Z) and the shell's continue (fg, bg) pass through the
//! monitors, so that a whole container is one job of the shell that started it.
//!
//! The app leads a process group of its own, in the terminal's foreground; the monitors are in
//! the group that the shell made for the job. Three rules, from the inside out:
//!
//! - When the app stops, the one that lent it the terminal (mini-init) sees that first, and
//!   has the job's group stop. PID 1 can't do that by stopping itself, can't name processes outside
//!   of its namespace, and may have another uid than they have. But the terminal can: it
//!   stops every process group that changes it from the background (SIGTTOU). So PID 1 sends a
//!   short-lived child of the job's group there, which asks to drain the output: no state is changed, no
//!   permission is asked for, and it works whoever the processes outside are.
//! - A monitor whose child stops, stops as well. One whose child is a PID 1, which never does, goes
//!   by what the terminal sent to the group. Each stops after its child, so a shell that sees the
//!   outermost one stopped may continue at once: no continue overtakes a stop.
//! - When the app's lender is continued it looks whether the job is in the foreground (fg) or
//!   not (bg), lends the terminal again or not, and then continues the app.

use nix::errno::Errno;

use crate::error::{Result, ResultExt};
use crate::monitor::Monitor;
use crate::next::Next;
use crate::signal::{Signal, SignalSet};
use crate::sys::{self, Change, Forked};
use crate::terminal::{Foreground, Terminal};

/// What the child leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// A process group, to which the terminal is lent.
    Group,
    /// A session, which has no controlling terminal: nothing can be pushed into the caller's.
    Session,
}

/// A child of the lender that asks the terminal something on its behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Errand {
    /// Has the job's group stop, because the app was stopped by this signal.
    Stop(i32),
    /// Finds out whether the job's group is in the foreground.
    Look,
}

/// The job that this process and its child are of.
#[derive(Debug)]
pub(crate) struct Job {
    terminal: Option<Terminal>,
    child_is_init: bool,
    lead: Option<Lead>,
    errand: Option<(i32, Errand)>,
}

impl Next {
    /// Whether the app would have a controlling terminal on one of 0 to 2.
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// In a forked child, which has SIGTTOU blocked: makes it the leader of a new group, in
    /// the foreground if the chain is, or of a new session.
    pub fn lead(&self, lead: Lead) -> Result<()> {
        if lead == Lead::Session {
            return nix::unistd::setsid().or_fail("can't make a session").map(drop);
        }
        let own = nix::unistd::Pid::from_raw(0);
        nix::unistd::setpgid(own, own).or_fail("can't make a process group")?;
        match &self.terminal {
            Some(terminal) if terminal.is_lent() => terminal.give_to(std::process::id() as i32),
            _ => Ok(()),
        }
    }
}

impl Job {
    pub(crate) fn new(terminal: Option<Terminal>, child_is_init: bool) -> Self {
        Job { terminal, child_is_init, lead: None, errand: None }
    }

    /// Whether the child leads a group that the terminal is lent to.
    pub(crate) fn lends(&self) -> bool {
        self.terminal.is_some() && self.lead == Some(Lead::Group)
    }

    /// SIGTTOU and SIGTTIN from the terminal mean the group that they were sent to.
    pub(crate) fn is_about_own_group(&self, signal: Signal) -> bool {
        matches!(signal, Signal::TTOU | Signal::TTIN)
    }

    /// The signal that has the effect of `signal`. The kernel spares a session's leader from those of
    /// the terminal, because no shell of that session could continue it.
    pub(crate) fn can_stop_child(&self, signal: Signal) -> Signal {
        if self.lead == Some(Lead::Session) && is_stop_key(signal) { Signal::STOP } else { signal }
    }

    pub(crate) fn take_terminal_back(&self, restore_modes: bool) {
        if let Some(terminal) = &self.terminal {
            terminal.take_back(restore_modes);
        }
    }
}

fn is_stop_key(signal: Signal) -> bool {
    matches!(signal, Signal::TSTP | Signal::TTIN | Signal::TTOU)
}

impl Monitor {
    /// Says what the child was made to lead.
    pub fn child_leads(&mut self, lead: Lead) {
        self.job.lead = Some(lead);
    }

    /// The child was stopped by signal `number`: so is this process, for the shell to see.
    pub(crate) fn follow_stop(&mut self, number: i32) -> Result<()> {
        let Some(signal) = Signal::from_number(number) else { return Ok(()) };
        match self.job.lead {
            // Who stops a process without a terminal by SIGSTOP continues it himself.
            _ if self.job.terminal.is_none() && !is_stop_key(signal) => Ok(()),
            Some(Lead::Group) if self.job.terminal.is_some() => self.stop_job(signal),
            _ => stop_as(signal),
        }
    }

    /// Stop and no return: PID 1 asks the terminal to do it, others can do it themselves.
    fn stop_job(&mut self, signal: Signal) -> Result<()> {
        if std::process::id() == 1 {
            return self.send_out(Errand::Stop(signal.number()));
        }
        // As the terminal would: to all of the job's group.
        sys::send_signal(0, Signal::TSTP.number()).or_fail("can't stop the job")?;
        stop_as(Signal::TSTP)?;
        // Continued by a CONT that the loop has yet to see, or not stopped at all because no
        // shell is there to continue: then the app goes on at once.
        self.continue_job()
    }

    /// The terminal sent `signal` to the group of this process and its child. If that is PID 1
    /// it can't stop, and this process stops for it.
    pub(crate) fn terminal_stops_init(&mut self, signal: Signal) -> Result<()> {
        if self.job.child_is_init && is_stop_key(signal) {
            return stop_as(Signal::TSTP);
        }
        Ok(())
    }

    /// Lends the terminal to the app again if the job is in the foreground, and continues the app.
    pub(crate) fn continue_job(&mut self) -> Result<()> {
        let Some(terminal) = &self.job.terminal else { return Ok(()) };
        match terminal.foreground() {
            Foreground::Own => terminal.give_to(self.child)?,
            Foreground::Outside if self.job.errand.is_none() => return self.send_out(Errand::Look),
            Foreground::Outside => return Ok(()),
            Foreground::Other(_) | Foreground::Nobody => {}
        }
        self.continue_child()
    }

    fn continue_child(&self) -> Result<()> {
        sys::send_signal(-self.child, Signal::CONT.number())
            .or_else(|_| self.send(Signal::CONT))
            .or_else(|error| match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(()),
                _ => Err(error),
            })
            .or_fail("can't continue the app")
    }

    /// Forks a child of the job's group that asks the terminal; [`Monitor::errand_returned`] sees
    /// its answer.
    fn send_out(&mut self, errand: Errand) -> Result<()> {
        let Some(terminal) = &self.job.terminal else { return Ok(()) };
        match sys::fork(0, None).or_fail("can't fork")? {
            Forked::Child => {
                let foreground = match errand {
                    Errand::Look => terminal.grants_reading(),
                    Errand::Stop(_) => {
                        let _ = SignalSet::ALL.without(Signal::TTOU).block();
                        terminal.drain() != Err(Errno::EIO)
                    }
                };
                sys::exit_now(u8::from(!foreground));
            }
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
        if let Change::Stopped(_) = change {
            // The group has been stopped; it must not ask again when it is continued.
            sys::send_signal(pid, Signal::KILL.number()).or_fail("can't end a child")?;
            return Ok(true);
        }
        self.job.errand = None;
        let in_foreground = change == Change::Exited(0);
        match errand {
            _ if self.status.is_some() => {}
            Errand::Look => {
                if in_foreground && let Some(terminal) = &self.job.terminal {
                    terminal.give_to(self.child)?;
                }
                self.continue_child()?;
            }
            // It was the job's group, not the app's, that was in the foreground.
            Errand::Stop(_) if in_foreground => {
                if let Some(terminal) = &self.job.terminal {
                    terminal.give_to(self.child)?;
                }
                self.continue_child()?;
            }
            // No shell could continue it: Ctrl-Z has no effect there.
            Errand::Stop(number) if change == Change::Exited(1) && number == libc::SIGTSTP => {
                self.continue_child()?;
            }
            Errand::Stop(_) => {}
        }
        Ok(true)
    }
}

/// Stops this process by `signal`'s default action.
fn stop_as(signal: Signal) -> Result<()> {
    let what = "can't stop with the child";
    sys::set_ignored(signal.number(), false).or_fail(what)?;
    sys::send_signal(std::process::id() as i32, signal.number()).or_fail(what)?;
    // Here it stops, unless nobody could continue it: then the kernel lets it run on.
    SignalSet::ALL.without(signal).block().or_fail(what)?;
    SignalSet::ALL.block().or_fail(what).map(drop)
}

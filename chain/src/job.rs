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

use std::os::fd::OwnedFd;

use crate::errand::Errand;
use crate::error::{Result, ResultExt};
use crate::monitor::Monitor;
use crate::next::Next;
use crate::signal::{Signal, SignalSet};
use crate::sys;
use crate::terminal::{Foreground, Terminal};

/// What the child leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    /// A process group, to which the terminal is lent.
    Group,
    /// The same for another monitor, which lends the terminal on.
    Monitor,
    /// A session, which has no controlling terminal: nothing can be pushed into the caller's.
    Session,
    /// A session with a terminal of its own. A [`Source`] of the monitor carries what is typed at
    /// the caller's terminal to that one, and back what is written.
    ///
    /// [`Source`]: crate::monitor::Source
    Terminal,
}

/// What the child has of the caller's terminal, where it leads one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// It may read and write: the job is in the foreground, or the caller has no terminal.
    All,
    /// It may write: the job is in the background.
    Output,
    /// The job is stopped.
    Nothing,
}

/// The job that this process and its child are of.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) terminal: Option<Terminal>,
    pub(crate) child_is_init: bool,
    lead: Option<Lead>,
    pub(crate) errand: Option<(i32, Errand)>,
    child_is_stopped: bool,
    /// The terminal stopped the job's group itself: the app had not been lent it again, since a
    /// shell that has a running job come to the foreground (bash's fg) need not tell it.
    is_stopped_by_key: bool,
    pub(crate) share: Share,
    /// The share, or the terminal's size, has changed.
    pub(crate) news: bool,
}

impl Next {
    /// Whether the app would have a controlling terminal on one of 0 to 2.
    pub fn has_terminal(&self) -> bool {
        self.terminal.is_some()
    }

    /// In a forked child, which has SIGTTOU blocked: makes it the leader of a new group, in
    /// the foreground if the chain is, or of a new session.
    pub fn lead(&self, lead: Lead) -> Result<()> {
        if matches!(lead, Lead::Session | Lead::Terminal) {
            return nix::unistd::setsid().or_fail("can't make a session").map(drop);
        }
        let own = nix::unistd::Pid::from_raw(0);
        nix::unistd::setpgid(own, own).or_fail("can't make a process group")?;
        match &self.terminal {
            Some(terminal) if terminal.is_lent() => terminal.give_to(std::process::id() as i32),
            _ => Ok(()),
        }
    }

    /// In a forked child that leads a session: makes `terminal` the controlling one, and standard
    /// input, output and error.
    pub fn move_to(&mut self, terminal: OwnedFd) -> Result<()> {
        let what = "can't move to the new terminal";
        rustix::process::ioctl_tiocsctty(&terminal).or_fail(what)?;
        for number in 0..3 {
            let copy = rustix::io::fcntl_dupfd_cloexec(&terminal, 3).or_fail(what)?;
            sys::place(copy, number).or_fail(what)?;
        }
        self.terminal = Terminal::of_this_session()?;
        Ok(())
    }
}

impl Job {
    pub(crate) fn new(terminal: Option<Terminal>, child_is_init: bool) -> Self {
        Job {
            terminal,
            child_is_init,
            lead: None,
            errand: None,
            child_is_stopped: false,
            is_stopped_by_key: false,
            share: Share::All,
            news: false,
        }
    }

    /// Whether the terminal is lent to the child: to the group that it leads, or, by way of a
    /// relay, to its own terminal.
    pub(crate) fn lends(&self) -> bool {
        self.terminal.is_some() && self.lead.is_some_and(|lead| lead != Lead::Session)
    }

    pub(crate) fn has_relay(&self) -> bool {
        self.lead == Some(Lead::Terminal)
    }

    pub(crate) fn lend_to(&mut self, child: i32) -> Result<()> {
        self.set_share(Share::All);
        match &self.terminal {
            Some(terminal) if self.has_relay() => terminal.make_raw(),
            Some(terminal) => terminal.give_to(child)?,
            None => {}
        }
        Ok(())
    }

    fn set_share(&mut self, share: Share) {
        self.share = share;
        self.news |= self.has_relay();
    }

    /// The job is in the background: another has the terminal, and sets its modes.
    pub(crate) fn leave_terminal(&mut self) {
        self.set_share(Share::Output);
        if let Some(terminal) = &self.terminal {
            terminal.forget_cooked();
        }
    }

    /// The size of the caller's terminal has changed. Whether a relay tells the child so.
    pub(crate) fn relays_size(&mut self) -> bool {
        self.news |= self.has_relay();
        self.has_relay()
    }

    /// The terminal sent `signal` to this process's group, which the child is not in. Says whether
    /// the child is concerned: SIGTTOU and SIGTTIN mean the group that they were sent to.
    pub(crate) fn hears_from_terminal(&mut self, signal: Signal, child: i32) -> Result<bool> {
        self.is_stopped_by_key |= signal == Signal::TSTP && self.lends();
        // Sent to the foreground alone, which this job is in again (bash's fg, as above).
        let is_news = matches!(signal, Signal::INT | Signal::QUIT | Signal::WINCH);
        if is_news && self.has_relay() && self.share == Share::Output {
            self.lend_to(child)?;
        }
        Ok(!is_stop_of_background(signal))
    }

    /// The signal that has the effect of `signal`. The kernel spares a session's leader from those of
    /// the terminal, because no shell of that session could continue it.
    pub(crate) fn can_stop_child(&self, signal: Signal) -> Signal {
        let leads_session = matches!(self.lead, Some(Lead::Session | Lead::Terminal));
        if leads_session && is_stop_key(signal) { Signal::STOP } else { signal }
    }

    pub(crate) fn take_terminal_back(&self, restore_modes: bool) {
        if let Some(terminal) = &self.terminal {
            terminal.make_cooked();
            terminal.take_back(restore_modes);
        }
    }
}

fn is_stop_key(signal: Signal) -> bool {
    signal == Signal::TSTP || is_stop_of_background(signal)
}

fn is_stop_of_background(signal: Signal) -> bool {
    matches!(signal, Signal::TTIN | Signal::TTOU)
}

impl Monitor {
    /// Says what the child was made to lead.
    pub fn child_leads(&mut self, lead: Lead) -> Result<()> {
        self.job.lead = Some(lead);
        match &self.job.terminal {
            // In a PID namespace that a foreign program made, only now it can be found out whether
            // the terminal is to be lent.
            Some(terminal) if self.job.lends() && !terminal.is_lent() => {
                self.job.leave_terminal();
                self.continue_job()
            }
            // A group has taken it itself, before it started.
            Some(_) if self.job.has_relay() => self.job.lend_to(self.child),
            _ => Ok(()),
        }
    }

    /// The child was stopped by signal `number`: so is this process, for the shell to see.
    pub(crate) fn follow_stop(&mut self, number: i32) -> Result<()> {
        let Some(signal) = Signal::from_number(number) else { return Ok(()) };
        self.job.child_is_stopped = true;
        match () {
            // Who stops a process without a terminal by SIGSTOP continues it himself.
            _ if self.job.terminal.is_none() && !is_stop_key(signal) => Ok(()),
            _ if self.job.lends() => self.stop_job(signal),
            _ => stop_as(signal),
        }
    }

    /// Stop and no return: PID 1 asks the terminal to do it, others can do it themselves.
    fn stop_job(&mut self, signal: Signal) -> Result<()> {
        let was = self.job.share;
        self.job.set_share(Share::Nothing);
        if let Some(terminal) = &self.job.terminal {
            terminal.make_cooked();
        }
        if std::process::id() == 1 {
            if self.job.is_stopped_by_key {
                return Ok(());
            }
            // A relay has the job's own group in the foreground.
            let own = self.job.has_relay() && was == Share::All;
            return self.send_out(if own { Errand::Probe } else { Errand::Stop(signal.number()) });
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

    /// Lends the terminal to the app again if the job is in the foreground, and continues the app
    /// if it is stopped.
    ///
    /// A shell continues every process of the job, and each monitor passes that on: what comes
    /// late must not undo a stop that came since.
    pub(crate) fn continue_job(&mut self) -> Result<()> {
        self.job.is_stopped_by_key = false;
        let Some(terminal) = &self.job.terminal else { return Ok(()) };
        match self.job.errand {
            // It is what has to be continued, and was already if the shell did so.
            Some((pid, Errand::Stop(_) | Errand::Leave)) => {
                let _ = sys::send_signal(pid, Signal::CONT.number());
                return Ok(());
            }
            Some((_, Errand::Look | Errand::Probe)) => return Ok(()),
            None => {}
        }
        match terminal.foreground() {
            Foreground::Own => self.job.lend_to(self.child)?,
            Foreground::Outside => return self.send_out(Errand::Look),
            Foreground::Other(_) | Foreground::Nobody => self.job.leave_terminal(),
        }
        self.continue_child()
    }

    pub(crate) fn continue_child(&mut self) -> Result<()> {
        // A monitor is told even if it runs: it has to find out whether to lend the terminal on.
        if !std::mem::take(&mut self.job.child_is_stopped) && self.job.lead != Some(Lead::Monitor) {
            return Ok(());
        }
        sys::send_signal(-self.child, Signal::CONT.number())
            .or_else(|_| self.send(Signal::CONT))
            .or_else(|error| match error.raw_os_error() {
                Some(libc::ESRCH) => Ok(()),
                _ => Err(error),
            })
            .or_fail("can't continue the app")
    }
}

/// Stops this process by `signal`'s default action.
pub(crate) fn stop_as(signal: Signal) -> Result<()> {
    let what = "can't stop with the child";
    sys::set_ignored(signal.number(), false).or_fail(what)?;
    sys::send_signal(std::process::id() as i32, signal.number()).or_fail(what)?;
    // Here it stops, unless nobody could continue it: then the kernel lets it run on.
    SignalSet::ALL.without(signal).block().or_fail(what)?;
    SignalSet::ALL.block().or_fail(what).map(drop)
}

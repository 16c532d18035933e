//! Forwarding: which signal goes to whom.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use nix::unistd::{Pid, getpgid, getpgrp};

use crate::descendants;
use crate::error::{Error, Result, ResultExt};
use crate::hearing::RELAYED;
use crate::monitor::Monitor;
use crate::signal::Signal;
use crate::sys::{self, SignalInfo};

/// Which processes get a forwarded signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The child alone.
    Child,
    /// The process group that the child leads.
    Group,
    /// Every process that this one may signal (PID 1: all of its namespace).
    All,
    /// Every process below this one (a subreaper: all that its app has left).
    Descendants,
}

/// What becomes of each signal on its way to the child: itself, another one, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rewrite(BTreeMap<Signal, Option<Signal>>);

impl Rewrite {
    /// Has `to` sent in place of `from`, or nothing.
    pub fn set(&mut self, from: Signal, to: Option<Signal>) {
        self.0.insert(from, to);
    }

    /// Whether something was said of `from`.
    pub fn has(&self, from: Signal) -> bool {
        self.0.contains_key(&from)
    }

    /// What is sent in place of `from`.
    pub fn apply(&self, from: Signal) -> Option<Signal> {
        self.0.get(&from).copied().unwrap_or(Some(from))
    }
}

/// `si_code` of a signal that the kernel sent by itself: the terminal's.
const SI_KERNEL: i32 = 0x80;

impl Monitor {
    /// Sends a signal on to the child. What the terminal sent to the process group the child has
    /// had already, if it is in this one's.
    pub(crate) fn forward(&mut self, info: SignalInfo) -> Result<()> {
        let Some(signal) = Signal::from_number(info.signal).filter(|s| *s != Signal::CHLD) else {
            return Ok(());
        };
        // This process's own write to a pipe that nobody reads.
        if signal == Signal::PIPE && info.pid == std::process::id() {
            return Ok(());
        }
        if info.code == SI_KERNEL {
            if self.shares_group() {
                return self.terminal_stops_init(signal);
            }
            if !self.job.hears_from_terminal(signal, self.child)? {
                return Ok(());
            }
        }
        if signal == Signal::WINCH && self.job.relays_size() {
            return Ok(());
        }
        self.is_asked_to_end |=
            matches!(signal, Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT);
        if signal == Signal::CONT && self.status.is_none() && self.job.lends() {
            return self.continue_job();
        }
        if self.hearing.is_echo(signal, &info) {
            return Ok(());
        }
        let Some(signal) = self.rewrite.apply(signal) else {
            return Ok(());
        };
        if self.talk.signals {
            crate::tool::print_note(&format!("forwarding signal {signal}"));
        }
        if let Some((asks, time)) = self.patience
            && asks == signal
            && self.deadline.is_none()
        {
            self.deadline = Some(Instant::now() + time);
        }
        let signal = self.job.can_stop_child(signal);
        let is_relayed = info.code == libc::SI_QUEUE && info.value == RELAYED;
        let value = if info.code == libc::SI_QUEUE && !is_relayed {
            (signal.number() == info.signal).then_some(info.value)
        } else {
            (self.job.child_is_init && self.shares_group()).then_some(RELAYED)
        };
        let sent = match (self.target, value) {
            (Target::Child, Some(value)) => {
                sys::queue_signal(self.pidfd.as_fd(), signal.number(), value)
            }
            _ => self.send(signal),
        };
        match sent {
            // It is gone, which SIGCHLD tells too; or it has become another user's.
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            Err(error) => {
                let error =
                    Error::new("can't forward signal").object(signal.to_string()).because(error);
                crate::tool::print_warning(&error);
                Ok(())
            }
        }
    }

    fn shares_group(&self) -> bool {
        getpgid(Some(Pid::from_raw(self.child))) == Ok(getpgrp())
    }

    /// Sends `signal` to the target and says whether there was anybody to get it.
    pub fn send_to_any(&self, signal: Signal) -> Result<bool> {
        match self.send(signal) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            Err(error) => Err(error).or_fail_on("can't send signal", signal.to_string()),
        }
    }

    /// Sends `signal` to the target.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        let to = match self.target {
            Target::Child => return sys::send_signal_to(self.pidfd.as_fd(), signal.number()),
            Target::Group => -self.child,
            Target::All => -1,
            Target::Descendants => return descendants::send(signal),
        };
        sys::send_signal(to, signal.number())
    }
}

//! Which of two signals is one and the same.
//!
//! A signal to a job's process group (a shell's `kill %1`) reaches each monitor in it, and each
//! sends it on: the app would get it once for each. The kernel tells nobody whether a signal was sent
//! to the group. But a monitor gets such a one twice, as it was sent, and by way of its own monitor,
//! which is in the group too. So one of each kind, near in time, are one; two of a kind never are.
//! (Nor can two that somebody sends to two processes of a chain in that time be told from it.)

use std::time::{Duration, Instant};

use nix::unistd::{Pid, getpgid, getpgrp, getppid};

use crate::signal::Signal;
use crate::sys::SignalInfo;

/// The value of a signal that a monitor sends on into a PID namespace, where its sender can't be
/// told from others outside.
pub(crate) const RELAYED: u64 = u64::from_be_bytes(*b"relayed\0");
/// How much later the second may be handled than the first.
const MOMENT: Duration = Duration::from_millis(500);

/// The way that a signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    AsSent,
    Relayed,
}

/// Signals that have come one way, and not yet the other.
#[derive(Debug, Default)]
pub(crate) struct Hearing(Vec<(Signal, Way, Instant)>);

impl Hearing {
    /// Whether this one has been heard before.
    pub(crate) fn is_echo(&mut self, signal: Signal, info: &SignalInfo) -> bool {
        // Of these the last one counts, however often it comes.
        if matches!(signal, Signal::CONT | Signal::TSTP | Signal::TTIN | Signal::TTOU) {
            return false;
        }
        match way(info) {
            Some(way) if shares_group_with_parent() => self.take(signal, way, Instant::now()),
            _ => false,
        }
    }

    fn take(&mut self, signal: Signal, way: Way, now: Instant) -> bool {
        self.0.retain(|(.., at)| now.saturating_duration_since(*at) < MOMENT);
        let other = self.0.iter().position(|(heard, by, _)| *heard == signal && *by != way);
        match other {
            Some(index) => drop(self.0.remove(index)),
            None => self.0.push((signal, way, now)),
        }
        other.is_some()
    }
}

/// `None` for what can't be sent to a group.
fn way(info: &SignalInfo) -> Option<Way> {
    match info.code {
        libc::SI_QUEUE if info.value == RELAYED => Some(Way::Relayed),
        libc::SI_USER if info.pid != 0 && info.pid as i32 == getppid().as_raw() => {
            Some(Way::Relayed)
        }
        libc::SI_USER => Some(Way::AsSent),
        _ => None,
    }
}

/// A group outside of the PID namespace, the parent's, has the number 0.
fn shares_group_with_parent() -> bool {
    let (parent, group) = (getppid(), getpgrp());
    match parent.as_raw() {
        0 => group.as_raw() == 0,
        _ => getpgid(Some(Pid::from_raw(parent.as_raw()))) == Ok(group),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_kind_are_one() {
        let (mut hearing, now) = (Hearing::default(), Instant::now());
        let mut hears = |signal, way, after| hearing.take(signal, way, now + after);
        let soon = Duration::from_millis(1);
        assert!(!hears(Signal::TERM, Way::AsSent, Duration::ZERO));
        assert!(!hears(Signal::HUP, Way::Relayed, soon));
        assert!(hears(Signal::TERM, Way::Relayed, soon));
        // Either way may be the faster.
        assert!(hears(Signal::HUP, Way::AsSent, soon));
        assert!(!hears(Signal::TERM, Way::Relayed, soon));
    }

    #[test]
    fn two_of_a_kind_are_two() {
        let (mut hearing, now) = (Hearing::default(), Instant::now());
        for way in [Way::AsSent, Way::Relayed] {
            let signal = if way == Way::AsSent { Signal::INT } else { Signal::QUIT };
            assert!(!hearing.take(signal, way, now) && !hearing.take(signal, way, now));
        }
        assert!(!hearing.take(Signal::INT, Way::Relayed, now + MOMENT));
    }
}

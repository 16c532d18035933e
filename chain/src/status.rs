//! How a process ended, and how another one ends the same way.

use crate::signal::{Signal, SignalSet};
use crate::sys;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It called exit(3).
    Exited(u8),
    /// A signal ended it.
    Signaled(Signal),
}

impl Status {
    /// The exit status that a shell shows: 128+n for signal n.
    pub fn code(self) -> u8 {
        match self {
            Status::Exited(code) => code,
            Status::Signaled(signal) => 128 + signal.number() as u8,
        }
    }

    /// Whether a signal ended it, as far as can be told: a PID 1 in between says it with 128+n.
    pub(crate) fn looks_violent(self) -> bool {
        self.code() > 128
    }

    /// Ends this process the way the child ended. PID 1 can't die by a signal of its own, and
    /// exits with 128+n.
    pub fn mirror(self) -> ! {
        if let Status::Signaled(signal) = self
            && std::process::id() != 1
        {
            // The child's core dump, if any, is the one that tells something.
            let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
            let _ = sys::set_ignored(signal.number(), false);
            let _ = SignalSet::ALL.without(signal).block();
            let _ = sys::send_signal(std::process::id() as i32, signal.number());
        }
        sys::exit_now(self.code())
    }
}

//! Signals: names, sets of all 64 numbers, and the state that the first link was given.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::sys;

/// A signal's number, 1 to 64, the two that glibc reserves (32, 33) included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signal(u8);

/// The first real-time signal as signal(7) numbers it for programs (glibc keeps 32 and 33).
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

const NAMES: &[(&str, i32)] = &[
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("TRAP", libc::SIGTRAP),
    ("ABRT", libc::SIGABRT),
    ("BUS", libc::SIGBUS),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("STKFLT", libc::SIGSTKFLT),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
    ("TSTP", libc::SIGTSTP),
    ("TTIN", libc::SIGTTIN),
    ("TTOU", libc::SIGTTOU),
    ("URG", libc::SIGURG),
    ("XCPU", libc::SIGXCPU),
    ("XFSZ", libc::SIGXFSZ),
    ("VTALRM", libc::SIGVTALRM),
    ("PROF", libc::SIGPROF),
    ("WINCH", libc::SIGWINCH),
    ("IO", libc::SIGIO),
    ("POLL", libc::SIGPOLL),
    ("PWR", libc::SIGPWR),
    ("SYS", libc::SIGSYS),
];

impl Signal {
    /// The terminal is gone; in a PID namespace also what reboot(2) makes of a restart.
    pub const HUP: Signal = Signal(libc::SIGHUP as u8);
    /// The terminal's Ctrl-C; in a PID namespace also what reboot(2) makes of a halt.
    pub const INT: Signal = Signal(libc::SIGINT as u8);
    /// Ends a process unconditionally.
    pub const KILL: Signal = Signal(libc::SIGKILL as u8);
    /// Asks a process to end.
    pub const TERM: Signal = Signal(libc::SIGTERM as u8);
    /// The terminal's Ctrl-\.
    pub const QUIT: Signal = Signal(libc::SIGQUIT as u8);
    /// The size of the terminal changed.
    pub const WINCH: Signal = Signal(libc::SIGWINCH as u8);
    /// Stops a process unconditionally.
    pub const STOP: Signal = Signal(libc::SIGSTOP as u8);
    /// Continues a stopped process.
    pub const CONT: Signal = Signal(libc::SIGCONT as u8);
    /// A child ended, stopped or continued.
    pub const CHLD: Signal = Signal(libc::SIGCHLD as u8);
    /// The terminal's Ctrl-Z.
    pub const TSTP: Signal = Signal(libc::SIGTSTP as u8);
    /// A background process read from its terminal.
    pub const TTIN: Signal = Signal(libc::SIGTTIN as u8);
    /// A background process wrote to its terminal or changed it.
    pub const TTOU: Signal = Signal(libc::SIGTTOU as u8);
    /// A write to a pipe that nobody reads.
    pub const PIPE: Signal = Signal(libc::SIGPIPE as u8);

    /// The signal of that number, if there is one.
    pub fn from_number(number: i32) -> Option<Self> {
        u8::try_from(number).ok().filter(|n| (1..=RTMAX).contains(n)).map(Signal)
    }

    /// Its number, 1 to 64.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }
}

/// The name as kill(1) prints it, without `SIG`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.number()) {
            Some((name, _)) => f.write_str(name),
            None if self.0 == RTMIN => f.write_str("RTMIN"),
            None if self.0 > RTMIN => write!(f, "RTMIN+{}", self.0 - RTMIN),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Takes `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `RTMAX-1`.
impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("no signal is called '{text}'");
        if let Ok(number) = text.parse::<i32>() {
            return Signal::from_number(number).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Signal::from_number(*number).ok_or_else(unknown);
        }
        let offset = |rest: &str, sign: char| match rest.strip_prefix(sign) {
            Some(digits) => digits.parse::<u8>().ok(),
            None => rest.is_empty().then_some(0),
        };
        let real_time = if let Some(rest) = name.strip_prefix("RTMIN") {
            offset(rest, '+').and_then(|n| RTMIN.checked_add(n))
        } else if let Some(rest) = name.strip_prefix("RTMAX") {
            offset(rest, '-').and_then(|n| RTMAX.checked_sub(n))
        } else {
            None
        };
        real_time.filter(|n| (RTMIN..=RTMAX).contains(n)).map(Signal).ok_or_else(unknown)
    }
}

/// A set of signals in the kernel's own form: bit n-1 stands for signal n.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Every signal; the kernel leaves KILL and STOP out by itself.
    pub const ALL: SignalSet = SignalSet(u64::MAX);

    /// With `signal` in it.
    #[must_use]
    pub fn with(self, signal: Signal) -> Self {
        SignalSet(self.0 | 1 << (signal.0 - 1))
    }

    /// Without `signal`.
    #[must_use]
    pub fn without(self, signal: Signal) -> Self {
        SignalSet(self.0 & !(1 << (signal.0 - 1)))
    }

    /// Whether `signal` is in it.
    pub fn has(self, signal: Signal) -> bool {
        self.0 & 1 << (signal.0 - 1) != 0
    }

    /// Makes this the calling thread's mask and returns the old one.
    pub fn block(self) -> io::Result<SignalSet> {
        sys::set_signal_mask(self.0).map(SignalSet)
    }
}

/// The signal state that the first link of the chain was given and the app gets back.
///
/// Only what our own start-up and monitors change is kept: the mask, and whether SIGPIPE (Rust's
/// runtime ignores it) and SIGCHLD (a monitor must not) were ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The mask.
    pub mask: SignalSet,
    ignored_pipe: bool,
    ignored_child: bool,
}

impl Given {
    /// The state at the start of this process.
    pub fn at_start() -> io::Result<Self> {
        let start = sys::at_start();
        Ok(Given {
            mask: SignalSet(sys::signal_mask()?),
            ignored_pipe: start.ignored_pipe,
            ignored_child: start.ignored_child,
        })
    }

    /// Puts the dispositions back, then the mask: what is pending is delivered here.
    pub fn restore(self, mask: SignalSet) -> io::Result<()> {
        sys::set_ignored(libc::SIGPIPE, self.ignored_pipe)?;
        if self.ignored_child {
            sys::set_ignored(libc::SIGCHLD, true)?;
        }
        sys::hold_stops()?;
        mask.block().map(drop)
    }
}

/// Lets a reader of standard output that goes away end this process, as other programs do there
/// (`cg-stat | head`), unless the caller ignores the signal.
pub(crate) fn end_by_sigpipe() {
    if !sys::at_start().ignored_pipe {
        let _ = sys::set_ignored(Signal::PIPE.number(), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("sigterm", 15),
            ("9", 9),
            ("RTMIN+3", 37),
            ("SIGRTMAX", 64),
            ("RTMAX-1", 63),
            ("32", 32),
        ] {
            assert_eq!(text.parse::<Signal>().map(Signal::number), Ok(number), "{text}");
        }
        for text in ["", "0", "65", "-1", "RTMIN+31", "RTMAX-31", "RTMIN3", "NOPE", "SIG"] {
            assert!(text.parse::<Signal>().is_err(), "{text}");
        }
    }

    #[test]
    fn every_number_survives_its_name() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
    }
}

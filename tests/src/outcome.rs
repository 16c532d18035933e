//! How a chain ended, and whether that was expected.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

use crate::{Expected, Seen, User, cell};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exit(i32),
    /// It was killed by this signal.
    Signal(i32),
}

impl From<i32> for Ended {
    fn from(status: i32) -> Ended {
        Ended::Exit(status)
    }
}

impl From<Signal> for Ended {
    fn from(signal: Signal) -> Ended {
        Ended::Signal(signal as i32)
    }
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Ended {
        match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exit(code),
            (None, Some(signal)) => Ended::Signal(signal),
            (None, None) => unreachable!("a process that was waited for has ended"),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Ended::Exit(status) => write!(f, "exit {status}"),
            Ended::Signal(signal) => match Signal::try_from(*signal) {
                Ok(known) => write!(f, "killed by {known}"),
                Err(_) => write!(f, "killed by signal {signal}"),
            },
        }
    }
}

/// A chain that is over.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The command, as one would type it.
    pub command: String,
    /// Who ran it.
    pub user: User,
    /// How it ended, if it has.
    pub ended: Option<Ended>,
    /// All it wrote to stdout.
    pub stdout: String,
    /// All it wrote to stderr.
    pub stderr: String,
}

impl Outcome {
    /// Fails unless status, stdout and stderr are all as expected.
    #[track_caller]
    pub fn expect(
        &self,
        ended: impl Into<Ended>,
        stdout: impl Into<Expected>,
        stderr: impl Into<Expected>,
    ) -> &Outcome {
        let (ended, stdout, stderr) = (ended.into(), stdout.into(), stderr.into());
        let mut wrong = Vec::new();
        if Some(ended) != self.ended {
            wrong.push(format!("expected it to end with {ended}"));
        }
        if !stdout.fits(&self.stdout) {
            wrong.push(format!("expected stdout {stdout}"));
        }
        if !stderr.fits(&self.stderr) {
            wrong.push(format!("expected stderr {stderr}"));
        }
        assert!(wrong.is_empty(), "{}\n{self}", wrong.join("\n"));
        self
    }

    /// What the probe saw, which was the app of this chain. Nothing may stand on stderr.
    #[track_caller]
    pub fn seen(&self) -> Seen {
        self.expect(0, like_json(), "");
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("the probe's report: {error}\n{self}"))
    }
}

fn like_json() -> Expected {
    crate::like("{*}\n")
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "  command: {}", self.command)?;
        writeln!(f, "  uid:     {}", self.user.uid())?;
        writeln!(f, "  cgroups: {}", cell::mode())?;
        match self.ended {
            Some(ended) => writeln!(f, "  ended:   {ended}")?,
            None => writeln!(f, "  ended:   not yet")?,
        }
        writeln!(f, "  stdout:  {}", indented(&self.stdout))?;
        write!(f, "  stderr:  {}", indented(&self.stderr))
    }
}

/// The text with its further lines below the first; long reports are cut.
fn indented(text: &str) -> String {
    let short: String = text.chars().take(4000).collect();
    short.trim_end().replace('\n', "\n           ")
}

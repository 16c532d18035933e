//! A pseudo-terminal, for chains that somebody types at.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use nix::pty::openpty;

/// A pseudo-terminal: the test sits before it, the chain runs on it.
#[derive(Debug)]
pub struct Terminal {
    outer: File,
    inner: Option<OwnedFd>,
}

impl Terminal {
    /// Opens one.
    pub fn new() -> Result<Terminal, String> {
        let pair = openpty(None, None).map_err(|error| format!("no pseudo-terminal: {error}"))?;
        Ok(Terminal { outer: pair.master.into(), inner: Some(pair.slave) })
    }

    /// The side that the chain is on, which only the chain may hold: when the last process lets
    /// go of it, the output is at its end.
    pub(crate) fn take_inner(&mut self) -> OwnedFd {
        self.inner.take().expect("one chain a terminal")
    }

    /// What is written on it can be read here.
    pub(crate) fn output(&self) -> OwnedFd {
        self.outer.try_clone().expect("dup").into()
    }

    /// Types `text`.
    pub fn type_in(&mut self, text: &str) {
        self.outer.write_all(text.as_bytes()).expect("write to a terminal");
    }
}

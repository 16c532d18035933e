//! A pseudo-terminal, for chains that somebody types at.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::pty::openpty;

/// A pseudo-terminal: the test sits before it, the chain runs on it.
#[derive(Debug)]
pub struct Terminal {
    outer: File,
    inner: OwnedFd,
}

impl Terminal {
    /// Opens one.
    pub fn new() -> Result<Terminal, String> {
        let pair = openpty(None, None).map_err(|error| format!("no pseudo-terminal: {error}"))?;
        Ok(Terminal {
            outer: pair.master.into(),
            inner: pair.slave,
        })
    }

    /// The side that the chain is on.
    pub(crate) fn inner(&self) -> OwnedFd {
        self.inner.try_clone().expect("dup")
    }

    /// Types `text`.
    pub fn type_in(&mut self, text: &str) {
        self.outer
            .write_all(text.as_bytes())
            .expect("write to a terminal");
    }

    /// What is written on it can be read here.
    pub fn outer(&self) -> BorrowedFd<'_> {
        self.outer.as_fd()
    }
}

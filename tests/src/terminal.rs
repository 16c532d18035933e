//! A pseudo-terminal, for chains that somebody types at.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::tcgetpgrp;

use crate::sys;

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

    /// The process group in its foreground.
    #[track_caller]
    pub fn foreground(&self) -> i32 {
        tcgetpgrp(&self.outer).expect("tcgetpgrp").as_raw()
    }

    /// Its modes.
    #[track_caller]
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.outer).expect("tcgetattr")
    }

    /// Makes it as large as this.
    #[track_caller]
    pub fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        sys::set_window_size(&self.outer, &size).expect("TIOCSWINSZ");
    }
}

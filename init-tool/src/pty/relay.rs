//! The relay between the caller's standard input and output and the app's terminal: two sources
//! of the monitor's loop, one for each direction.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use chain::monitor::{Share, Source};
use chain::{Result, ResultExt};
use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::termios::{SpecialCodeIndex, isatty, tcgetattr, tcgetwinsize, tcsetwinsize};

use super::open;

/// What a terminal gives at once at most (N_TTY_BUF_SIZE in the kernel), and what a pipe that is
/// ready takes without waiting (PIPE_BUF).
const CHUNK: usize = 4096;

/// Both directions, and the app's end.
#[derive(Debug)]
pub(crate) struct Relay {
    input: Input,
    output: Output,
    /// Held open: without a holder the other end is at its end, although the app may open its
    /// terminal again by name.
    peer: OwnedFd,
}

/// From standard input to the app's terminal.
#[derive(Debug)]
struct Input {
    from: Option<OwnedFd>,
    to: Option<OwnedFd>,
    is_terminal: bool,
    share: Share,
    /// What the app's terminal has not taken yet.
    left: Vec<u8>,
    /// The last byte taken ended a line, or there was none.
    at_line_start: bool,
    hung_up: Rc<Cell<bool>>,
}

/// From the app's terminal to standard output.
#[derive(Debug)]
struct Output {
    from: Option<OwnedFd>,
    to: OwnedFd,
    share: Share,
    /// What standard output has not taken yet.
    left: Vec<u8>,
    /// Nobody writes any more: what there is is all.
    is_last: bool,
    /// The caller's terminal, whose size the app's has.
    screen: Option<OwnedFd>,
    /// Tells the other direction that nobody reads what the app writes.
    hung_up: Rc<Cell<bool>>,
}

impl Relay {
    /// Opens a new terminal. Before the fork: the monitor has no standard input and output.
    pub(crate) fn open() -> Result<Self> {
        let (master, peer) = open::terminal()?;
        let hung_up = Rc::new(Cell::new(false));
        let from = open::without_waiting(0, OFlags::RDONLY)?;
        let copy = master.try_clone().or_fail("can't duplicate a descriptor")?;
        let input = Input {
            is_terminal: isatty(&from),
            from: Some(from),
            to: Some(copy),
            share: Share::All,
            left: Vec::new(),
            at_line_start: true,
            hung_up: Rc::clone(&hung_up),
        };
        let output = Output {
            from: Some(master),
            to: open::without_waiting(1, OFlags::WRONLY)?,
            share: Share::All,
            left: Vec::new(),
            is_last: false,
            screen: open::callers_terminal()?,
            hung_up,
        };
        output.copy_size()?;
        Ok(Relay { input, output, peer })
    }

    /// The app's end.
    pub(crate) fn peer(&self) -> Result<OwnedFd> {
        self.peer.try_clone().or_fail("can't duplicate a descriptor")
    }

    pub(crate) fn sources(&mut self) -> [&mut dyn Source; 2] {
        [&mut self.input, &mut self.output]
    }

    /// No process is left that could write: only what has been written is carried yet.
    pub(crate) fn close(&mut self) {
        (self.input.from, self.input.to) = (None, None);
        (self.output.share, self.output.is_last) = (Share::All, true);
    }
}

impl Source for Input {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let to = self.to.as_ref()?;
        if !self.left.is_empty() || self.hung_up.get() {
            return Some(to.as_fd());
        }
        // What is typed while the job is in the background is for others.
        let from = self.from.as_ref()?;
        (self.share == Share::All || !self.is_terminal).then_some(from.as_fd())
    }

    fn events(&self) -> PollFlags {
        let writes = !self.left.is_empty() || self.hung_up.get();
        if writes { PollFlags::OUT } else { PollFlags::IN }
    }

    fn ready(&mut self) -> Result<()> {
        if self.hung_up.get() {
            (self.from, self.to) = (None, None);
        } else if self.left.is_empty() {
            self.read()?;
        }
        self.write();
        Ok(())
    }

    fn terminal_changed(&mut self, share: Share) -> Result<()> {
        self.share = share;
        Ok(())
    }
}

impl Input {
    fn read(&mut self) -> Result<()> {
        let Some(from) = &self.from else { return Ok(()) };
        let mut buffer = [0; CHUNK];
        match retry_on_intr(|| read(from, &mut buffer)) {
            Ok(0) => self.end(),
            Ok(length) => {
                self.left.extend_from_slice(&buffer[..length]);
                self.at_line_start = matches!(buffer[length - 1], b'\n' | b'\r');
            }
            Err(Errno::AGAIN) => {}
            // Moved to the background meanwhile, or hung up: something will tell which.
            Err(Errno::IO) if self.is_terminal => self.share = Share::Output,
            Err(errno) => return Err(errno).or_fail("can't read standard input"),
        }
        Ok(())
    }

    /// A terminal has no end; it has a key that says so (VEOF, termios(3)): what was typed is handed
    /// over as it is, and nothing typed is the end.
    fn end(&mut self) {
        self.from = None;
        let modes = self.to.as_ref().and_then(|to| tcgetattr(to).ok());
        let key = modes.map_or(0, |modes| modes.special_codes[SpecialCodeIndex::VEOF]);
        if key != 0 {
            self.left.resize(if self.at_line_start { 1 } else { 2 }, key);
        }
    }

    fn write(&mut self) {
        let Some(to) = self.to.as_ref().filter(|_| !self.left.is_empty()) else { return };
        match retry_on_intr(|| write(to, &self.left)) {
            Ok(length) => drop(self.left.drain(..length)),
            Err(Errno::AGAIN) => {}
            Err(_) => self.to = None,
        }
    }
}

impl Source for Output {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        let reads = self.share != Share::Nothing && self.left.is_empty();
        match &self.from {
            Some(from) if reads => Some(from.as_fd()),
            _ => (!self.left.is_empty()).then_some(self.to.as_fd()),
        }
    }

    fn events(&self) -> PollFlags {
        // With the last of it in sight there is nothing to wait for.
        let reads = self.left.is_empty() && !self.is_last;
        if reads { PollFlags::IN } else { PollFlags::OUT }
    }

    fn ready(&mut self) -> Result<()> {
        if self.left.is_empty() {
            self.read()?;
        }
        self.write()
    }

    fn terminal_changed(&mut self, share: Share) -> Result<()> {
        self.share = share;
        self.copy_size()
    }
}

impl Output {
    fn read(&mut self) -> Result<()> {
        let Some(from) = &self.from else { return Ok(()) };
        let mut buffer = [0; CHUNK];
        match retry_on_intr(|| read(from, &mut buffer)) {
            Ok(length) if length > 0 => self.left.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN) if !self.is_last => {}
            Ok(_) | Err(Errno::AGAIN | Errno::IO) => self.from = None,
            Err(errno) => return Err(errno).or_fail("can't read the app's terminal"),
        }
        Ok(())
    }

    /// Where nobody reads any more the app's terminal is hung up.
    fn write(&mut self) -> Result<()> {
        if self.left.is_empty() {
            return Ok(());
        }
        match retry_on_intr(|| write(&self.to, &self.left)) {
            Ok(length) => drop(self.left.drain(..length)),
            Err(Errno::AGAIN) => {}
            Err(Errno::PIPE | Errno::IO) => {
                self.from = None;
                self.left.clear();
                self.hung_up.set(true);
            }
            Err(errno) => return Err(errno).or_fail("can't write what the app's terminal shows"),
        }
        Ok(())
    }

    fn copy_size(&self) -> Result<()> {
        if let (Some(screen), Some(terminal)) = (&self.screen, &self.from)
            && let Ok(size) = tcgetwinsize(screen)
        {
            tcsetwinsize(terminal, size).or_fail("can't set the terminal's size")?;
        }
        Ok(())
    }
}

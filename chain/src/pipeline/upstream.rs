//! Whether the pipe on standard input comes from a stage of ours.
//!
//! Two laws hold: a stranger's data never becomes a plan, and an app never starts without the
//! stages before it. So a plan is taken from nobody but a process that is shown to be a filter of
//! ours, and what can't be decided ends in a refusal, never in a guess.

use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, fstat};

use crate::error::{Error, Result, ResultExt};
use crate::pipeline::holders::{self, Holder, Kind};
use crate::pipeline::peek;
use crate::plan;
use crate::sys;
use crate::tool::print_warning;

/// How much is looked at to tell a plan from other data.
const ENOUGH: usize = 64;
/// How often /proc is looked at anew, there being no event for another process's exec: first soon,
/// then ever more rarely.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(100);
/// After this long a person wants to know what is being waited for.
const SILENCE: Duration = Duration::from_secs(1);
/// How many programs between a filter of ours and this one are looked through.
const DEPTH: usize = 8;

/// A filter of ours that writes to this process's standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its process.
    pub pid: u32,
    /// The pipe between it and this one, as /proc names it.
    pub link: OsString,
}

/// Finds it, or `None` where standard input is no pipe or the pipe is a stranger's.
pub fn find() -> Result<Option<Upstream>> {
    let what = "can't examine";
    let Some(stdin) = sys::borrow(0) else { return Ok(None) };
    let mode = fstat(stdin).or_fail_on(what, "standard input")?.st_mode;
    if FileType::from_raw_mode(mode) != FileType::Fifo {
        return Ok(None);
    }
    let link = holders::link_of(std::process::id(), 0).ok_or_else(|| {
        Error::new("can't see who writes to standard input")
            .object("/proc/self/fd/0")
            .hint("a procfs at /proc shows it; --no-plan goes without")
    })?;
    Search { stdin, link, seen_ours: false }.run()
}

/// What one look at /proc tells.
enum Verdict {
    /// A filter of ours, its plan complete.
    Plan(u32),
    /// A stranger's pipe.
    NoPlan,
    Undecided,
}

struct Search {
    stdin: BorrowedFd<'static>,
    link: OsString,
    /// One of our tools has been seen to write here.
    seen_ours: bool,
}

impl Search {
    fn run(mut self) -> Result<Option<Upstream>> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let verdict = self.verdict();
            if let Verdict::Plan(pid) = verdict {
                return Ok(Some(Upstream { pid, link: self.link }));
            }
            let seen =
                peek::peek(self.stdin, ENOUGH).or_fail_on("can't look at", "standard input")?;
            if !plan::may_begin(&seen.bytes) {
                return Ok(None);
            }
            if !seen.bytes.is_empty() {
                // A filter says that it is one before it writes: look once more for one.
                return match self.verdict() {
                    Verdict::Plan(pid) => Ok(Some(Upstream { pid, link: self.link })),
                    _ => Err(not_shown()),
                };
            }
            match verdict {
                Verdict::NoPlan => return Ok(None),
                _ if seen.ended => return self.ended(),
                _ => {}
            }
            if !told && started.elapsed() >= SILENCE {
                told = true;
                print_warning(
                    &Error::new("waiting for standard input, to see whether it is a plan").hint(
                        "--no-plan starts COMMAND at once; --plan - reads a plan from any input",
                    ),
                );
            }
            peek::wait(self.stdin, pause).or_fail_on("can't wait for", "standard input")?;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    fn verdict(&mut self) -> Verdict {
        match self.judge(&holders::relatives()) {
            Some(Verdict::Undecided) | None => {
                self.judge(&holders::everybody()).unwrap_or_else(|| self.judge_hidden())
            }
            Some(verdict) => verdict,
        }
    }

    /// `None` if none of the candidates has the pipe.
    fn judge(&mut self, candidates: &[u32]) -> Option<Verdict> {
        let found = holders::holders(candidates, &self.link);
        let is_filter = |holder: &&Holder| {
            holder.kind == Kind::Ready
                && holders::link_of(holder.pid, 1).as_deref() == Some(self.link.as_os_str())
        };
        if let Some(filter) = found.iter().find(is_filter) {
            return Some(Verdict::Plan(filter.pid));
        }
        let parent = std::os::unix::process::parent_id();
        let writers: Vec<&Holder> = found.iter().filter(|holder| holder.writes).collect();
        let may_be_ours = |kind| matches!(kind, Kind::Ready | Kind::Ours | Kind::LooksLikeOurs);
        if writers.iter().any(|writer| may_be_ours(writer.kind)) {
            self.seen_ours = true;
            return Some(Verdict::Undecided);
        }
        let decided = |writer: &&&Holder| writer.kind == Kind::Foreign || writer.pid == parent;
        if writers.iter().any(|writer| !decided(&writer)) {
            return Some(Verdict::Undecided);
        }
        let hands_on = |writer: &&Holder| hands_on_a_plan(writer.pid, candidates, DEPTH);
        match writers.iter().any(hands_on) {
            _ if writers.is_empty() => None,
            true => Some(Verdict::Undecided),
            false => Some(Verdict::NoPlan),
        }
    }

    /// Nobody is seen to hold the other end. A parent that hides its descriptors, and is this
    /// user's, is taken to.
    fn judge_hidden(&self) -> Verdict {
        match holders::is_hidden_of_same_user(std::os::unix::process::parent_id()) {
            true => Verdict::NoPlan,
            false => Verdict::Undecided,
        }
    }

    /// The pipe was empty and every writer gone before it could be seen who they were. Where a
    /// shell may have put a stage of ours before this one, that stage may have been killed.
    fn ended(self) -> Result<Option<Upstream>> {
        if !self.seen_ours && !self.is_first_reader_of_a_shell() {
            return Ok(None);
        }
        Err(Error::new("standard input ended without a plan")
            .reason("a stage before this one in the pipe may have failed")
            .hint("--no-plan if no stage of Catena stands before it"))
    }

    /// Whether it was a shell that put this process, or a program that runs it, behind the pipe.
    /// A shell's own standard input, handed on to its commands, is no pipe of that kind.
    fn is_first_reader_of_a_shell(&self) -> bool {
        let mut reader = std::process::id();
        while let Some(parent) = holders::parent_of(reader) {
            if holders::link_of(parent, 0).as_deref() != Some(self.link.as_os_str()) {
                return holders::is_shell(parent);
            }
            if holders::is_shell(parent) {
                return false;
            }
            reader = parent;
        }
        false
    }
}

/// Whether program `pid` reads, by however many others, from a stage of ours, as jq(1), tee(1) and
/// cat(1) do between two of them.
fn hands_on_a_plan(pid: u32, candidates: &[u32], depth: usize) -> bool {
    let Some(link) = holders::link_of(pid, 0).filter(is_pipe) else { return false };
    let found = holders::holders(candidates, &link);
    found.iter().filter(|holder| holder.pid != pid).any(|holder| match holder.kind {
        Kind::Ready | Kind::Ours | Kind::LooksLikeOurs => true,
        Kind::NotYetExecuted => holder.writes,
        Kind::Foreign => {
            holder.writes && depth > 0 && hands_on_a_plan(holder.pid, candidates, depth - 1)
        }
    })
}

fn is_pipe(link: &OsString) -> bool {
    AsRef::<OsStr>::as_ref(link).to_str().is_some_and(|link| link.starts_with("pipe:"))
}

fn not_shown() -> Error {
    Error::new("standard input looks like a plan, and no stage of Catena is seen to write it")
        .hint("--plan - reads a plan from any input; --no-plan leaves the input to COMMAND")
}

//! Whether the pipe on standard input comes from a stage of ours.
//!
//! Two laws hold: a stranger's data never becomes a plan, and an app never starts without the
//! stages before it. So a plan is taken from nobody but a process that is shown to be a filter of
//! ours, and what can't be decided ends in a refusal, never in a guess.

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, fstat};

use crate::error::{Error, Result, ResultExt};
use crate::pipeline::holders::{self, Input};
use crate::pipeline::origin::{self, Origin, Origins};
use crate::pipeline::peek;
use crate::pipeline::process::{self, Kind};
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
    Search { stdin, link, suspects: Vec::new(), handed_on: false }.run()
}

/// What one look at /proc tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Writers that may be a stage and have not yet shown that they are none.
    suspects: Vec<u32>,
    /// A program that is not ours has been seen to read from a filter of ours and to write here.
    handed_on: bool,
}

impl Search {
    fn run(mut self) -> Result<Option<Upstream>> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        let mut verdict = match self.glance() {
            Some(Verdict::Undecided) => {
                self.wait(FIRST_PAUSE)?;
                self.verdict()
            }
            Some(plan) => plan,
            None => self.look(),
        };
        loop {
            if let Verdict::Plan(pid) = verdict {
                return Ok(Some(Upstream { pid, link: self.link }));
            }
            let seen =
                peek::peek(self.stdin, ENOUGH).or_fail_on("can't look at", "standard input")?;
            if !seen.bytes.is_empty() {
                return self.judge_bytes(&seen.bytes);
            }
            match verdict {
                Verdict::NoPlan if self.suspects.iter().any(|pid| process::is_over(*pid)) => {
                    return Err(ended());
                }
                Verdict::NoPlan => return Ok(None),
                _ if seen.ended => return self.judge_end(),
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
            self.wait(pause)?;
            pause = (pause * 2).min(LAST_PAUSE);
            verdict = self.verdict();
        }
    }

    /// Until there is something in the pipe, or nobody can write to it.
    fn wait(&self, patience: Duration) -> Result<()> {
        peek::wait(self.stdin, patience).or_fail_on("can't wait for", "standard input")
    }

    /// What the standard output of this process's relatives tells, which is where a stage of the same shell
    /// writes: a plan, or that there may soon be one. A tenth of the work of [`Search::look`].
    fn glance(&mut self) -> Option<Verdict> {
        let mut verdict = None;
        for pid in holders::relatives() {
            if holders::link_of(pid, 1).as_deref() != Some(&*self.link) {
                continue;
            }
            match process::kind_of(pid) {
                Kind::Ready => return Some(Verdict::Plan(pid)),
                Kind::Ours => {
                    self.suspect(pid);
                    verdict = Some(Verdict::Undecided);
                }
                Kind::InBetween => verdict = Some(Verdict::Undecided),
                Kind::LooksLikeOurs | Kind::Foreign => {}
            }
        }
        verdict
    }

    fn suspect(&mut self, pid: u32) {
        if !self.suspects.contains(&pid) {
            self.suspects.push(pid);
        }
    }

    /// A plan is the first one that is found, whoever else writes.
    fn verdict(&mut self) -> Verdict {
        match self.glance() {
            Some(plan @ Verdict::Plan(_)) => plan,
            _ => self.look(),
        }
    }

    fn look(&mut self) -> Verdict {
        // Who has run another exec since is no stage; who has ended is one that failed.
        self.suspects.retain(|&pid| {
            process::is_over(pid)
                || process::kind_of(pid) != Kind::Foreign
                || process::mentions_a_tool(pid)
        });
        let relatives = holders::relatives();
        let near = origin::writers(&relatives, &self.link);
        let look_further = near.look_further;
        match self.judge(near) {
            // All processes are many: they are looked at only where that can tell more.
            Some(Verdict::Undecided) if !look_further => Verdict::Undecided,
            Some(Verdict::Undecided) | None => {
                let everybody = origin::writers(&holders::everybody(), &self.link);
                self.judge(everybody).unwrap_or_else(judge_hidden)
            }
            Some(verdict) => verdict,
        }
    }

    /// `None` if nobody is seen to write.
    fn judge(&mut self, writers: Origins) -> Option<Verdict> {
        writers.suspects.iter().for_each(|pid| self.suspect(*pid));
        self.handed_on |= writers.found.contains(&Origin::HandedOn);
        let plan = writers.found.iter().find_map(|origin| match origin {
            Origin::Filter(pid) => Some(Verdict::Plan(*pid)),
            _ => None,
        });
        plan.or_else(|| match writers.found.iter().any(|origin| *origin != Origin::Stranger) {
            _ if writers.found.is_empty() => None,
            true => Some(Verdict::Undecided),
            false => Some(Verdict::NoPlan),
        })
    }

    fn judge_bytes(mut self, bytes: &[u8]) -> Result<Option<Upstream>> {
        if !self.handed_on && !plan::may_begin(bytes) {
            return Ok(None);
        }
        // A filter says that it is one before it writes: look once more for one.
        match self.verdict() {
            Verdict::Plan(pid) => Ok(Some(Upstream { pid, link: self.link })),
            _ => Err(not_shown()),
        }
    }

    /// The pipe was empty and every writer gone before it could be seen who they were. Where a
    /// shell may have put a stage of ours before this one, that stage may have been killed.
    fn judge_end(self) -> Result<Option<Upstream>> {
        let relatives = holders::relatives();
        let suspicious = self.handed_on
            || !self.suspects.is_empty()
            || relatives.iter().any(|pid| process::is_dead_tool(*pid))
            || self.is_first_reader_of_a_shell();
        if suspicious { Err(ended()) } else { Ok(None) }
    }

    /// Whether it was a shell that put this process, or a program that runs it, behind the pipe.
    /// A shell's own standard input, handed on to its commands, is no pipe of that kind.
    fn is_first_reader_of_a_shell(&self) -> bool {
        let mut link = self.link.clone();
        let mut reader = std::process::id();
        while let Some(parent) = process::parent_of(reader) {
            let above = holders::input_of(parent);
            if above != Input::Pipe(link.clone()) {
                match above {
                    // It relays its own input to the tool that it runs.
                    Input::Pipe(above) if process::names_a_tool(parent) => link = above,
                    _ => return process::is_shell(parent),
                }
            } else if process::is_shell(parent) && !process::is_fresh_copy(parent) {
                return false;
            }
            reader = parent;
        }
        false
    }
}

/// Nobody is seen to hold the other end. A parent that hides its descriptors, and is this user's,
/// is taken to.
fn judge_hidden() -> Verdict {
    match process::is_hidden_of_same_user(std::os::unix::process::parent_id()) {
        true => Verdict::NoPlan,
        false => Verdict::Undecided,
    }
}

fn ended() -> Error {
    Error::new("standard input ended without a plan")
        .reason("a stage before this one in the pipe may have failed")
        .hint("--no-plan if no stage of Catena stands before it")
}

fn not_shown() -> Error {
    Error::new("standard input looks like a plan, and no stage of Catena is seen to write it")
        .hint("--plan - reads a plan from any input; --no-plan leaves the input to COMMAND")
}

//! A chain that is running.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Cell, Ended, Outcome, User, sys};

/// How long processes and pipes may outlive a chain: they are told of its end by the kernel.
const AFTERMATH: Duration = Duration::from_secs(5);

/// A chain that has been started. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    over: OwnedFd,
    ended: Option<Ended>,
    command: String,
    user: User,
    cell: Option<Rc<Cell>>,
    end: Instant,
    leaves_processes: bool,
    stdout: Stream,
    stderr: Stream,
}

/// One output of the chain, as far as it was read.
#[derive(Debug)]
struct Stream {
    pipe: Option<File>,
    text: Vec<u8>,
}

impl Running {
    pub(crate) fn new(
        child: Child,
        outputs: [Option<OwnedFd>; 2],
        command: String,
        user: User,
        cell: Option<Rc<Cell>>,
        deadline: Duration,
        leaves_processes: bool,
    ) -> Running {
        let over = sys::pidfd_open(child.id().cast_signed()).expect("pidfd_open");
        let [stdout, stderr] = outputs.map(Stream::new);
        let end = Instant::now() + deadline;
        Running {
            child,
            over,
            ended: None,
            command,
            user,
            cell,
            end,
            leaves_processes,
            stdout,
            stderr,
        }
    }

    /// What it has written to stdout so far, as far as was waited for.
    pub fn stdout(&self) -> String {
        self.stdout.lossy()
    }

    /// The process that was started: the first link, and all that it has exec'd since.
    pub fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// All processes of the chain.
    #[track_caller]
    pub fn processes(&self) -> BTreeSet<i32> {
        self.cell.as_ref().expect("cgroups can be made").processes()
    }

    /// The chain's process that is PID 1 of a container, seen from outside.
    #[track_caller]
    pub fn init(&self) -> i32 {
        let is_init = |pid: i32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            ids.is_some_and(|ids| ids.split_whitespace().skip(1).last() == Some("1"))
        };
        let child = |pid: &i32| {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            children.ok()?.split_whitespace().next()?.parse().ok()
        };
        let mut line = std::iter::successors(Some(self.pid()), child);
        line.find(|pid| is_init(*pid)).expect("a process that is PID 1")
    }

    /// What it has written to stderr so far, as far as was waited for.
    pub fn stderr(&self) -> String {
        self.stderr.lossy()
    }

    /// Sends a signal to the process that was started.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        // It has not been waited for, so its number is still its own.
        assert!(self.ended.is_none(), "the chain is over\n{}", self.so_far());
        kill(Pid::from_raw(self.pid()), signal).expect("kill");
    }

    /// Waits until `text` stands on stdout.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.stdout.text).contains(text) {
            let what = || format!("waiting for {text:?} on stdout");
            assert!(self.stdout.pipe.is_some(), "it ended while {}\n{}", what(), self.so_far());
            if !self.step(self.end, false) {
                panic!("too late: {}\n{}", what(), self.so_far());
            }
        }
    }

    /// Waits until `text` stands on stdout somewhere behind the first `front`.
    #[track_caller]
    pub fn wait_for_after(&mut self, front: &str, text: &str) {
        let stands = |all: &str| all.split_once(front).is_some_and(|(_, rest)| rest.contains(text));
        while !stands(&self.stdout()) {
            assert!(self.stdout.pipe.is_some(), "it ended before {text:?}\n{}", self.so_far());
            if !self.step(self.end, false) {
                panic!("too late: waiting for {text:?} behind {front:?}\n{}", self.so_far());
            }
        }
    }

    /// Waits until `true_at_last` says so, asking again and again.
    #[track_caller]
    pub fn wait_until(&self, what: &str, mut true_at_last: impl FnMut() -> bool) {
        while !true_at_last() {
            assert!(Instant::now() < self.end, "too late: {what}\n{}", self.so_far());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until it has ended by itself or `true_at_last` says so, asking again and again.
    #[track_caller]
    pub fn wait_until_over_or(&mut self, what: &str, mut true_at_last: impl FnMut(&Self) -> bool) {
        while self.ended.is_none() && !true_at_last(self) {
            assert!(Instant::now() < self.end, "too late: {what}\n{}", self.so_far());
            self.step(Instant::now() + Duration::from_millis(2), true);
        }
    }

    /// Waits until it has ended, and checks that it has left no process behind.
    #[track_caller]
    pub fn finish(mut self) -> Outcome {
        // However long the test has used it.
        let end = self.end.max(Instant::now() + AFTERMATH);
        while self.ended.is_none() {
            if !self.step(end, true) {
                panic!("it did not end in time\n{}", self.so_far());
            }
        }
        let aftermath = Instant::now() + AFTERMATH;
        let left = match (&self.cell, self.leaves_processes) {
            (Some(cell), false) => cell.wait_until_empty(AFTERMATH),
            _ => BTreeSet::new(),
        };
        let names = || left.iter().map(|pid| name(*pid)).collect::<Vec<_>>().join(", ");
        assert!(left.is_empty(), "it left processes behind: {}\n{}", names(), self.so_far());
        while !self.leaves_processes && (self.stdout.pipe.is_some() || self.stderr.pipe.is_some()) {
            if !self.step(aftermath, true) {
                panic!("somebody still holds its output open\n{}", self.so_far());
            }
        }
        while self.leaves_processes && self.step(Instant::now(), true) {}
        self.so_far()
    }

    /// Waits for one thing to happen, until `end`; says whether something did.
    fn step(&mut self, end: Instant, may_end: bool) -> bool {
        let watch_end = may_end && self.ended.is_none();
        let mut watched = Vec::new();
        for stream in [&self.stdout, &self.stderr] {
            watched.extend(stream.pipe.as_ref().map(|pipe| readable(pipe)));
        }
        if watch_end {
            watched.push(readable(&self.over));
        }
        let left = end.saturating_duration_since(Instant::now());
        // Rounded up: a wait for less than a millisecond is a wait all the same.
        let left = u16::try_from(left.as_millis() + u128::from(!left.is_zero()));
        let count = match watched.is_empty() {
            true => 0,
            false => {
                poll(&mut watched, left.map_or(PollTimeout::MAX, PollTimeout::from)).expect("poll")
            }
        };
        let mut ready: BTreeSet<usize> = BTreeSet::new();
        ready.extend(
            watched.iter().enumerate().filter(|(_, fd)| fd.any() == Some(true)).map(|(i, _)| i),
        );
        let mut place = 0;
        for stream in [&mut self.stdout, &mut self.stderr] {
            if stream.pipe.is_some() {
                if ready.contains(&place) {
                    stream.read();
                }
                place += 1;
            }
        }
        if watch_end && ready.contains(&place) {
            self.ended = Some(self.child.wait().expect("wait").into());
        }
        count > 0
    }

    /// What is known so far.
    fn so_far(&self) -> Outcome {
        Outcome {
            command: self.command.clone(),
            user: self.user,
            ended: self.ended,
            stdout: self.stdout.lossy(),
            stderr: self.stderr.lossy(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Stream {
    fn new(pipe: Option<OwnedFd>) -> Stream {
        Stream { pipe: pipe.map(File::from), text: Vec::new() }
    }

    fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        let mut buffer = [0; 65536];
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) => self.pipe = None,
            Ok(length) => self.text.extend(&buffer[..length]),
        }
    }

    fn lossy(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }
}

fn readable<F: AsFd>(fd: &F) -> PollFd<'_> {
    PollFd::new(fd.as_fd(), PollFlags::POLLIN)
}

/// A process's number and command line, for messages.
fn name(pid: i32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid} ({})", String::from_utf8_lossy(&line).replace('\0', " ").trim_end())
}

//! The monitor: what a stage that must fork does until its child has ended.
//!
//! Two functions, forward (`forward.rs`) and reap, in one loop that sleeps until a descriptor is
//! ready. `job.rs` follows the terminal's stop and continue.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Result, ResultExt};
pub use crate::fork::{Fork, Role};
pub use crate::forward::{Rewrite, Target};
use crate::hearing::Hearing;
use crate::job::Job;
pub use crate::job::Share;
use crate::leash::Leash;
use crate::signal::{Signal, SignalSet};
pub use crate::status::Status;
use crate::sys::{self, Change};
use crate::terminal::Terminal;

/// Something else that the monitor's loop waits for.
pub trait Source {
    /// The descriptor that becomes ready; `None` once there is nothing to wait for.
    fn descriptor(&self) -> Option<BorrowedFd<'_>>;
    /// What it is waited for; readable unless the source says otherwise.
    fn events(&self) -> PollFlags {
        PollFlags::IN
    }
    /// It has become so, or its other end is gone.
    fn ready(&mut self) -> Result<()>;
    /// The child, which leads a terminal of its own, now has this share of the caller's; or the
    /// size of that has changed.
    fn terminal_changed(&mut self, _share: Share) -> Result<()> {
        Ok(())
    }
}

/// What a monitor says on standard error of what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Talk {
    /// Each signal that is forwarded.
    pub signals: bool,
    /// Each orphan that is reaped.
    pub orphans: bool,
}

/// The parent of a forked chain.
#[derive(Debug)]
pub struct Monitor {
    pub(crate) child: i32,
    pub(crate) pidfd: OwnedFd,
    signals: OwnedFd,
    leash: Leash,
    pub(crate) job: Job,
    pub(crate) status: Option<Status>,
    pub(crate) target: Target,
    pub(crate) rewrite: Rewrite,
    pub(crate) talk: Talk,
    /// The signal that asks the child to end, and the time it then has.
    pub(crate) patience: Option<(Signal, Duration)>,
    /// When that time is over.
    pub(crate) deadline: Option<Instant>,
    /// A signal has come that ends a process.
    pub(crate) is_asked_to_end: bool,
    pub(crate) hearing: Hearing,
    /// When it gives back the memory that its start took; `None` once it has. Most apps that end at
    /// all end before, and then that is no worth the time.
    settles: Option<Instant>,
}

/// When an app is one that stays.
const SETTLING_TIME: Duration = Duration::from_millis(100);

impl Monitor {
    /// What a monitor hears signals by: to be had before there is a child that would have to be
    /// ended for want of it.
    pub(crate) fn signals() -> Result<OwnedFd> {
        sys::signalfd(SignalSet::ALL.0).or_fail("can't make a signalfd")
    }

    pub(crate) fn new(
        child: i32,
        pidfd: OwnedFd,
        signals: OwnedFd,
        leash: Leash,
        terminal: Option<Terminal>,
        is_init: bool,
    ) -> Self {
        Monitor {
            child,
            pidfd,
            signals,
            leash,
            job: Job::new(terminal, is_init),
            status: None,
            target: Target::Child,
            rewrite: Rewrite::default(),
            talk: Talk::default(),
            patience: None,
            deadline: None,
            is_asked_to_end: false,
            hearing: Hearing::default(),
            settles: Some(Instant::now() + SETTLING_TIME),
        }
    }

    pub(crate) fn tie(&self, death_signal: Signal) -> Result<()> {
        self.leash.tie(self.child, death_signal)
    }

    /// The child's process id in this process's PID namespace.
    pub fn child(&self) -> i32 {
        self.child
    }

    /// Chooses who gets the signals: the child alone unless this is called.
    pub fn forward_to(&mut self, target: Target) {
        self.target = target;
    }

    /// Chooses what becomes of each signal on its way: nothing unless this is called.
    pub fn rewrite(&mut self, rewrite: Rewrite) {
        self.rewrite = rewrite;
    }

    /// Sends KILL if `signal` has been forwarded and the child has not ended within `time`.
    pub fn kill_after(&mut self, signal: Signal, time: Duration) {
        self.patience = Some((signal, time));
    }

    /// Chooses what is said on standard error.
    pub fn talk(&mut self, talk: Talk) {
        self.talk = talk;
    }

    /// How the child ended, once it has.
    pub fn status(&self) -> Option<Status> {
        self.status
    }

    /// Waits for the child, runs `clean_up`, and ends this process the way the child ended.
    pub fn run(self, clean_up: impl FnOnce(Status) -> Result<()>) -> Result<Infallible> {
        self.run_with(&mut [], clean_up)
    }

    /// As [`Monitor::run`], serving `sources` until the child has ended.
    pub fn run_with(
        mut self,
        sources: &mut [&mut dyn Source],
        clean_up: impl FnOnce(Status) -> Result<()>,
    ) -> Result<Infallible> {
        let status = self.wait(sources)?;
        clean_up(status)?;
        self.finish(status)
    }

    /// Gives the terminal back and ends this process the way the child ended.
    pub fn finish(self, status: Status) -> ! {
        self.job.take_terminal_back(self.status.is_some_and(Status::looks_violent));
        status.mirror()
    }

    /// Waits until the child has ended.
    pub fn wait(&mut self, sources: &mut [&mut dyn Source]) -> Result<Status> {
        loop {
            if let Some(status) = self.status {
                self.end_errand();
                return Ok(status);
            }
            self.turn(None, sources)?;
        }
    }

    /// Waits, at most for `patience` if that is given, until no child is left, serving `sources`;
    /// says whether that is so.
    pub fn wait_for_all(
        &mut self,
        patience: Option<Duration>,
        sources: &mut [&mut dyn Source],
    ) -> Result<bool> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        while self.reap()? {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            self.turn(deadline, sources)?;
        }
        Ok(true)
    }

    /// Serves `sources` until none of them waits for anything, or this process is asked to end.
    pub fn flush(&mut self, sources: &mut [&mut dyn Source]) -> Result<()> {
        self.is_asked_to_end = false;
        while !self.is_asked_to_end && sources.iter().any(|source| source.descriptor().is_some()) {
            self.turn(None, sources)?;
        }
        Ok(())
    }

    /// Sends KILL to the target until no child is left: what was born in between is found when
    /// the death of its parent wakes this process.
    pub fn kill_all(&mut self, sources: &mut [&mut dyn Source]) -> Result<()> {
        while self.reap()? && self.send_to_any(Signal::KILL)? {
            self.turn(None, sources)?;
        }
        Ok(())
    }

    /// One turn of the loop: sleeps until something is ready, or until `deadline`.
    fn turn(&mut self, deadline: Option<Instant>, sources: &mut [&mut dyn Source]) -> Result<()> {
        if std::mem::take(&mut self.job.news) {
            for source in &mut *sources {
                source.terminal_changed(self.job.share)?;
            }
        }
        let until = [deadline, self.deadline, self.settles].into_iter().flatten().min();
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        let ready: Vec<bool> = {
            let mut poll_fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
            let open: Vec<_> = sources
                .iter()
                .map(|source| source.descriptor().map(|fd| (fd, source.events())))
                .collect();
            // A slot for each source, so that the indices match; the signals stand in for a
            // source that is closed, and are asked for nothing.
            poll_fds.extend(open.iter().map(|fd| match fd {
                Some((fd, events)) => PollFd::from_borrowed_fd(*fd, *events),
                None => PollFd::new(&self.signals, PollFlags::empty()),
            }));
            if self.status.is_none() {
                poll_fds.push(PollFd::new(&self.pidfd, PollFlags::IN));
            }
            match poll(&mut poll_fds, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).or_fail("can't wait for the child"),
            }
            poll_fds.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect()
        };
        for (source, ready) in sources.iter_mut().zip(ready) {
            if ready {
                source.ready()?;
            }
        }
        /// So that a storm of signals doesn't keep the dead waiting.
        const BATCH: usize = 64;
        for _ in 0..BATCH {
            match sys::read_signal(self.signals.as_fd()).or_fail("can't read signals")? {
                Some(info) => self.forward(info)?,
                None => break,
            }
        }
        if self.settles.is_some_and(|time| Instant::now() >= time) {
            self.settles = None;
            crate::help::forget();
            sys::give_memory_back();
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.deadline = None;
            self.send_to_any(Signal::KILL)?;
        }
        self.reap().map(drop)
    }

    /// Collects every child that has ended, this one's or an orphan that was handed to it, and
    /// follows the child into a stop. Says whether any child is left.
    fn reap(&mut self) -> Result<bool> {
        loop {
            match sys::wait_any() {
                Ok(None) => return Ok(true),
                Ok(Some((pid, change))) if pid == self.child => match change {
                    Change::Exited(code) => self.status = Some(Status::Exited(code)),
                    Change::Signaled(number) => {
                        self.status = Signal::from_number(number).map(Status::Signaled);
                    }
                    Change::Stopped(number) => self.follow_stop(number)?,
                },
                Ok(Some((pid, change))) => {
                    if !self.errand_returned(pid, change)? && self.talk.orphans {
                        crate::tool::print_note(&format!("reaped orphan {pid}: {change}"));
                    }
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::ECHILD) => return Ok(false),
                    _ => return Err(error).or_fail("can't wait for the child"),
                },
            }
        }
    }
}

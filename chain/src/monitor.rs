//! The monitor: what a stage that must fork does until its child has ended.
//!
//! Two functions, forward and reap, in one loop that sleeps until a descriptor is ready.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::error::{Error, FAILED, Result, ResultExt};
use crate::leash::Leash;
use crate::next::Next;
use crate::signal::{Signal, SignalSet};
use crate::sys::{self, Change, Forked, SignalInfo};
use crate::terminal::Terminal;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It called exit(3).
    Exited(u8),
    /// A signal ended it.
    Signaled(Signal),
}

impl Status {
    /// The exit status that a shell shows: 128+n for signal n.
    pub fn code(self) -> u8 {
        match self {
            Status::Exited(code) => code,
            Status::Signaled(signal) => 128 + signal.number() as u8,
        }
    }

    /// Ends this process the way the child ended. PID 1 can't die by a signal of its own, and
    /// exits with 128+n.
    pub fn mirror(self) -> ! {
        if let Status::Signaled(signal) = self
            && std::process::id() != 1
        {
            // The child's core dump, if any, is the one that tells something.
            let _ = nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0);
            let _ = sys::set_ignored(signal.number(), false);
            let _ = SignalSet::ALL.without(signal).block();
            let _ = sys::send_signal(std::process::id() as i32, signal.number());
        }
        sys::exit_now(self.code())
    }
}

/// What the forked child is to be.
#[derive(Debug)]
pub struct Fork<'a> {
    /// New namespaces for it: `CLONE_NEW*` of clone(2).
    pub namespaces: u64,
    /// The v2 cgroup that it starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// What it gets when the monitor dies.
    pub death_signal: Signal,
}

impl Default for Fork<'_> {
    fn default() -> Self {
        Fork { namespaces: 0, cgroup: None, death_signal: Signal::KILL }
    }
}

/// Which of the two processes this is after [`Next::fork`].
#[derive(Debug)]
pub enum Role {
    /// The child, which goes on along the chain.
    Child(Next),
    /// The monitor.
    Monitor(Monitor),
}

impl Next {
    /// Forks. The child goes on once `prepare` has succeeded in the monitor (given the child's
    /// process id); if that fails the child never gets further.
    pub fn fork(mut self, how: &Fork<'_>, prepare: impl FnOnce(i32) -> Result<()>) -> Result<Role> {
        let forker = std::process::id();
        let leash = Leash::new()?;
        let (wait, go) = pipe_with(PipeFlags::CLOEXEC).or_fail("can't make a pipe")?;
        // A caller's ignored SIGCHLD would take the child's status away.
        sys::set_ignored(libc::SIGCHLD, false).or_fail("can't reset SIGCHLD")?;
        SignalSet::ALL.block().or_fail("can't block signals")?;
        let what = if how.namespaces == 0 { "can't fork" } else { "can't create namespaces" };
        match sys::fork(how.namespaces, how.cgroup).or_fail(what)? {
            Forked::Child => {
                drop(go);
                let leash = leash.into_child(how.death_signal)?;
                self.become_child(leash, forker);
                let mut byte = [0];
                match rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut byte)) {
                    Ok(1) => Ok(Role::Child(self)),
                    // The monitor failed, and says why.
                    _ => sys::exit_now(FAILED),
                }
            }
            Forked::Parent { pid, pidfd } => {
                // The toolbox must be closed here before the child runs on: see `toolbox`.
                let terminal = self.terminal.take();
                self.abandon();
                let monitor = Monitor::new(pid, pidfd, leash, terminal)?;
                prepare(pid)?;
                monitor.leash.tie(pid, how.death_signal)?;
                rustix::io::write(&go, &[1]).or_fail("can't start the child")?;
                Ok(Role::Monitor(monitor))
            }
        }
    }
}

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
}

/// Which processes get a forwarded signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The child alone.
    Child,
    /// The process group that the child leads.
    Group,
    /// Every process that this one may signal (PID 1: all of its namespace).
    All,
}

/// The parent of a forked chain.
#[derive(Debug)]
pub struct Monitor {
    child: i32,
    pidfd: OwnedFd,
    signals: OwnedFd,
    leash: Leash,
    terminal: Option<Terminal>,
    status: Option<Status>,
    target: Target,
}

impl Monitor {
    fn new(child: i32, pidfd: OwnedFd, leash: Leash, terminal: Option<Terminal>) -> Result<Self> {
        let signals = sys::signalfd(SignalSet::ALL.0).or_fail("can't make a signalfd")?;
        Ok(Monitor { child, pidfd, signals, leash, terminal, status: None, target: Target::Child })
    }

    /// The child's process id in this process's PID namespace.
    pub fn child(&self) -> i32 {
        self.child
    }

    /// Chooses who gets the signals: the child alone unless this is called.
    pub fn forward_to(&mut self, target: Target) {
        self.target = target;
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
        if let Some(terminal) = &self.terminal {
            terminal.take_back();
        }
        status.mirror()
    }

    /// Waits until the child has ended.
    pub fn wait(&mut self, sources: &mut [&mut dyn Source]) -> Result<Status> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            self.turn(None, sources)?;
        }
    }

    /// Waits, at most for `patience` if that is given, until no child is left; says whether that
    /// is so.
    pub fn wait_for_all(&mut self, patience: Option<Duration>) -> Result<bool> {
        let deadline = patience.map(|patience| Instant::now() + patience);
        while self.reap()? {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            self.turn(deadline, &mut [])?;
        }
        Ok(true)
    }

    /// One turn of the loop: sleeps until something is ready, or until `deadline`.
    fn turn(&mut self, deadline: Option<Instant>, sources: &mut [&mut dyn Source]) -> Result<()> {
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
        });
        let ready: Vec<bool> = {
            let mut poll_fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
            let open: Vec<_> = sources
                .iter()
                .map(|source| source.descriptor().map(|fd| (fd, source.events())))
                .collect();
            // A slot for each source, so that the indices match; the child stands in for a
            // source that is closed, and asks for nothing.
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
        while let Some(info) =
            sys::read_signal(self.signals.as_fd()).or_fail("can't read signals")?
        {
            self.forward(info)?;
        }
        self.reap().map(drop)
    }

    /// Sends a signal on to the child. What the terminal sent to the process group the child has
    /// had already, if it is in this one's.
    fn forward(&self, info: SignalInfo) -> Result<()> {
        const SI_KERNEL: i32 = 0x80;
        let Some(signal) = Signal::from_number(info.signal).filter(|s| *s != Signal::CHLD) else {
            return Ok(());
        };
        if info.code == SI_KERNEL && self.shares_group() {
            return Ok(());
        }
        let sent = match self.target {
            Target::Child if info.code == libc::SI_QUEUE => {
                sys::queue_signal(self.pidfd.as_fd(), info.signal, info.value)
            }
            _ => self.send(signal),
        };
        match sent {
            // It is gone, which SIGCHLD tells too; or it has become another user's.
            Ok(()) => Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            Err(error) => {
                let error =
                    Error::new("can't forward signal").object(signal.to_string()).because(error);
                crate::tool::print_warning(&error);
                Ok(())
            }
        }
    }

    fn shares_group(&self) -> bool {
        nix::unistd::getpgid(Some(Pid::from_raw(self.child))) == Ok(nix::unistd::getpgrp())
    }

    /// Sends `signal` to the target and says whether there was anybody to get it.
    pub fn send_to_any(&self, signal: Signal) -> Result<bool> {
        match self.send(signal) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(false),
            Err(error) => Err(error).or_fail_on("can't send signal", signal.to_string()),
        }
    }

    /// Sends `signal` to the target.
    fn send(&self, signal: Signal) -> io::Result<()> {
        let to = match self.target {
            Target::Child => self.child,
            Target::Group => -self.child,
            Target::All => -1,
        };
        sys::send_signal(to, signal.number())
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
                    Change::Stopped(_) => self.follow_stop(),
                },
                Ok(Some(_)) => {}
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::ECHILD) => return Ok(false),
                    _ => return Err(error).or_fail("can't wait for the child"),
                },
            }
        }
    }

    /// The child was stopped (Ctrl-Z): this process stops too, so that the shell gets its prompt
    /// back. The SIGCONT that ends it is forwarded like any signal. PID 1 can't be stopped.
    fn follow_stop(&self) {
        let _ = sys::send_signal(std::process::id() as i32, Signal::STOP.number());
    }
}

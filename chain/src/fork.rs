//! The fork of a stage that needs one: the child goes on along the chain, the parent becomes its
//! monitor.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use crate::error::{Error, FAILED, Result, ResultExt};
use crate::leash::{self, Leash};
use crate::monitor::Monitor;
use crate::next::Next;
use crate::signal::{Signal, SignalSet};
use crate::sys::{self, Forked};
use crate::terminal::Terminal;

/// What the forked child is to be.
#[derive(Debug)]
pub struct Fork<'a> {
    /// New namespaces for it: `CLONE_NEW*` of clone(2).
    pub namespaces: u64,
    /// The v2 cgroup that it starts in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// What it gets when the monitor dies.
    pub death_signal: Signal,
    /// The monitor must not stand still until the child's exec: it may be stopped on its way there
    /// (by a freezer), or need what the monitor does.
    pub monitor_runs: bool,
}

impl Default for Fork<'_> {
    fn default() -> Self {
        Fork { namespaces: 0, cgroup: None, death_signal: Signal::KILL, monitor_runs: false }
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

fn refusal(how: &Fork<'_>) -> &'static str {
    if how.namespaces == 0 { "can't fork" } else { "can't create namespaces" }
}

/// In a child that has failed.
fn end(result: Result<Infallible>) -> ! {
    let Err(error) = result;
    crate::tool::fail(&crate::start::own_name(), &error)
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
        match sys::fork(how.namespaces, how.cgroup).or_fail(refusal(how))? {
            Forked::Child => {
                drop(go);
                let leash = leash.into_child(how.death_signal)?;
                let new_pid_namespace = how.namespaces & libc::CLONE_NEWPID as u64 != 0;
                self.become_child(leash, forker, new_pid_namespace);
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
                let is_init = how.namespaces & libc::CLONE_NEWPID as u64 != 0;
                let monitor =
                    Monitor::new(pid, pidfd, Monitor::signals()?, leash, terminal, is_init);
                prepare(pid)?;
                monitor.tie(how.death_signal)?;
                rustix::io::write(&go, &[1]).or_fail("can't start the child")?;
                Ok(Role::Monitor(monitor))
            }
        }
    }

    /// Starts a child that goes on by `child` at once, without anything that its monitor would have to do
    /// first. Where that can be, it has this process's memory until its exec, and this process
    /// stands still meanwhile: see [`sys::spawn`].
    pub fn spawn(
        mut self,
        how: &Fork<'_>,
        child: impl FnOnce(Next) -> Result<Infallible>,
    ) -> Result<Monitor> {
        // The toolbox must be closed here before there can be an app: see `toolbox`.
        if self.passes_toolbox_on() {
            return match self.fork(how, |_| Ok(()))? {
                Role::Child(next) => end(child(next)),
                Role::Monitor(monitor) => Ok(monitor),
            };
        }
        // Who owns a new user namespace may trace the child, and so would write the monitor's
        // memory. A terminal can stop the child. A link that is gone on as may fork in its turn.
        let separate = (libc::CLONE_NEWTIME | libc::CLONE_NEWUSER) as u64;
        let has_own_memory = how.monitor_runs
            || how.namespaces & separate != 0
            || self.terminal.is_some()
            || self.follower().is_some();
        let forker = std::process::id();
        let leash = Leash::new()?;
        sys::set_ignored(libc::SIGCHLD, false).or_fail("can't reset SIGCHLD")?;
        SignalSet::ALL.block().or_fail("can't block signals")?;
        let terminal = self.terminal.as_ref().map(Terminal::try_clone).transpose()?;
        self.close_toolbox();
        let of_child = self.descriptors();
        let signals = Monitor::signals()?;
        let is_init = how.namespaces & libc::CLONE_NEWPID as u64 != 0;
        let run = || {
            end(leash.for_child(how.death_signal).and_then(|leash| {
                self.become_child(leash, forker, is_init);
                child(self)
            }))
        };
        let spawned = sys::spawn(how.namespaces, how.cgroup, !has_own_memory, run);
        let spawned = spawned.or_fail(refusal(how))?;
        of_child.into_iter().for_each(|fd| drop(sys::adopt(fd)));
        let monitor = Monitor::new(spawned.pid, spawned.pidfd, signals, leash, terminal, is_init);
        for signal in [Signal::TSTP, Signal::TTIN, Signal::TTOU] {
            if SignalSet(spawned.held).has(signal) {
                monitor.send(signal).or_fail("can't stop the child")?;
            }
        }
        Ok(monitor)
    }

    /// Forks into a container: the child is born where `enter` leads to.
    ///
    /// A process enters a PID namespace only by being born there, and this one is to stay outside,
    /// with its own ids. So a short-lived one goes in, by `enter`, and gives birth to the child,
    /// which is this process's own by CLONE_PARENT.
    pub fn fork_into(mut self, enter: impl FnOnce() -> Result<()>) -> Result<Role> {
        let forker = std::process::id();
        let death_signal = Signal::KILL;
        let leash = Leash::new()?;
        let pipe = || pipe_with(PipeFlags::CLOEXEC).or_fail("can't make a pipe");
        let ((wait, go), (cradle, birth)) = (pipe()?, pipe()?);
        sys::set_ignored(libc::SIGCHLD, false).or_fail("can't reset SIGCHLD")?;
        SignalSet::ALL.block().or_fail("can't block signals")?;
        let midwife = match sys::fork(0, None).or_fail("can't fork")? {
            Forked::Parent { pid, pidfd: _ } => pid,
            Forked::Child => {
                drop((go, cradle));
                let leash = leash.into_child(death_signal)?;
                enter()?;
                match sys::fork(libc::CLONE_PARENT as u64, None).or_fail("can't fork")? {
                    Forked::Parent { pid, pidfd: _ } => {
                        let told = rustix::io::write(&birth, &pid.to_ne_bytes());
                        sys::exit_now(if told.is_ok() { 0 } else { FAILED });
                    }
                    Forked::Child => {
                        drop(birth);
                        leash::arm(death_signal, leash.as_fd())?;
                        self.become_child(leash, forker, true);
                        let mut byte = [0];
                        match rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut byte)) {
                            Ok(1) => return Ok(Role::Child(self)),
                            _ => sys::exit_now(FAILED),
                        }
                    }
                }
            }
        };
        drop(birth);
        let terminal = self.terminal.take();
        self.abandon();
        let mut bytes = [0; 4];
        let told = rustix::io::retry_on_intr(|| rustix::io::read(&cradle, &mut bytes));
        let ended =
            rustix::io::retry_on_intr(|| waitpid(Pid::from_raw(midwife), WaitOptions::empty()));
        let status = ended.ok().flatten().and_then(|(_, status)| status.exit_status());
        match (told, status) {
            (Ok(4), Some(0)) => {}
            // It has said why itself.
            (_, Some(status)) if status > 0 => sys::exit_now(status as u8),
            _ => return Err(Error::new("can't enter").reason("the process that went in was ended")),
        }
        let pid = i32::from_ne_bytes(bytes);
        // The child of this process, which alone waits for it: the number is its own.
        let child = Pid::from_raw(pid).ok_or_else(|| Error::new("can't fork"))?;
        let pidfd = pidfd_open(child, PidfdFlags::empty()).or_fail("can't open the child")?;
        let monitor = Monitor::new(pid, pidfd, Monitor::signals()?, leash, terminal, false);
        monitor.tie(death_signal)?;
        rustix::io::write(&go, &[1]).or_fail("can't start the child")?;
        Ok(Role::Monitor(monitor))
    }
}

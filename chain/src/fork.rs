//! The fork of a stage that needs one: the child goes on along the chain, the parent becomes its
//! monitor.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};

use crate::error::{Error, FAILED, Result, ResultExt};
use crate::leash::{self, Leash};
use crate::monitor::Monitor;
use crate::next::Next;
use crate::signal::{Signal, SignalSet};
use crate::sys::{self, Forked};

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
                let monitor = Monitor::new(pid, pidfd, leash, terminal, is_init)?;
                prepare(pid)?;
                monitor.tie(how.death_signal)?;
                rustix::io::write(&go, &[1]).or_fail("can't start the child")?;
                Ok(Role::Monitor(monitor))
            }
        }
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
        let monitor = Monitor::new(pid, pidfd, leash, terminal, false)?;
        monitor.tie(death_signal)?;
        rustix::io::write(&go, &[1]).or_fail("can't start the child")?;
        Ok(Role::Monitor(monitor))
    }
}

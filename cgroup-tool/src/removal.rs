//! Removing a cgroup with all that is in it: kill, wait until it is empty, depth first, bounded.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use chain::{Errno, Error, Result, ResultExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::group::Group;
use crate::position::Version;

/// Only a process that hangs in the kernel takes so long to die.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where the kernel offers nothing to wait on.
const PAUSE: Duration = Duration::from_millis(2);

/// Removes the cgroup `name` in `parent`; it may be gone already.
pub fn remove(parent: &Group, name: &str) -> Result<()> {
    // Most often it is empty.
    if parent.remove(name).is_ok() {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
    let group = match parent.open(name) {
        Ok(group) => group,
        Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(()),
        Err(error) => return Err(error),
    };
    kill(&group, deadline)?;
    remove_empty(parent, name, deadline)
}

fn remove_empty(parent: &Group, name: &str, deadline: Instant) -> Result<()> {
    loop {
        let errno = match parent.remove(name) {
            Ok(()) => return Ok(()),
            Err(errno) => errno,
        };
        let failed = |errno| {
            Error::new("can't remove the cgroup").object(parent.path.join(name)).because(errno)
        };
        if errno != Errno::EBUSY || Instant::now() > deadline {
            return Err(failed(errno));
        }
        let group = match parent.open(name) {
            Ok(group) => group,
            Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error),
        };
        let children = group.children()?;
        for child in &children {
            remove_empty(&group, child, deadline)?;
        }
        if children.is_empty() {
            wait(&mut [], Instant::now() + PAUSE)?;
        }
    }
}

/// Kills every process in `group` and below, and waits until none is left.
pub fn kill(group: &Group, deadline: Instant) -> Result<()> {
    match group.version {
        Version::V2 => {
            group.write("cgroup.kill", "1")?;
            wait_until_empty(group, Some(deadline))?;
        }
        Version::V1 => kill_each(group, deadline)?,
    }
    if group.is_populated()? {
        return Err(Error::new("can't empty the cgroup")
            .object(&group.path)
            .reason(format!("processes survive SIGKILL for {} s", PATIENCE.as_secs())));
    }
    Ok(())
}

/// Waits until no process is left in the v2 cgroup or below; says whether that is so.
pub fn wait_until_empty(group: &Group, deadline: Option<Instant>) -> Result<bool> {
    let events = group
        .file("cgroup.events", OFlags::RDONLY)
        .or_fail_on("can't open", group.path.join("cgroup.events"))?;
    loop {
        let mut buffer = [0; 256];
        let length = rustix::io::pread(&events, &mut buffer, 0)
            .or_fail_on("can't read", group.path.join("cgroup.events"))?;
        if buffer[..length].split(|&byte| byte == b'\n').any(|line| line == b"populated 0") {
            return Ok(true);
        }
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Ok(false);
        }
        let mut poll_fds = [PollFd::new(&events, PollFlags::PRI)];
        match deadline {
            Some(deadline) => wait(&mut poll_fds, deadline)?,
            None => match poll(&mut poll_fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno).or_fail("can't wait for the cgroup"),
            },
        }
    }
}

/// Without cgroup.kill: stop them all, so that none can fork meanwhile, kill, let them die.
fn kill_each(group: &Group, deadline: Instant) -> Result<()> {
    let freezes = group.has("freezer.state");
    loop {
        if freezes {
            group.write("freezer.state", "FROZEN")?;
        }
        let killed = signal_each(group, Signal::KILL);
        if freezes {
            group.write("freezer.state", "THAWED")?;
        }
        let killed = killed?;
        if !group.is_populated()? || Instant::now() >= deadline {
            return Ok(());
        }
        for pidfd in &killed {
            wait(&mut [PollFd::new(pidfd, PollFlags::IN)], deadline)?;
        }
        if killed.is_empty() {
            wait(&mut [], Instant::now() + PAUSE)?;
        }
    }
}

/// Sends `signal` to every process in `group` and below; returns whom it reached.
pub fn signal_each(group: &Group, signal: Signal) -> Result<Vec<OwnedFd>> {
    let mut reached = Vec::new();
    for pid in group.processes()? {
        let Some(pid) = Pid::from_raw(pid) else {
            return Err(
                Error::new("can't signal a process of another PID namespace").object(&group.path)
            );
        };
        let failed = |errno| {
            Error::new("can't signal process")
                .object(pid.as_raw_nonzero().to_string())
                .because(errno)
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => pidfd,
            // It has died meanwhile (EINVAL: a thread's id).
            Err(rustix::io::Errno::SRCH) => continue,
            Err(errno) => return Err(failed(errno)),
        };
        // The id may have been given to another process before it was opened.
        if !group.processes()?.contains(&pid.as_raw_nonzero().get()) {
            continue;
        }
        match pidfd_send_signal(&pidfd, signal) {
            Ok(()) => reached.push(pidfd),
            Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    for name in group.children()? {
        match group.open(&name) {
            Ok(child) => reached.extend(signal_each(&child, signal)?),
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(reached)
}

/// Sleeps until one of `poll_fds` is ready, at most until `deadline`.
fn wait(poll_fds: &mut [PollFd<'_>], deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    match poll(poll_fds, Some(&timeout)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).or_fail("can't wait for processes to end"),
    }
}

//! Emptying a cgroup and removing it: kill, wait until it is empty, depth first, bounded.

use std::time::{Duration, Instant};

use chain::signal::Signal;
use chain::{Errno, Error, Result, ResultExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use crate::group::Group;
use crate::position::Version;
use crate::processes;

/// Only a process that hangs in the kernel takes so long to die.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where the kernel offers nothing to wait on.
const PAUSE: Duration = Duration::from_millis(2);

/// Removes the cgroup `name` in `parent` and all that is in it; it may be gone already.
pub fn remove(parent: &Group, name: &str) -> Result<()> {
    // Most often it is empty.
    if parent.remove(name).is_ok() {
        return Ok(());
    }
    if let Some(group) = parent.open_if_there(name)? {
        kill(&group)?;
    }
    remove_empty(parent, name, Instant::now() + PATIENCE)
}

fn remove_empty(parent: &Group, name: &str, deadline: Instant) -> Result<()> {
    loop {
        let errno = match parent.remove(name) {
            Ok(()) => return Ok(()),
            Err(errno) => errno,
        };
        if errno != Errno::EBUSY || Instant::now() > deadline {
            return Err(Error::new("can't remove the cgroup")
                .object(parent.path.join(name))
                .because(errno));
        }
        let Some(group) = parent.open_if_there(name)? else {
            return Ok(());
        };
        let children = group.children()?;
        for child in &children {
            remove_empty(&group, child, deadline)?;
        }
        if children.is_empty() {
            wait(&mut [], Some(Instant::now() + PAUSE))?;
        }
    }
}

/// Kills every process in `group` and below, and waits until none is left.
pub fn kill(group: &Group) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    match group.version {
        Version::V2 => group.write("cgroup.kill", "1")?,
        Version::V1 => kill_each(group)?,
    }
    if wait_until_empty(group, Some(deadline))? {
        return Ok(());
    }
    Err(Error::new("can't empty the cgroup")
        .object(&group.path)
        .reason(format!("processes survive SIGKILL for {} s", PATIENCE.as_secs())))
}

/// v1 has no cgroup.kill: all are stopped first, so that none can fork meanwhile.
fn kill_each(group: &Group) -> Result<()> {
    if !group.has("freezer.state") {
        return processes::signal_all(group, Signal::KILL);
    }
    group.freeze(true)?;
    let killed = processes::signal_all(group, Signal::KILL);
    group.freeze(false)?;
    killed
}

/// Waits until no process is left in `group` or below; says whether that is so.
pub fn wait_until_empty(group: &Group, deadline: Option<Instant>) -> Result<bool> {
    let is_over = || deadline.is_some_and(|deadline| Instant::now() >= deadline);
    if group.version == Version::V1 {
        // It tells nobody when it becomes empty, but its processes do when they end.
        while group.is_populated()? {
            if is_over() {
                return Ok(false);
            }
            match processes::all(group)?.first() {
                Some(process) => wait(&mut [PollFd::new(&process.pidfd, PollFlags::IN)], deadline)?,
                None => wait(&mut [], Some(Instant::now() + PAUSE))?,
            }
        }
        return Ok(true);
    }
    let path = group.path.join("cgroup.events");
    let events = group.file("cgroup.events", OFlags::RDONLY).or_fail_on("can't open", &path)?;
    loop {
        // Reading arms the notification for the next change.
        let mut buffer = [0; 256];
        let length = rustix::io::pread(&events, &mut buffer, 0).or_fail_on("can't read", &path)?;
        if buffer[..length].split(|&byte| byte == b'\n').any(|line| line == b"populated 0") {
            return Ok(true);
        }
        if is_over() {
            return Ok(false);
        }
        wait(&mut [PollFd::new(&events, PollFlags::PRI)], deadline)?;
    }
}

/// Sleeps until one of `poll_fds` is ready, at most until `deadline`.
fn wait(poll_fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> Result<()> {
    let timeout = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() }
    });
    match poll(poll_fds, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno).or_fail("can't wait for processes to end"),
    }
}

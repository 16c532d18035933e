//! The processes in a cgroup and below, held by descriptors: an id may mean another process soon.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};

use chain::signal::Signal;
use chain::{Errno, Error, Result, ResultExt, sys};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::group::Group;

/// A process that is in the cgroup.
#[derive(Debug)]
pub struct Process {
    /// Its id in this process's PID namespace.
    pub id: i32,
    /// The process itself; readable once it has ended.
    pub pidfd: OwnedFd,
}

impl Process {
    /// Sends it a signal; it may have ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match sys::send_signal_to(self.pidfd.as_fd(), signal.number()) {
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(()),
            sent => sent.or_fail_on("can't signal process", self.id.to_string()),
        }
    }
}

/// Every process in `group` and below.
pub fn all(group: &Group) -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for id in group.processes()? {
        let Some(pid) = Pid::from_raw(id) else {
            return Err(Error::new("can't reach a process in the cgroup")
                .object(&group.path)
                .reason("it is in a PID namespace that this one doesn't see"));
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => found.push(Process { id, pidfd }),
            Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => return Err(errno).or_fail_on("can't open process", id.to_string()),
        }
    }
    // An id may have been given to a process elsewhere before it was opened.
    let still: BTreeSet<i32> = group.processes()?.into_iter().collect();
    found.retain(|process| still.contains(&process.id));
    for name in group.children()? {
        if let Some(child) = group.open_if_there(&name)? {
            found.extend(all(&child)?);
        }
    }
    Ok(found)
}

/// How often processes are listed anew: some may fork while others get the signal.
const ROUNDS: usize = 100;

/// Sends `signal` once to every process in `group` and below, those too that are born meanwhile.
pub fn signal_all(group: &Group, signal: Signal) -> Result<()> {
    let mut reached = BTreeSet::new();
    for _ in 0..ROUNDS {
        let mut new = all(group)?;
        new.retain(|process| reached.insert(process.id));
        if new.is_empty() {
            return Ok(());
        }
        new.iter().try_for_each(|process| process.signal(signal))?;
    }
    Err(Error::new("can't signal all of the cgroup")
        .object(&group.path)
        .reason("new processes keep coming"))
}

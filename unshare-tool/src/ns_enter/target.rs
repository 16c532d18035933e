//! Which process stands for the container, and which of its namespaces differ from ours.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt, namespace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Dir, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::cgroups;
use crate::namespaces::Kind;

/// A process of the container. Its number may come to mean another one; the descriptor does not.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) pid: i32,
    pidfd: OwnedFd,
    /// What it was found by, if not by its number: its cgroup.
    cgroup: Option<cgroups::Named>,
}

impl Target {
    /// The process that `word` names, or the first one in the cgroup, or watched by the process, that
    /// is in another PID namespace: a chain's own processes, its monitors, are outside.
    pub(super) fn find(procfs: &Procfs, word: &str) -> Result<Self> {
        let (candidates, cgroup) = match word.parse() {
            Ok(pid) => (monitored(procfs, pid)?, None),
            Err(_) => {
                let named = cgroups::Named::find(procfs, word)?;
                (named.processes(procfs)?, Some(named))
            }
        };
        let none = || Error::new("can't enter").object(word).reason("no process is there");
        let first = *candidates.first().ok_or_else(none)?;
        let own = inode(procfs, &procfs.own_id()?, Kind::Pid)?;
        let is_inside = |pid: &&i32| {
            inode(procfs, &pid.to_string(), Kind::Pid).is_ok_and(|namespace| namespace != own)
        };
        let pid = candidates.iter().find(is_inside).copied().unwrap_or(first);
        let number = Pid::from_raw(pid).ok_or_else(none)?;
        let pidfd = pidfd_open(number, PidfdFlags::empty())
            .or_fail_on("can't enter", word)
            .map_err(|error| match error.errno() {
                Some(Errno::ESRCH | Errno::EINVAL) => none(),
                _ => error,
            })?;
        Ok(Target { pid, pidfd, cgroup })
    }

    /// The process itself.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Whether all that was read of it under its number was its own: it has not been reaped
    /// since, and it is where it was looked for.
    pub(super) fn check(&self, procfs: &Procfs) -> Result<()> {
        if let Some(named) = &self.cgroup
            && !named.processes(procfs)?.contains(&self.pid)
        {
            return Err(Error::new("can't enter").object(&named.name).reason("its process moved"));
        }
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut poll_fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut poll_fds, Some(&now))).or_fail("can't poll")?;
        if poll_fds[0].revents().is_empty() {
            return Ok(());
        }
        Err(Error::new("can't enter process").object(self.pid.to_string()).reason("it has ended"))
    }

    /// Those of `asked`, or of all, that differ from our own.
    pub(super) fn kinds_to_join(&self, procfs: &Procfs, asked: &[Kind]) -> Result<Vec<Kind>> {
        let (own, target) = (procfs.own_id()?, self.pid.to_string());
        let mut differ = Vec::new();
        for kind in Kind::ALL {
            let wanted = asked.is_empty() || asked.contains(&kind);
            if wanted && inode(procfs, &own, kind)? != inode(procfs, &target, kind)? {
                differ.push(kind);
            }
        }
        if differ.is_empty() && asked.is_empty() {
            return Err(Error::new("nothing to enter")
                .object(target)
                .reason("that process is in the same namespaces as this one"));
        }
        Ok(differ)
    }
}

fn inode(procfs: &Procfs, pid: &str, kind: Kind) -> Result<u64> {
    namespace::open(procfs, pid, kind.name()).and_then(namespace::inode).map_err(|error| {
        error.hint_if(Errno::EACCES, "only root and the container's owner may enter it")
    })
}

/// `pid` and the one process that it watches, and so on: a monitor has one child, so what has more
/// (a shell, a service manager) does not stand for a container of theirs.
fn monitored(procfs: &Procfs, pid: i32) -> Result<Vec<i32>> {
    let mut found = vec![pid];
    let parents = parents(procfs)?;
    let mut last = pid;
    loop {
        let mut children = parents.iter().filter(|(_, parent)| *parent == last);
        match (children.next(), children.next()) {
            (Some((only, _)), None) => last = *only,
            _ => return Ok(found),
        }
        found.push(last);
    }
}

/// All processes and their parents.
fn parents(procfs: &Procfs) -> Result<Vec<(i32, i32)>> {
    let what = "can't list processes in";
    let folder = procfs.file(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut found = Vec::new();
    for entry in Dir::new(folder).or_fail_on(what, "/proc")? {
        let entry = entry.or_fail_on(what, "/proc")?;
        let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since.
        found.extend(procfs.parent(pid).map(|parent| (pid, parent)));
    }
    Ok(found)
}

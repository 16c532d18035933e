//! Which processes are the container's, and which of them is the app.

use std::collections::HashSet;

use chain::procfs::Procfs;
use chain::{Result, names, toolbox};
use rustix::fs::{AtFlags, CWD, statat};

/// As deep as PID namespaces and real process trees together never are.
const MAX_DEPTH: usize = 4096;
/// How often the way up is tried.
const ATTEMPTS: usize = 4;

/// A sender of a message, as this process sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The app itself: the first process below our own tools.
    App,
    /// Another process of the container.
    Container,
    /// No descendant of this process, which itself sends nothing there.
    Stranger,
    /// It has ended already.
    Gone,
}

/// The processes below this one.
#[derive(Debug)]
pub struct Processes {
    procfs: Procfs,
    own: i32,
    /// Device and inode of each of our tools.
    tools: HashSet<(u64, u64)>,
}

impl Processes {
    /// Takes note of where our own tools are.
    pub fn new() -> Result<Self> {
        let folder = toolbox::own_folder()?;
        let file = |name: &&str| statat(CWD, folder.join(name), AtFlags::empty()).ok();
        let tools = names::TOOLS.iter().filter_map(file);
        let procfs = Procfs::open()?;
        Ok(Processes {
            own: procfs.own_id()?.parse().unwrap_or_default(),
            procfs,
            tools: tools.map(|stat| (stat.st_dev, stat.st_ino)).collect(),
        })
    }

    /// Who `pid` is. The way up from it ends at this process for all that the container has
    /// started, orphans included, since this process adopts those.
    pub fn origin(&self, pid: i32) -> Origin {
        if pid <= 0 || pid == self.own {
            return Origin::Stranger;
        }
        // A parent may end just as it is looked at; its children have another one then.
        let mut attempts = (0..ATTEMPTS).map(|_| self.way_up(pid));
        attempts.find_map(|origin| origin).unwrap_or(Origin::Stranger)
    }

    fn way_up(&self, pid: i32) -> Option<Origin> {
        let Some(mut parent) = self.procfs.parent(pid) else {
            return Some(Origin::Gone);
        };
        let mut is_app = !self.is_tool(pid);
        for _ in 0..MAX_DEPTH {
            if parent == self.own {
                let origin = if is_app { Origin::App } else { Origin::Container };
                return Some(origin);
            }
            // None in this PID namespace; or the process ended while it was looked at, which a
            // second look shows.
            if parent == 0 {
                return None;
            }
            is_app &= self.is_tool(parent);
            parent = self.procfs.parent(parent)?;
        }
        Some(Origin::Stranger)
    }

    /// The app, once our tools have started it: the first process below `pid` that is none of
    /// them, or `pid` itself.
    pub fn app(&self, pid: i32) -> Option<i32> {
        if !self.is_tool(pid) {
            return self.procfs.parent(pid).map(|_| pid);
        }
        let children = self.procfs.read(&format!("{pid}/task/{pid}/children")).ok()?;
        let mut children = children.split_ascii_whitespace();
        children.find_map(|child| self.app(child.parse().ok()?))
    }

    /// The process that `sender` calls `pid`, which must be of the container and in the sender's
    /// own PID namespace.
    pub fn translate(&self, sender: i32, pid: i32) -> Option<i32> {
        let namespace = self.pid_namespace(sender)?;
        let is_meant = |candidate: &i32| {
            self.pid_namespace(*candidate) == Some(namespace)
                && self.own_pid(*candidate) == Some(pid)
                && matches!(self.origin(*candidate), Origin::App | Origin::Container)
        };
        let mut all = std::fs::read_dir("/proc").ok()?.flatten();
        all.find_map(|entry| {
            let candidate = entry.file_name().to_str()?.parse().ok()?;
            is_meant(&candidate).then_some(candidate)
        })
    }

    /// Its id in its own PID namespace, the last of those that it has.
    fn own_pid(&self, pid: i32) -> Option<i32> {
        let status = self.procfs.read(&format!("{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        line.split_ascii_whitespace().next_back()?.parse().ok()
    }

    fn pid_namespace(&self, pid: i32) -> Option<(u64, u64)> {
        self.identity(&format!("{pid}/ns/pid"))
    }

    fn is_tool(&self, pid: i32) -> bool {
        let file = self.identity(&format!("{pid}/exe"));
        file.is_some_and(|file| self.tools.contains(&file))
    }

    fn identity(&self, path: &str) -> Option<(u64, u64)> {
        let stat = statat(&self.procfs, path, AtFlags::empty()).ok()?;
        Some((stat.st_dev, stat.st_ino))
    }
}

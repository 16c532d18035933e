//! What an app sees of the world. The probe writes it as JSON, the tests read it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that the probe sees. What comes from /proc is empty where no /proc is mounted.
///
/// Words that came from outside are escaped as by `[u8]::escape_ascii`: no byte is lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// getpid, getppid, getpgrp, getsid.
    pub pid: i32,
    /// The parent; 0 where it is outside of the PID namespace.
    pub ppid: i32,
    /// The process group.
    pub pgid: i32,
    /// The session.
    pub sid: i32,
    /// Each namespace's inode, by its name in /proc/self/ns.
    pub namespaces: BTreeMap<String, u64>,
    /// Real, effective and saved user id.
    pub uids: [u32; 3],
    /// Real, effective and saved group id.
    pub gids: [u32; 3],
    /// The supplementary groups.
    pub groups: Vec<u32>,
    /// /proc/self/uid_map.
    pub uid_map: Vec<Vec<u32>>,
    /// /proc/self/gid_map.
    pub gid_map: Vec<Vec<u32>>,
    /// /proc/self/setgroups: `allow` or `deny`.
    pub setgroups: String,
    /// The capability sets.
    pub capabilities: Capabilities,
    /// Whether no_new_privs is set.
    pub no_new_privs: bool,
    /// 0 without seccomp, 2 with a filter.
    pub seccomp: i32,
    /// The open descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Blocked, ignored and caught signals, bit n-1 for signal n.
    pub signals: Signals,
    /// The environment, in its order.
    pub environment: Vec<String>,
    /// The working directory, as the system call gives it.
    pub directory: String,
    /// The file mode creation mask.
    pub umask: u32,
    /// The arguments, the program's name first.
    pub arguments: Vec<String>,
    /// /proc/self/mountinfo.
    pub mounts: Vec<Mount>,
    /// Soft and hard limits, by the names of /proc/self/limits.
    pub limits: BTreeMap<String, [String; 2]>,
    /// The host name.
    pub hostname: String,
    /// Network interfaces, and whether each is up.
    pub interfaces: BTreeMap<String, bool>,
    /// The lines of /proc/self/cgroup.
    pub cgroups: Vec<String>,
    /// Its cgroup's limit of processes; empty where the cgroup can't be seen.
    pub pids_max: String,
    /// All processes in /proc: number and name.
    pub processes: BTreeMap<i32, String>,
    /// The signal sent when the parent dies; 0 for none.
    pub death_signal: i32,
    /// /proc/self/oom_score_adj.
    pub oom_score_adj: String,
    /// The nice value.
    pub niceness: i32,
    /// The processors that it may run on, as in /proc/self/status.
    pub processors: String,
    /// Whether there is a controlling terminal, and its foreground process group.
    pub terminal: Option<i32>,
    /// Whether the process can be dumped, and so looked into by its equals.
    pub dumpable: i32,
}

/// Capability sets as masks, bit n for capability n.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Kept across an exec, with a file's.
    pub inheritable: u64,
    /// What may become effective.
    pub permitted: u64,
    /// What counts now.
    pub effective: u64,
    /// What an exec can never exceed.
    pub bounding: u64,
    /// What an exec of any program keeps.
    pub ambient: u64,
}

/// An open descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its number.
    pub number: i32,
    /// What /proc/self/fd says of it.
    pub target: String,
    /// Its access mode and status flags, as from F_GETFL.
    pub flags: i32,
}

/// Signal masks, bit n-1 for signal n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signals {
    /// Kept back until unblocked.
    pub blocked: u64,
    /// Thrown away.
    pub ignored: u64,
    /// Handled by the program.
    pub caught: u64,
}

/// A line of /proc/self/mountinfo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is mounted.
    pub point: String,
    /// Which folder of the filesystem it shows.
    pub root: String,
    /// The options of the mount: `ro`, `nosuid`...
    pub options: Vec<String>,
    /// The optional fields: `shared:N`, `master:N`; none when private.
    pub propagation: Vec<String>,
    /// The filesystem's type.
    pub kind: String,
    /// The options of the filesystem itself.
    pub super_options: String,
}

impl Seen {
    /// The top mount at `point`.
    #[track_caller]
    pub fn mount(&self, point: &str) -> &Mount {
        let found = self.mounts.iter().rev().find(|mount| mount.point == point);
        found.unwrap_or_else(|| panic!("nothing is mounted at {point}: {:#?}", self.mounts))
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ String| line.split_once('=').is_some_and(|(n, _)| n == name);
        self.environment
            .iter()
            .find(|line| value(line))
            .and_then(|line| line.split_once('='))
            .map(|(_, v)| v)
    }

    /// The descriptors' numbers.
    pub fn numbers(&self) -> Vec<i32> {
        self.descriptors.iter().map(|descriptor| descriptor.number).collect()
    }
}

impl Mount {
    /// Whether it has all these options.
    pub fn has(&self, options: &[&str]) -> bool {
        options.iter().all(|option| self.options.iter().any(|present| present == option))
    }
}

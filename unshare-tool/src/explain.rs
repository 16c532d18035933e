//! `ns-unshare --explain`.

use std::path::Path;

use chain::Explanation;
use chain::explain::{IDS, word};

use crate::NsUnshare;
use crate::maps::{Maps, Writer};
use crate::namespaces::{Kind, Kinds};
use crate::range::Range;

impl NsUnshare {
    /// Says what is done; `maps` are missing where they depend on what a link before does.
    pub(crate) fn say(&self, kinds: &Kinds, maps: Option<&Maps>, to: &mut Explanation) {
        let mut new: Vec<Kind> = kinds.iter().collect();
        for (kind, file) in self.files() {
            let is_there = file_is_namespace(file);
            let file = word(file);
            if is_there {
                new.retain(|other| *other != kind);
                to.step(format!("enters the {} namespace that is pinned at {file}", kind.name()));
            } else {
                to.step(format!("makes {file} if it is missing, and pins the new {} namespace there, unless another process is faster: then enters that one", kind.name()));
            }
        }
        if kinds.has(Kind::User) {
            // What there was belongs to the user namespace before.
            for kind in [Kind::Net, Kind::Ipc, Kind::Cgroup] {
                to.forget(kind.name());
            }
        }
        for kind in &new {
            to.step(format!("new {} namespace: {}", kind.name(), meaning(*kind)));
            to.change(kind.name());
        }
        if kinds.has(Kind::User) {
            match maps {
                Some(maps) => maps.say(to),
                None => to.step("maps ids of the namespace that it is in by then"),
            }
            to.change(IDS);
        }
        if new.contains(&Kind::Pid) {
            to.step(format!(
                "stays as the monitor of what follows: forwards signals, ends with its status; if this process is killed, so is that, by SIG{}",
                self.kill_signal()
            ));
        }
        if let Some(signal) = self.stop_signal {
            to.step(format!("sends SIG{signal} to what follows in place of SIGTERM"));
        }
        if let Some(name) = &self.hostname {
            to.step(format!("sets the host name inside to {}", word(name)));
        }
        if new.contains(&Kind::Net) {
            to.step("brings the loopback interface up");
        }
        if new.contains(&Kind::Mount) {
            to.step(self.propagation.meaning());
            if new.contains(&Kind::Pid) && !self.no_mount_proc {
                to.step("at /proc: a new procfs, which shows the processes of the new pid namespace only (nosuid,nodev,noexec)");
            }
        }
    }
}

fn file_is_namespace(file: &Path) -> bool {
    rustix::fs::statfs(file).is_ok_and(|found| found.f_type as u64 == crate::pin::NSFS_MAGIC)
}

fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Mount => "what is mounted inside is not mounted on the host",
        Kind::Pid => "processes of the host can't be seen or signalled; the next link is process 1",
        Kind::Net => "no network but a loopback interface of its own",
        Kind::Uts => "a host name of its own",
        Kind::Ipc => "no shared memory, semaphores and message queues of the host",
        Kind::Cgroup => "the present cgroup looks like the root of the cgroup tree",
        Kind::User => "privileges count inside only, over what is made inside",
        Kind::Time => "clocks since boot of its own",
    }
}

impl Maps {
    fn say(&self, to: &mut Explanation) {
        if self.deny_setgroups {
            to.step(
                "writes deny to /proc/PID/setgroups: supplementary groups can't be changed inside",
            );
        }
        for (file, helper, who, map) in [
            ("uid_map", "newuidmap", "user", &self.users),
            ("gid_map", "newgidmap", "group", &self.groups),
        ] {
            for range in map {
                let Range { inside, outside, count } = range;
                let written = format!("{inside} {outside} {count}");
                let way = match self.writer {
                    Writer::Helper => {
                        format!("runs {helper} to write '{written}' to /proc/PID/{file}")
                    }
                    _ => format!("writes '{written}' to /proc/PID/{file}"),
                };
                let meaning = match count {
                    1 => format!("{who} {outside} of here is {inside} inside"),
                    _ => format!(
                        "{who}s {outside} to {} of here are {inside} to {} inside",
                        outside + (count - 1),
                        inside + (count - 1)
                    ),
                };
                to.step(format!("{way}: {meaning}"));
            }
        }
        if let Some(groups) = &self.mapped_groups {
            let left: Vec<String> = groups.iter().map(u32::to_string).collect();
            to.step(format!(
                "drops the supplementary groups that are not mapped; left are: {}",
                left.join(" ")
            ));
        }
        let held = |map: &[Range], id| map.iter().any(|range| range.holds(id));
        if !held(&self.users, self.own.0) || !held(&self.groups, self.own.1) {
            to.step("becomes user 0 inside, its own id being not mapped");
        }
    }
}

//! What no chain shows by itself: system calls that the tools use where they are, tried in this
//! process, and what of this host decides what they can do.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use chain::{accounts, sys};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use serde::Serialize;

use crate::attempt::first_line;

/// One of them.
#[derive(Debug, Serialize)]
pub struct Probe {
    /// What it is called.
    pub name: &'static str,
    /// Whether it is as the tools want it.
    pub works: bool,
    /// What is there.
    pub found: String,
    /// What it takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
}

/// The newest rights that `priv-drop --landlock` asks for are those of this version (Linux 6.10).
const LANDLOCK_WANTED: u32 = 5;

/// All of them.
pub fn all() -> Vec<Probe> {
    vec![pidfd(), landlock(), modules(), id_helpers(), subordinate_ids(), cgroups(), systemd()]
}

fn probe(name: &'static str, found: Result<String, String>, hint: &'static str) -> Probe {
    let works = found.is_ok();
    let (Ok(found) | Err(found)) = found;
    Probe { name, works, found, hint: (!works).then_some(hint) }
}

/// A pipeline hands its standard input on so; without it, by /proc.
fn pidfd() -> Probe {
    let own = Pid::as_raw(Some(getpid()));
    let tried = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|fd| pidfd_getfd(fd, 2, PidfdGetfdFlags::empty()));
    let found = match tried {
        Ok(_) => Ok(format!("pidfd_open(2) and pidfd_getfd(2) of process {own} work")),
        Err(errno) => Err(errno.to_string()),
    };
    probe("pidfd", found, "a seccomp filter around this process, or a kernel before Linux 5.6")
}

fn landlock() -> Probe {
    let found = match sys::landlock_version() {
        Ok(version) if version >= LANDLOCK_WANTED => Ok(format!("version {version}")),
        Ok(version) => Err(format!("version {version}, strict rules want {LANDLOCK_WANTED}")),
        Err(error) => Err(error.to_string()),
    };
    let hint = "Linux 6.10 with landlock in the kernel's parameter lsm=; \
                priv-drop --try-landlock does what there is";
    probe("landlock-version", found, hint)
}

fn modules() -> Probe {
    let list = first_line("/sys/kernel/security/lsm").filter(|list| !list.is_empty());
    let found = list.unwrap_or_else(|| "none, or securityfs is not mounted".to_owned());
    probe("security-modules", Ok(found), "")
}

fn id_helpers() -> Probe {
    let folders = ["/usr/bin", "/bin", "/run/wrappers/bin"];
    let there = |name: &str| folders.iter().any(|folder| Path::new(folder).join(name).exists());
    let found = match ["newuidmap", "newgidmap"].into_iter().find(|name| !there(name)) {
        None => Ok("newuidmap and newgidmap are installed".to_owned()),
        Some(name) => Err(format!("{name} is not installed")),
    };
    probe("id-helpers", found, "apt install uidmap (shadow-utils elsewhere), for --map-auto")
}

fn subordinate_ids() -> Probe {
    let uid = rustix::process::geteuid().as_raw();
    let names = accounts::users().unwrap_or_default();
    let names = names.iter().filter(|user| user.uid == uid).map(|user| user.name.clone());
    let names: Vec<String> = names.chain([uid.to_string()]).collect();
    let granted = |file: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line =
            text.lines().find(|line| names.iter().any(|n| line.starts_with(&format!("{n}:"))));
        line.map(|line| format!("{file}: {line}"))
            .ok_or(format!("{file} has no line for {}", names[0]))
    };
    let found =
        granted("/etc/subuid").and_then(|one| Ok(format!("{one}, {}", granted("/etc/subgid")?)));
    let hint = "usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER";
    probe("subordinate-ids", found, hint)
}

/// Which hierarchies there are, and which controllers the present v2 cgroup has to give.
fn cgroups() -> Probe {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of_kind = |kind: &str| mounts.lines().find(|line| line.split(' ').nth(2) == Some(kind));
    let mode = match (of_kind("cgroup2"), of_kind("cgroup")) {
        (Some(_), None) => "v2",
        (Some(_), Some(_)) => "hybrid",
        (None, Some(_)) => "v1",
        (None, None) => {
            let none = Err("no hierarchy is mounted".to_owned());
            return probe("cgroups", none, "mount -t cgroup2 none /sys/fs/cgroup");
        }
    };
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::"));
    let point = of_kind("cgroup2").and_then(|line| line.split(' ').nth(1));
    let controllers = point.zip(own).and_then(|(point, own)| {
        fs::read_to_string(format!("{point}{own}/cgroup.controllers")).ok()
    });
    let list = controllers.map(|list| list.trim().to_owned()).unwrap_or_default();
    let list = if list.is_empty() { "none".to_owned() } else { list };
    probe("cgroups", Ok(format!("{mode}; controllers in the present v2 cgroup: {list}")), "")
}

fn systemd() -> Probe {
    let version = Command::new("systemctl").arg("--version").stderr(Stdio::null()).output();
    let version = version.ok().filter(|output| output.status.success());
    let line = version.and_then(|output| {
        String::from_utf8(output.stdout).ok()?.lines().next().map(ToOwned::to_owned)
    });
    let runs = Path::new("/run/systemd/system").is_dir();
    let found = match (line, runs) {
        (Some(line), true) => Ok(line),
        (Some(line), false) => Err(format!("{line}, not running")),
        (None, _) => Err("not installed".to_owned()),
    };
    probe("systemd", found, "only services and 'systemd-run -p Delegate=yes' need it")
}

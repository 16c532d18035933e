//! Mounts, programs with privileges, knobs of the kernel, the terminal.

use std::fs::{OpenOptions, read_dir};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use chain::mountinfo::Mount;

use super::credentials::field;
use super::{Line, Verdict};

/// Memory of the namespace's own, that nobody sees once it is gone.
fn is_own_memory(mount: &Mount) -> bool {
    matches!(mount.kind.as_str(), "tmpfs" | "devpts" | "mqueue" | "ramfs")
}

/// Mounts that can be written to, those of no consequence aside.
pub fn writable_mounts(mounts: &[Mount]) -> Line {
    let what = "writable mounts";
    if mounts.is_empty() {
        return Line::unknown(what, "can't read /proc/self/mountinfo");
    }
    let writable: Vec<_> = mounts.iter().filter(|mount| !mount.has("ro")).collect();
    let worst = writable.iter().map(|mount| match mount.kind.as_str() {
        _ if is_own_memory(mount) => Verdict::Tight,
        "sysfs" | "cgroup" | "cgroup2" | "debugfs" | "securityfs" | "bpf" | "tracefs"
        | "configfs" | "efivarfs" | "binfmt_misc" | "devtmpfs" => Verdict::Open,
        _ => Verdict::Loose,
    });
    let verdict = worst.max().unwrap_or(Verdict::Tight);
    let found: Vec<String> = writable
        .iter()
        .map(|mount| format!("{} ({})", mount.point.display(), mount.kind))
        .collect();
    if found.is_empty() {
        Line::new(what, ["none".to_owned()], verdict)
    } else {
        Line::new(what, found, verdict)
    }
}

/// Programs that run with another's privileges: setuid, setgid.
pub fn privileged_programs(root: &Path, mounts: &[Mount], no_new_privs: bool) -> Line {
    /// Enough for an image; a host's disk would take minutes.
    const LOOKED_AT: usize = 200_000;
    let what = "setuid programs";
    let powerless: Vec<&Path> = mounts
        .iter()
        .filter(|m| m.has("nosuid") || matches!(m.kind.as_str(), "proc" | "sysfs"))
        .map(|mount| mount.point.as_path())
        .collect();
    let mut found = Vec::new();
    let mut left = LOOKED_AT;
    let mut folders = vec![root.to_owned()];
    // The root itself may be on a mount where they count for nothing.
    folders.retain(|folder| !powerless.contains(&folder.as_path()));
    while let Some(folder) = folders.pop() {
        for entry in read_dir(folder).into_iter().flatten().flatten() {
            left = left.saturating_sub(1);
            // Of the entry itself: links are not followed.
            let (Ok(data), path) = (entry.metadata(), entry.path()) else { continue };
            if data.is_dir() && left > 0 && !powerless.contains(&path.as_path()) {
                folders.push(path);
            } else if data.is_file() && data.mode() & 0o6000 != 0 && data.mode() & 0o111 != 0 {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    if left == 0 {
        found.push(format!("only {LOOKED_AT} names looked at"));
    }
    found.sort();
    let verdict = match (found.is_empty(), no_new_privs) {
        (true, _) | (_, true) => Verdict::Tight,
        _ => Verdict::Loose,
    };
    if found.is_empty() {
        return Line::new(what, ["none that counts".to_owned()], verdict);
    }
    if no_new_privs {
        found.insert(0, "without power by no_new_privs".to_owned());
    }
    Line::new(what, found, verdict)
}

/// Files that change the whole host for who can write them (threats, F9).
const KNOBS: [&str; 11] = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sysrq-trigger",
    "/proc/irq/default_smp_affinity",
    "/sys/kernel/uevent_helper",
    "/sys/fs/cgroup/release_agent",
    "/sys/power/state",
];

/// Those of them that open for writing, which alone changes nothing.
pub fn knobs() -> Line {
    let opens = |path: &str| {
        OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path).is_ok()
    };
    let found: Vec<String> =
        KNOBS.into_iter().filter(|path| opens(path)).map(str::to_owned).collect();
    match found.is_empty() {
        true => Line::new("writable knobs", ["none".to_owned()], Verdict::Tight),
        false => Line::new("writable knobs", found, Verdict::Open),
    }
}

/// A controlling terminal can be typed into (threats, H2) unless a filter forbids it.
pub fn terminal(status: &str) -> Line {
    let what = "terminal";
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    if OpenOptions::new().read(true).custom_flags(flags).open("/dev/tty").is_err() {
        return Line::new(what, ["none".to_owned()], Verdict::Tight);
    }
    match field(status, "Seccomp") {
        Some("0") => Line::new(
            what,
            ["shared, and nothing forbids typing into it".to_owned()],
            Verdict::Open,
        ),
        _ => Line::new(what, ["shared".to_owned()], Verdict::Loose),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        22 1 8:1 / / ro,nosuid - ext4 /dev/sda rw\n\
        23 22 0:5 / /tmp rw,nosuid shared:1 - tmpfs tmpfs rw\n\
        24 22 0:6 / /sys rw - sysfs sysfs ro\n";

    fn parsed(text: &str) -> Vec<Mount> {
        chain::mountinfo::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn mounts_that_can_be_written_to() {
        let line = writable_mounts(&parsed(MOUNTS));
        assert_eq!((line.found, line.verdict), (vec!["/tmp (tmpfs)".to_owned()], Verdict::Tight));
        let line = writable_mounts(&parsed("24 22 0:6 / /sys rw - sysfs sysfs rw\n"));
        assert_eq!(line.verdict, Verdict::Open);
        assert_eq!(writable_mounts(&[]).verdict, Verdict::Unknown);
    }

    #[test]
    fn a_root_without_suid_is_not_searched() {
        let line = privileged_programs(Path::new("/"), &parsed(MOUNTS), false);
        assert_eq!(line.verdict, Verdict::Tight);
    }
}

//! Which namespaces are made new, and what the kernel's refusals mean.

use chain::{Errno, Error};

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Mounts (mount_namespaces(7)).
    Mount,
    /// Process ids (pid_namespaces(7)).
    Pid,
    /// Network devices, addresses, ports, abstract sockets (network_namespaces(7)).
    Net,
    /// Host and domain name (uts_namespaces(7)).
    Uts,
    /// System V IPC and POSIX message queues (ipc_namespaces(7)).
    Ipc,
    /// The root of the cgroup tree (cgroup_namespaces(7)).
    Cgroup,
    /// User and group ids, capabilities (user_namespaces(7)).
    User,
    /// Boot-time and monotonic clocks (time_namespaces(7)).
    Time,
}

impl Kind {
    /// All, in the order of the options.
    pub const ALL: [Kind; 8] = [
        Kind::Mount,
        Kind::Pid,
        Kind::Net,
        Kind::Uts,
        Kind::Ipc,
        Kind::Cgroup,
        Kind::User,
        Kind::Time,
    ];

    /// Its flag for clone(2).
    pub fn flag(self) -> u64 {
        let flag = match self {
            Kind::Mount => libc::CLONE_NEWNS,
            Kind::Pid => libc::CLONE_NEWPID,
            Kind::Net => libc::CLONE_NEWNET,
            Kind::Uts => libc::CLONE_NEWUTS,
            Kind::Ipc => libc::CLONE_NEWIPC,
            Kind::Cgroup => libc::CLONE_NEWCGROUP,
            Kind::User => libc::CLONE_NEWUSER,
            Kind::Time => libc::CLONE_NEWTIME,
        };
        flag as u64
    }

    /// Its name in /proc/PID/ns and in /proc/sys/user/max_*_namespaces.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mount => "mnt",
            Kind::Pid => "pid",
            Kind::Net => "net",
            Kind::Uts => "uts",
            Kind::Ipc => "ipc",
            Kind::Cgroup => "cgroup",
            Kind::User => "user",
            Kind::Time => "time",
        }
    }
}

/// A set of kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kinds(Vec<Kind>);

impl Kinds {
    /// The kinds that were asked for, all but time if none was, without the `shared` ones.
    pub fn chosen(asked: &[Kind], shared: &[Kind]) -> Self {
        let chosen = |kind: &Kind| {
            let asked = if asked.is_empty() { *kind != Kind::Time } else { asked.contains(kind) };
            asked && !shared.contains(kind)
        };
        Kinds(Kind::ALL.into_iter().filter(chosen).collect())
    }

    /// Whether `kind` is made new.
    pub fn has(&self, kind: Kind) -> bool {
        self.0.contains(&kind)
    }

    /// All of them, in the order of the options.
    pub fn iter(&self) -> impl Iterator<Item = Kind> {
        self.0.iter().copied()
    }

    /// Makes no new one of `kind`.
    pub fn remove(&mut self, kind: Kind) {
        self.0.retain(|other| *other != kind);
    }

    /// The flags for clone(2).
    pub fn flags(&self) -> u64 {
        self.0.iter().fold(0, |flags, kind| flags | kind.flag())
    }

    /// Says which knob of this host is behind a refusal.
    pub fn explain(&self, error: Error) -> Error {
        match error.errno() {
            Some(Errno::ENOSPC) => error.hint(self.limits()),
            Some(Errno::EPERM | Errno::EACCES) if self.has(Kind::User) => error.hint(user_knob()),
            Some(Errno::EPERM) => {
                error.hint("without a new user namespace (--user) this needs CAP_SYS_ADMIN")
            }
            Some(Errno::EINVAL) => error.hint("a kernel built without one of these namespaces?"),
            _ => error,
        }
    }

    fn limits(&self) -> String {
        let used_up =
            |kind: &&Kind| sysctl(&format!("user/max_{}_namespaces", kind.name())) == Some(0);
        match self.0.iter().find(used_up) {
            Some(kind) => format!("sysctl user.max_{}_namespaces is 0", kind.name()),
            None => "a limit of sysctl user.max_*_namespaces is used up, or namespaces are nested \
                     more than 32 deep"
                .to_owned(),
        }
    }
}

fn user_knob() -> &'static str {
    if sysctl("kernel/unprivileged_userns_clone") == Some(0) {
        "sysctl kernel.unprivileged_userns_clone=1 allows user namespaces to ordinary users"
    } else if sysctl("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        "AppArmor forbids user namespaces here: load a profile with 'userns,' for ns-unshare, or \
         sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    } else {
        "user namespaces are forbidden here: by a seccomp filter, an LSM, or because this process \
         runs in a chroot"
    }
}

fn sysctl(path: &str) -> Option<u64> {
    std::fs::read_to_string(format!("/proc/sys/{path}")).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_asked_for_is_all_but_time() {
        let kinds = Kinds::chosen(&[], &[Kind::Net]);
        assert!(kinds.has(Kind::User) && !kinds.has(Kind::Time) && !kinds.has(Kind::Net));
        let kinds = Kinds::chosen(&[Kind::Time, Kind::Net], &[Kind::Net]);
        assert_eq!(kinds, Kinds(vec![Kind::Time]));
    }
}

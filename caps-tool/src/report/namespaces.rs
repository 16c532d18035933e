//! Which namespaces are this process's own, and which it shares with the host.

use std::fs::read_link;
use std::path::PathBuf;

use super::{Line, Verdict};

/// The kinds, what sharing one with the host means, and the number that the host's always has
/// (`*_NS_INIT_INO` of linux/nsfs.h; that of mnt and net only since Linux 6.18).
const KINDS: [(&str, &str, Verdict, u64); 8] = [
    ("user", "user namespace", Verdict::Loose, HOSTS_USER),
    ("mnt", "mount namespace", Verdict::Open, 0xefff_fff8),
    ("pid", "PID namespace", Verdict::Open, 0xefff_fffc),
    ("net", "network namespace", Verdict::Loose, 0xefff_fff9),
    ("ipc", "IPC namespace", Verdict::Loose, 0xefff_ffff),
    ("uts", "UTS namespace", Verdict::Loose, 0xefff_fffe),
    ("cgroup", "cgroup namespace", Verdict::Loose, 0xefff_fffb),
    ("time", "time namespace", Verdict::Tight, 0xefff_fffa),
];

/// The inode of the host's user namespace (`PROC_USER_INIT_INO`).
const HOSTS_USER: u64 = 0xefff_fffd;

/// Whether the user namespace is another than the host's; its maps don't tell, since they may be
/// the identity.
pub fn has_user_namespace() -> Option<bool> {
    inode(namespace("self", "user")).map(|own| own != HOSTS_USER)
}

/// A line for each kind.
pub fn lines(confined: Option<bool>) -> Vec<Line> {
    let sees_host = inode(namespace("self", "pid")) == Some(0xefff_fffc);
    KINDS
        .iter()
        .map(|&(kind, what, if_shared, hosts)| {
            let own = inode(namespace("self", kind));
            let first = inode(namespace("1", kind)).filter(|_| sees_host);
            let shared = match kind {
                "user" => confined.map(|confined| !confined),
                _ => is_shared(own, first, hosts, matches!(kind, "mnt" | "net")),
            };
            match shared {
                Some(true) => Line::new(what, ["the host's".to_owned()], if_shared),
                Some(false) => Line::new(what, ["own".to_owned()], Verdict::Tight),
                None => Line::unknown(what, "can't tell it from the host's"),
            }
        })
        .collect()
}

/// By the number, and where the number of the host's varies, by that of its process 1.
fn is_shared(own: Option<u64>, first: Option<u64>, hosts: u64, varies: bool) -> Option<bool> {
    let own = own?;
    match first {
        _ if own == hosts => Some(true),
        Some(first) => Some(own == first),
        None if varies && !numbers_are_fixed() => None,
        None => Some(false),
    }
}

/// Whether this kernel's host has the fixed numbers for mnt and net too.
fn numbers_are_fixed() -> bool {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy().into_owned();
    crate::seccomp::kernel_version(&release).is_some_and(|version| version >= (6, 18))
}

fn namespace(process: &str, kind: &str) -> PathBuf {
    format!("/proc/{process}/ns/{kind}").into()
}

/// The number in `net:[4026531833]`.
fn inode(link: PathBuf) -> Option<u64> {
    let target = read_link(link).ok()?.into_os_string().into_string().ok()?;
    target.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(is_shared(None, None, 7, false), None);
        assert_eq!(is_shared(Some(7), None, 7, true), Some(true));
        assert_eq!(is_shared(Some(8), Some(8), 7, true), Some(true));
        assert_eq!(is_shared(Some(8), Some(9), 7, true), Some(false));
        assert_eq!(is_shared(Some(8), None, 7, false), Some(false));
    }
}

//! Who holds the other end of a pipe, as /proc shows it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::names;
use crate::toolbox;

/// What a filter calls itself once its plan is complete. Only the process itself can set this
/// (PR_SET_NAME(2const)), and no file's name, which exec would set, has a slash.
pub const READY: &str = "/plan";

/// The flag of /proc/PID/stat that says "forked, but has not run exec yet" (linux/sched.h).
const PF_FORKNOEXEC: u64 = 0x40;

/// What is known of a process that holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of our tools, from this toolbox and of this user, as a filter whose plan is ready.
    Ready,
    /// One of our tools, which may become a filter, or be the monitor of a chain.
    Ours,
    /// A tool by one of our names that is not from this toolbox, or runs as another user.
    LooksLikeOurs,
    /// A copy of another process that may run exec at any moment.
    NotYetExecuted,
    /// Any other program.
    Foreign,
}

/// A process that has the pipe open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// What it is.
    pub kind: Kind,
    /// It can read from the pipe.
    pub reads: bool,
    /// It can write to the pipe.
    pub writes: bool,
}

/// The name that /proc/PID/fd shows for descriptor `fd` of process `pid`: `pipe:[INODE]`.
pub fn link_of(pid: u32, fd: u32) -> Option<OsString> {
    Some(std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?.into_os_string())
}

/// Parent, siblings and children of this process.
pub fn relatives() -> Vec<u32> {
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get() as u32);
    let own = std::process::id();
    let mut found = vec![parent];
    found.extend(children(parent).into_iter().chain(children(own)).filter(|pid| *pid != own));
    found.retain(|pid| *pid != 0);
    found
}

/// The parent of this process, its parent, and so on.
pub fn ancestors() -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = parent_of(std::process::id());
    while let Some(pid) = next.filter(|pid| !found.contains(pid)) {
        found.push(pid);
        next = parent_of(pid);
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    list.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// Every process that /proc shows but this one.
pub fn everybody() -> Vec<u32> {
    let own = std::process::id();
    let Ok(folder) = std::fs::read_dir("/proc") else { return Vec::new() };
    folder
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .collect()
}

/// Those of `candidates` that have the pipe called `link` open.
pub fn holders(candidates: &[u32], link: &OsStr) -> Vec<Holder> {
    candidates.iter().filter_map(|&pid| holder(pid, link)).collect()
}

fn holder(pid: u32, link: &OsStr) -> Option<Holder> {
    let (mut reads, mut writes) = (false, false);
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.filter_map(Result::ok) {
        if std::fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == link) {
            let mode = access_mode(pid, &entry.file_name());
            reads |= matches!(mode, Some(libc::O_RDONLY | libc::O_RDWR));
            writes |= matches!(mode, Some(libc::O_WRONLY | libc::O_RDWR));
        }
    }
    (reads || writes).then(|| Holder { pid, kind: kind_of(pid), reads, writes })
}

/// By the octal `flags:` of /proc/PID/fdinfo/N (proc_pid_fdinfo(5)).
fn access_mode(pid: u32, fd: &OsStr) -> Option<i32> {
    let path = Path::new("/proc").join(pid.to_string()).join("fdinfo").join(fd);
    let text = std::fs::read_to_string(path).ok()?;
    let octal = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    Some(i32::from_str_radix(octal.trim(), 8).ok()? & libc::O_ACCMODE)
}

/// What process `pid` is.
pub fn kind_of(pid: u32) -> Kind {
    let stat = Stat::of(pid).unwrap_or_default();
    if stat.flags & PF_FORKNOEXEC != 0 {
        return Kind::NotYetExecuted;
    }
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    let Ok(target) = std::fs::read_link(&exe) else { return Kind::Foreign };
    let Some(name) = target.file_name().filter(|name| names::is_ours(without_deleted(name))) else {
        return Kind::Foreign;
    };
    let same_user = std::fs::metadata(format!("/proc/{pid}"))
        .is_ok_and(|folder| folder.uid() == rustix::process::geteuid().as_raw());
    match (same_user && is_from_toolbox(&exe, name), stat.name == READY) {
        (true, true) => Kind::Ready,
        (true, false) => Kind::Ours,
        (false, _) => Kind::LooksLikeOurs,
    }
}

/// The kernel adds this to the name of a file that has been removed, as an upgrade does.
fn without_deleted(name: &OsStr) -> &OsStr {
    OsStr::from_bytes(name.as_bytes().strip_suffix(b" (deleted)").unwrap_or(name.as_bytes()))
}

/// Whether the running file `exe` is the one called `name` in our own folder.
fn is_from_toolbox(exe: &Path, name: &OsStr) -> bool {
    let Ok(folder) = toolbox::own_folder() else { return false };
    let identity = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    identity(exe).is_some_and(|found| Some(found) == identity(&folder.join(name)))
}

/// Whether process `pid` is a shell, by the name of its program: one that may have put a stage of
/// ours before this one in a pipe.
pub fn is_shell(pid: u32) -> bool {
    const SHELLS: [&str; 10] =
        ["sh", "bash", "dash", "zsh", "busybox", "ash", "ksh", "ksh93", "mksh", "fish"];
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = exe.file_name().map(without_deleted).unwrap_or_default();
    SHELLS.iter().any(|shell| name == *shell)
}

/// Whether process `pid` has this one's user and yet hides its descriptors, as sshd's session
/// process does.
pub fn is_hidden_of_same_user(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
    user.and_then(|user| user.parse().ok()) == Some(rustix::process::getuid().as_raw())
        && std::fs::read_dir(format!("/proc/{pid}/fd")).is_err()
}

/// The parent of process `pid`.
pub fn parent_of(pid: u32) -> Option<u32> {
    Stat::of(pid).map(|stat| stat.parent).filter(|parent| *parent != 0)
}

/// What is used of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    flags: u64,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let bytes = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name may hold spaces and parentheses; what comes behind it can't.
        let (head, rest) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let mut fields = rest.split_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let flags = fields.nth(4)?.parse().ok()?;
        Some(Stat { name, parent, flags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_a_hostile_name() {
        let text = "12 (a) b (c) S 7 12 12 0 -1 4194368 100 0 0\n";
        let stat = Stat { name: "a) b (c".into(), parent: 7, flags: 4_194_368 };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("garbage"), None);
    }

    #[test]
    fn own_process() {
        let own = std::process::id();
        assert_eq!(kind_of(own), Kind::Foreign);
        assert_eq!(parent_of(own), Some(std::os::unix::process::parent_id()));
    }
}

//! What a process is, as /proc shows it: one of our tools, a program of somebody's, or a copy of
//! another process that has yet to run its exec.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use crate::names;
use crate::procfs;
use crate::toolbox;

/// What a filter calls itself once its plan is complete. Only the process itself can set this
/// (PR_SET_NAME(2const)), and no file's name, which exec would set, has a slash.
pub const READY: &str = "/plan";

/// The flag of /proc/PID/stat that says "forked, but has not run exec yet" (linux/sched.h).
const PF_FORKNOEXEC: u64 = 0x40;

/// What is known of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One of our tools, from this toolbox and of this user, as a filter whose plan is ready.
    Ready,
    /// One of our tools, which may become a filter, or be the monitor of a chain.
    Ours,
    /// A tool by one of our names that is not from this toolbox, or runs as another user.
    LooksLikeOurs,
    /// A copy of another process that may run exec at any moment, or a process about to end,
    /// which no longer shows what it was.
    InBetween,
    /// Any other program.
    Foreign,
}

/// What process `pid` is.
pub fn kind_of(pid: u32) -> Kind {
    let Some(stat) = Stat::of(pid) else { return Kind::InBetween };
    if stat.flags & PF_FORKNOEXEC != 0 {
        return Kind::InBetween;
    }
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    let Ok(target) = std::fs::read_link(&exe) else { return Kind::InBetween };
    let Some(name) = target.file_name().filter(|name| names::is_ours(without_deleted(name))) else {
        let renamed = stat.name == READY || is_copy(&exe);
        return if renamed { Kind::LooksLikeOurs } else { Kind::Foreign };
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

/// Whether the running file `exe` is a copy of one of our tools under another name, going by its
/// size.
fn is_copy(exe: &Path) -> bool {
    let Ok(folder) = toolbox::own_folder() else { return false };
    let size = |path: &Path| std::fs::metadata(path).map(|file| file.len()).ok();
    let Some(found) = size(exe) else { return false };
    names::TOOLS.iter().any(|name| size(&folder.join(name)) == Some(found))
}

/// Whether process `pid` is a shell, by the name of its program: one that may have put a stage of
/// ours before this one in a pipe.
pub fn is_shell(pid: u32) -> bool {
    const SHELLS: [&str; 20] = [
        "sh", "bash", "dash", "zsh", "busybox", "ash", "ksh", "ksh93", "mksh", "oksh", "fish",
        "csh", "tcsh", "yash", "osh", "ysh", "nu", "elvish", "pwsh", "toybox",
    ];
    let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = exe.file_name().map(without_deleted).unwrap_or_default();
    SHELLS.iter().any(|shell| name == *shell)
}

/// Whether process `pid` has this one's user and yet hides its descriptors, as sshd's session
/// process does.
pub fn is_hidden_of_same_user(pid: u32) -> bool {
    let status = read_text(&format!("/proc/{pid}/status"));
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
    user.and_then(|user| user.parse().ok()) == Some(rustix::process::getuid().as_raw())
        && std::fs::read_dir(format!("/proc/{pid}/fd")).is_err()
}

/// Whether a word of process `pid`'s command line is one of our names, as that of a program which
/// is to run one of ours has.
pub fn names_a_tool(pid: u32) -> bool {
    words(pid).iter().any(|word| Path::new(word).file_name().is_some_and(names::is_ours))
}

/// Whether one of our names stands anywhere in process `pid`'s command line, as in the script
/// of a shell. In the middle of an exec there is no command line yet, which may be anything.
pub fn mentions_a_tool(pid: u32) -> bool {
    let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let words = words(pid);
    let mut parts = words.iter().flat_map(|word| word.as_bytes().split(|byte| !is_inner(byte)));
    words.is_empty() || parts.any(|part| names::is_ours(OsStr::from_bytes(part)))
}

fn words(pid: u32) -> Vec<OsString> {
    let bytes = read(&format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split_inclusive(|&byte| byte == 0);
    words
        .map(|word| OsString::from_vec(word.strip_suffix(b"\0").unwrap_or(word).to_vec()))
        .collect()
}

/// Whether process `pid` has ended, waited for or not.
pub fn is_over(pid: u32) -> bool {
    Stat::of(pid).is_none_or(|stat| stat.is_dead)
}

/// Whether process `pid` was one of our tools and has ended without being waited for.
pub fn is_dead_tool(pid: u32) -> bool {
    Stat::of(pid).is_some_and(|stat| {
        stat.is_dead && (stat.name == READY || names::is_ours(OsStr::new(&stat.name)))
    })
}

/// Whether process `pid` is a copy of a shell that has read nothing yet: one part of a pipe, and
/// what comes out of that pipe is still all there.
pub fn is_fresh_copy(pid: u32) -> bool {
    let counts = read_text(&format!("/proc/{pid}/io"));
    kind_of(pid) == Kind::InBetween && counts.lines().any(|line| line == "rchar: 0")
}

/// The children of process `pid`.
pub fn children(pid: u32) -> Vec<u32> {
    let list = read_text(&format!("/proc/{pid}/task/{pid}/children"));
    list.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

/// The parent of process `pid`.
pub fn parent_of(pid: u32) -> Option<u32> {
    Stat::of(pid).map(|stat| stat.parent).filter(|parent| *parent != 0)
}

/// The whole of a file of /proc; empty if it can't be had or is no text.
pub(super) fn read_text(path: &str) -> String {
    read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn read(path: &str) -> rustix::io::Result<Vec<u8>> {
    procfs::whole(open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
}

/// What is used of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Debug, Default, PartialEq, Eq)]
struct Stat {
    name: String,
    parent: u32,
    flags: u64,
    is_dead: bool,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        let bytes = read(&format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    fn parse(text: &str) -> Option<Self> {
        // The name may hold spaces and parentheses; what comes behind it can't.
        let (head, rest) = text.rsplit_once(')')?;
        let name = head.split_once('(')?.1.to_owned();
        let mut fields = rest.split_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let flags = fields.nth(4)?.parse().ok()?;
        Some(Stat { name, parent, flags, is_dead })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_a_hostile_name() {
        let text = "12 (a) b (c) S 7 12 12 0 -1 4194368 100 0 0\n";
        let stat = Stat { name: "a) b (c".into(), parent: 7, flags: 4_194_368, is_dead: false };
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

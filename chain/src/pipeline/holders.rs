//! Who holds the other end of a pipe, as /proc shows it.

use std::ffi::{OsStr, OsString};

use crate::pipeline::process::{Kind, children, kind_of, parent_of, read_text};

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
    let text = read_text(&format!("/proc/{pid}/fdinfo/{}", fd.to_str()?));
    let octal = text.lines().find_map(|line| line.strip_prefix("flags:"))?;
    Some(i32::from_str_radix(octal.trim(), 8).ok()? & libc::O_ACCMODE)
}

/// What a process has as its standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A pipe, with a name or without, as /proc/PID/fd calls it.
    Pipe(OsString),
    /// Anything else.
    Other,
    /// Nothing, or the process no longer shows it.
    Closed,
}

/// What descriptor 0 of process `pid` is.
pub fn input_of(pid: u32) -> Input {
    use std::os::unix::fs::FileTypeExt;
    match std::fs::metadata(format!("/proc/{pid}/fd/0")) {
        Ok(file) if !file.file_type().is_fifo() => Input::Other,
        Ok(_) => link_of(pid, 0).map_or(Input::Closed, Input::Pipe),
        Err(_) => Input::Closed,
    }
}

/// Whether process `pid` descends from process `forebear`.
pub fn descends(pid: u32, forebear: u32) -> bool {
    let mut next = parent_of(pid);
    // The bound is for a parent that dies meanwhile, whose number may come round.
    for _ in 0..64 {
        match next {
            Some(parent) if parent == forebear => return true,
            Some(parent) => next = parent_of(parent),
            None => return false,
        }
    }
    false
}

//! Which of a container's processes is its app.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use chain::names;
use chain::procfs::Procfs;
use rustix::fs::OFlags;

use crate::bytes;

/// The app of a container.
#[derive(Debug)]
pub struct App {
    /// Its process id.
    pub pid: i32,
    /// Its arguments.
    pub command: Vec<String>,
    /// The time since its start.
    pub age: Duration,
}

#[derive(Debug)]
struct Process {
    pid: i32,
    parent: i32,
    start_ticks: u64,
    command: Vec<String>,
}

/// The topmost process that is none of our tools: those stand above it as monitor or init.
pub fn find(procfs: &Procfs, processes: &[i32]) -> Option<App> {
    let all: BTreeSet<i32> = processes.iter().copied().collect();
    let mut app: Option<Process> = None;
    for &pid in processes {
        let Some(process) = read(procfs, pid) else {
            continue;
        };
        let is_ours = process.is_ours();
        // One of ours is better than none: the chain may be at its start.
        if app.is_none() || !is_ours {
            app = Some(process);
        }
        if !is_ours {
            break;
        }
    }
    let mut app = app?;
    while all.contains(&app.parent)
        && let Some(parent) = read(procfs, app.parent)
        && !parent.is_ours()
    {
        app = parent;
    }
    let ticks = rustix::param::clock_ticks_per_second();
    let start = Duration::from_millis(app.start_ticks * 1000 / ticks);
    let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let uptime = Duration::new(uptime.tv_sec as u64, uptime.tv_nsec as u32);
    Some(App { pid: app.pid, command: app.command, age: uptime.saturating_sub(start) })
}

impl Process {
    fn is_ours(&self) -> bool {
        let program = self.command.first().map(|word| Path::new(OsStr::new(word)));
        program.and_then(Path::file_name).is_some_and(names::is_ours)
    }
}

fn read(procfs: &Procfs, pid: i32) -> Option<Process> {
    let stat = file(procfs, &format!("{pid}/stat"))?;
    let (parent, start_ticks) = parse_stat(&stat)?;
    let command = file(procfs, &format!("{pid}/cmdline"))?;
    let command = match parse_command(&command) {
        words if words.is_empty() => vec![name_in(&stat)?],
        words => words,
    };
    Some(Process { pid, parent, start_ticks, command })
}

fn file(procfs: &Procfs, path: &str) -> Option<Vec<u8>> {
    bytes::all(procfs.file(path, OFlags::RDONLY).ok()?).ok()
}

/// The parent's id and the start time of a stat file (proc_pid_stat(5)). The name before them may
/// hold anything, parentheses too.
fn parse_stat(stat: &[u8]) -> Option<(i32, u64)> {
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(&stat[end + 1..]).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    Some((parent, fields.nth(17)?.parse().ok()?))
}

/// The name in brackets, as ps(1) shows what has no arguments.
fn name_in(stat: &[u8]) -> Option<String> {
    let start = stat.iter().position(|&byte| byte == b'(')? + 1;
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    Some(format!("[{}]", String::from_utf8_lossy(stat.get(start..end)?)))
}

fn parse_command(bytes: &[u8]) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    match bytes.is_empty() {
        true => Vec::new(),
        false => bytes
            .split(|&byte| byte == 0)
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat() {
        let stat = b"42 (a) b (c) S 7 42 42 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 777 1000 5 0";
        assert_eq!(parse_stat(stat), Some((7, 777)));
        assert_eq!(name_in(stat).as_deref(), Some("[a) b (c]"));
        assert_eq!(parse_stat(b"nonsense"), None);
    }

    #[test]
    fn command() {
        assert_eq!(parse_command(b"sh\0-c\0\0a b\0"), ["sh", "-c", "", "a b"]);
        assert!(parse_command(b"").is_empty());
    }
}

//! What is said of a cgroup before it is removed: what it ran out of, and what it used.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;

use chain::{Error, Result, ResultExt, Status, sys};
use rustix::fs::{Mode, OFlags, open};
use serde::Serialize;

use super::args::CgEnter;
use super::cell::Cell;
use crate::group::Group;
use crate::usage::{Pressure, Usage, keyed};

/// Where to report the end, found out before anything is made.
#[derive(Debug)]
pub struct End {
    status: Option<OwnedFd>,
    pressure: bool,
}

/// The object that `--status-fd` and `--status-file` get.
#[derive(Debug, Serialize)]
struct Object<'a> {
    /// The exit status of COMMAND, unless a signal ended it.
    exit: Option<u8>,
    /// The signal that ended it: `KILL`.
    signal: Option<String>,
    name: &'a str,
    #[serde(flatten)]
    usage: &'a Usage,
}

impl End {
    /// Opens what the report goes to.
    pub fn new(args: &CgEnter) -> Result<Self> {
        let status = match (&args.status_file, args.status_fd) {
            (Some(file), _) => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::TRUNC
                    | OFlags::CLOEXEC
                    | OFlags::NOCTTY;
                Some(open(file, flags, Mode::from_raw_mode(0o666)).or_fail_on("can't open", file)?)
            }
            (None, Some(number)) => {
                let given = sys::borrow(number).ok_or_else(|| {
                    Error::new("can't write to descriptor")
                        .object(number.to_string())
                        .reason("it is not open")
                })?;
                // The monitor closes what is the child's.
                Some(
                    rustix::io::fcntl_dupfd_cloexec(given, 3)
                        .or_fail_on("can't write to descriptor", number.to_string())?,
                )
            }
            (None, None) => None,
        };
        Ok(End { status, pressure: args.pressure })
    }

    /// Fails where the host keeps no such figures.
    pub fn check(&self, cell: &Cell<'_>) -> Result<()> {
        if !self.pressure {
            return Ok(());
        }
        let failed = "can't measure pressure";
        let group = cell.unified().ok_or_else(|| {
            Error::new(failed)
                .reason("no cgroup v2 hierarchy is mounted, and v1 has no such figures")
        })?;
        group
            .try_read("cpu.pressure")
            .map(drop)
            .or_fail(failed)
            .map_err(|error| error.hint("the kernel needs CONFIG_PSI, and psi=1 at boot"))
    }

    /// Reports, while the cgroup is still there.
    pub fn report(&self, cell: &Cell<'_>, status: Status) -> Result<()> {
        let mut usage = Usage::default();
        for group in cell.groups() {
            let all = group.counters();
            let asked = if self.status.is_some() { all } else { all.of_shortage() };
            usage.add(asked, &|file| group.try_read(file).ok());
        }
        let shortage = shortage(&usage).or_else(|| no_room(cell, &usage, status));
        if let Some(shortage) = shortage {
            chain::print_warning(&Error::new("ran out").object(cell.name()).reason(shortage));
        }
        if self.pressure
            && let Some(group) = cell.unified()
        {
            chain::print_note(&pressure(group));
        }
        let Some(fd) = &self.status else {
            return Ok(());
        };
        let (exit, signal) = match status {
            Status::Exited(code) => (Some(code), None),
            Status::Signaled(signal) => (None, Some(signal.to_string())),
        };
        let object = Object { exit, signal, name: cell.name(), usage: &usage };
        let line =
            serde_json::to_string(&object).map_err(|error| Error::new(error.to_string()))? + "\n";
        rustix::io::retry_on_intr(|| rustix::io::write(fd, line.as_bytes()))
            .or_fail("can't write the status")
            .map(drop)
    }
}

/// What was asked for beyond the limits, in one line.
fn shortage(usage: &Usage) -> Option<String> {
    let mut parts = Vec::new();
    let limit =
        usage.memory_max.map_or(String::new(), |limit| format!(" at the limit of {limit} bytes"));
    if let Some(killed @ 1..) = usage.oom_kill {
        let processes = if killed == 1 { "process" } else { "processes" };
        parts.push(format!("out of memory{limit}, {killed} {processes} killed"));
    } else if let Some(failed @ 1..) = usage.oom {
        let allocations = if failed == 1 { "allocation" } else { "allocations" };
        parts.push(format!("out of memory{limit}, {failed} {allocations} failed"));
    }
    if let Some(refused @ 1..) = usage.pids_refused {
        let forks = if refused == 1 { "fork" } else { "forks" };
        parts.push(format!("pids.max refused {refused} {forks}"));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// What may have kept a link from starting the next one: no process is killed before its exec is
/// over, and with no memory at all it can't even say what failed.
fn no_room(cell: &Cell<'_>, usage: &Usage, status: Status) -> Option<String> {
    if !matches!(status, Status::Exited(chain::FAILED | chain::NOT_EXECUTABLE)) {
        return None;
    }
    let reached = |group: &Group| {
        let events = group.try_read("memory.events").ok();
        let v1 = || group.try_read("memory.failcnt").ok()?.trim().parse().ok();
        events.and_then(|text| keyed(&text, "max")).or_else(v1)
    };
    let times @ 1.. = cell.groups().filter_map(reached).sum::<u64>() else { return None };
    let limit = usage.memory_max?;
    Some(format!("the memory limit of {limit} bytes was reached {times} times"))
}

fn pressure(group: &Group) -> String {
    let mut line = "waited for".to_owned();
    for resource in ["cpu", "memory", "io"] {
        let text = group.try_read(&format!("{resource}.pressure")).unwrap_or_default();
        let pressure = Pressure::parse(&text).unwrap_or_default();
        let seconds = |microseconds: u64| microseconds as f64 / 1e6;
        let gap = if resource == "cpu" { " " } else { ", " };
        let (some, full) = (seconds(pressure.some_usec), seconds(pressure.full_usec));
        write!(line, "{gap}{resource} some {some:.3} s full {full:.3} s")
            .expect("a String takes all");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages() {
        assert_eq!(shortage(&Usage::default()), None);
        let usage = Usage {
            oom: Some(3),
            oom_kill: Some(1),
            memory_max: Some(4096),
            pids_refused: Some(2),
            ..Usage::default()
        };
        assert_eq!(
            shortage(&usage).as_deref(),
            Some(
                "out of memory at the limit of 4096 bytes, 1 process killed; pids.max refused 2 forks"
            )
        );
        let usage = Usage { oom_kill: None, pids_refused: None, ..usage };
        let failed = "out of memory at the limit of 4096 bytes, 3 allocations failed";
        assert_eq!(shortage(&usage).as_deref(), Some(failed));
    }
}

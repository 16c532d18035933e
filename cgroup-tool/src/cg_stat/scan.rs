//! Reading all cgroups below a point, in all hierarchies that have figures.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chain::procfs::Procfs;
use chain::{Errno, Result};
use serde::Serialize;

use super::app::{self, App};
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::name;
use crate::usage::{Pressure, Usage};

/// One cgroup.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    /// The way from the point to it.
    pub name: String,
    /// How many cgroups are between the point and it.
    #[serde(skip)]
    pub depth: usize,
    /// Its app's process id, as this process's PID namespace has it.
    pub pid: Option<i32>,
    /// Its app's arguments.
    pub command: Vec<String>,
    /// CPU time in percent of one CPU: since the app's start, or since the last look.
    pub cpu_percent: Option<f64>,
    /// Its figures.
    #[serde(flatten)]
    pub usage: Usage,
    /// How long it waited for CPU, memory and io; nothing on v1.
    pub pressure: Pressures,
}

/// Figures of a cgroup that waits.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Pressures {
    /// Waiting for a CPU.
    pub cpu: Option<Pressure>,
    /// Waiting for memory.
    pub memory: Option<Pressure>,
    /// Waiting for block devices.
    pub io: Option<Pressure>,
}

/// The v1 controllers that have figures.
const COUNTED: &[&str] = &["memory", "pids", "cpuacct", "blkio"];

/// Looks again and again at one point.
#[derive(Debug)]
pub struct Scanner {
    procfs: Procfs,
    /// The point in each hierarchy; the one that has all cgroups is the first.
    parents: Vec<Group>,
    to_the_leaves: bool,
    /// CPU time at the last look.
    last: HashMap<String, (Instant, u64)>,
}

impl Scanner {
    /// Finds the point.
    pub fn new(point: Option<&Path>, to_the_leaves: bool) -> Result<Self> {
        let hierarchies = Hierarchies::find()?;
        let base = hierarchies.base()?;
        let mut parents = vec![base.parent(point)?];
        let is_counted =
            |h: &&Hierarchy| h.controllers.iter().any(|name| COUNTED.contains(&name.as_str()));
        for other in
            hierarchies.all().filter(|other| !std::ptr::eq(*other, base)).filter(is_counted)
        {
            match other.parent(point) {
                Ok(parent) => parents.push(parent),
                Err(error) if error.errno() == Some(Errno::ENOENT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Scanner { procfs: Procfs::open()?, parents, to_the_leaves, last: HashMap::new() })
    }

    /// The point in each hierarchy.
    pub fn parents(&self) -> &[Group] {
        &self.parents
    }

    /// All cgroups as they are now, sorted by name.
    pub fn scan(&mut self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        self.descend(&self.parents, "", 0, &mut rows)?;
        let now = Instant::now();
        let mut seen = HashMap::new();
        for row in &mut rows {
            let Some(usage) = row.usage.cpu_usec else {
                continue;
            };
            if let Some((then, before)) = self.last.get(&row.name) {
                let elapsed = now.duration_since(*then).as_micros() as f64;
                row.cpu_percent = Some(usage.saturating_sub(*before) as f64 / elapsed * 100.0);
            }
            seen.insert(row.name.clone(), (now, usage));
        }
        self.last = seen;
        Ok(rows)
    }

    fn descend(
        &self,
        parents: &[Group],
        way: &str,
        depth: usize,
        rows: &mut Vec<Row>,
    ) -> Result<()> {
        let Some((first, others)) = parents.split_first() else {
            return Ok(());
        };
        let mut names = first.children()?;
        names.sort_unstable();
        for name in names {
            // At the top it is no container, but what stood in the way of one.
            if depth == 0 && name == name::REST && !self.to_the_leaves {
                continue;
            }
            let Some(group) = first.open_if_there(&name)? else {
                continue;
            };
            let mut parts = vec![group];
            for other in others {
                parts.extend(other.open_if_there(&name)?);
            }
            let name = format!("{way}{name}");
            rows.push(self.row(&parts, name.clone(), depth)?);
            if self.to_the_leaves {
                self.descend(&parts, &format!("{name}/"), depth + 1, rows)?;
            }
        }
        Ok(())
    }

    fn row(&self, parts: &[Group], name: String, depth: usize) -> Result<Row> {
        let mut usage = Usage::of(parts);
        let group = &parts[0];
        let mut processes = Vec::new();
        if usage.pids != Some(0) {
            collect(group, &mut processes)?;
        }
        usage.pids.get_or_insert(processes.len() as u64);
        let pressure = |file: &str| Pressure::parse(&group.try_read(file).ok()?);
        let pressure = match processes.is_empty() {
            true => Pressures::default(),
            false => Pressures {
                cpu: pressure("cpu.pressure"),
                memory: pressure("memory.pressure"),
                io: pressure("io.pressure"),
            },
        };
        let mut row = Row { name, depth, usage, pressure, ..Row::default() };
        if let Some(App { pid, command, age }) = app::find(&self.procfs, &processes) {
            row.pid = Some(pid);
            row.command = command;
            row.cpu_percent = row.usage.cpu_usec.and_then(|usage| percent(usage, age));
        }
        Ok(row)
    }
}

fn percent(cpu_usec: u64, age: Duration) -> Option<f64> {
    let age = age.as_micros() as f64;
    (age > 0.0).then(|| cpu_usec as f64 / age * 100.0)
}

/// The processes in `group` and below.
fn collect(group: &Group, processes: &mut Vec<i32>) -> Result<()> {
    match group.processes() {
        Ok(found) => processes.extend(found),
        // It is gone, or a threaded one, whose processes its parent lists.
        Err(error)
            if matches!(error.errno(), Some(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP)) =>
        {
            return Ok(());
        }
        Err(error) => return Err(error),
    }
    for name in group.children()? {
        if let Some(child) = group.open_if_there(&name)? {
            collect(&child, processes)?;
        }
    }
    Ok(())
}

//! Reading all cgroups below a point, in all hierarchies that have figures.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use chain::procfs::Procfs;
use chain::{Errno, Result};
use serde::Serialize;

use super::app::{self, App};
use crate::group::Group;
use crate::hierarchy::Hierarchies;
use crate::name;
use crate::usage::{Counters, Pressure, Usage};

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

/// What is to be found out: each file costs three system calls, which is what cg-stat's time is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What the table has a column for.
    Table,
    /// Every figure, and the app.
    All,
    /// Every figure.
    Figures,
}

/// Looks again and again at one point.
#[derive(Debug)]
pub struct Scanner {
    procfs: Procfs,
    /// The point in each hierarchy; the one that has all cgroups is the first.
    parents: Vec<Group>,
    to_the_leaves: bool,
    wanted: Wanted,
    /// CPU time at the last look.
    last: HashMap<String, (Instant, u64)>,
}

impl Scanner {
    /// Finds the point.
    pub fn new(point: Option<&Path>, to_the_leaves: bool, wanted: Wanted) -> Result<Self> {
        let hierarchies = Hierarchies::find()?;
        let base = hierarchies.base()?;
        let mut parents = vec![base.parent(point)?];
        for other in hierarchies.all()?.into_iter().filter(|other| !std::ptr::eq(*other, base)) {
            parents.extend(other.parent_if_there(point)?.filter(|group| group.counters().any()));
        }
        let (procfs, last) = (Procfs::open()?, HashMap::new());
        Ok(Scanner { procfs, parents, to_the_leaves, wanted, last })
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
        let Some(first) = parents.first() else {
            return Ok(());
        };
        let counters: Vec<_> = parents.iter().map(Group::counters_below).collect();
        let mut names = first.children()?;
        names.sort_unstable();
        for name in names {
            // At the top it is no container, but what stood in the way of one.
            if depth == 0 && name == name::REST && !self.to_the_leaves {
                continue;
            }
            let path = format!("{way}{name}");
            let is_leaf = first.is_leaf(&name);
            if let Some(processes) = processes(first, &name, is_leaf)? {
                let usage = self.usage(parents, &counters, &name, &processes);
                rows.push(self.row(first, &name, path.clone(), depth, usage, &processes));
            }
            if self.to_the_leaves && !is_leaf {
                let mut below = Vec::new();
                for parent in parents {
                    below.extend(parent.open_if_there(&name)?);
                }
                self.descend(&below, &format!("{path}/"), depth + 1, rows)?;
            }
        }
        Ok(())
    }

    fn usage(
        &self,
        parents: &[Group],
        counters: &[Counters],
        name: &str,
        processes: &[i32],
    ) -> Usage {
        let mut usage = Usage::default();
        for (parent, has) in parents.iter().zip(counters) {
            let has = match self.wanted {
                Wanted::Table => has.in_table(processes.is_empty()),
                Wanted::All | Wanted::Figures => *has,
            };
            usage.add(has, &|file| parent.try_read(&format!("{name}/{file}")).ok());
        }
        usage.pids.get_or_insert(processes.len() as u64);
        usage
    }

    fn row(
        &self,
        parent: &Group,
        name: &str,
        path: String,
        depth: usize,
        usage: Usage,
        processes: &[i32],
    ) -> Row {
        let mut row = Row { name: path, depth, usage, ..Row::default() };
        if processes.is_empty() {
            return row;
        }
        let pressure = |resource: &str| {
            let text = parent.try_read(&format!("{name}/{resource}.pressure"));
            Pressure::parse(&text.ok()?)
        };
        row.pressure =
            Pressures { cpu: pressure("cpu"), memory: pressure("memory"), io: pressure("io") };
        if self.wanted != Wanted::Figures
            && let Some(App { pid, command, age }) = app::find(&self.procfs, processes)
        {
            row.pid = Some(pid);
            row.command = command;
            row.cpu_percent = row.usage.cpu_usec.and_then(|usage| percent(usage, age));
        }
        row
    }
}

fn percent(cpu_usec: u64, age: Duration) -> Option<f64> {
    let age = age.as_micros() as f64;
    (age > 0.0).then(|| cpu_usec as f64 / age * 100.0)
}

/// The processes in the cgroup `name` and below; `None` if it is gone meanwhile, or a threaded
/// one, whose processes its parent lists.
fn processes(parent: &Group, name: &str, is_leaf: bool) -> Result<Option<Vec<i32>>> {
    let Ok(text) = parent.try_read(&format!("{name}/cgroup.procs")) else {
        return Ok(None);
    };
    let mut processes: Vec<i32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    if !is_leaf && let Some(group) = parent.open_if_there(name)? {
        collect_below(&group, &mut processes)?;
    }
    Ok(Some(processes))
}

/// Adds the processes of the cgroups in `group`, and below.
fn collect_below(group: &Group, processes: &mut Vec<i32>) -> Result<()> {
    for name in group.children()? {
        let Some(child) = group.open_if_there(&name)? else {
            continue;
        };
        match child.processes() {
            Ok(found) => processes.extend(found),
            // It is gone, or a threaded one, whose processes its parent lists.
            Err(error)
                if matches!(
                    error.errno(),
                    Some(Errno::ENOENT | Errno::ENODEV | Errno::EOPNOTSUPP)
                ) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        }
        if !group.is_leaf(&name) {
            collect_below(&child, processes)?;
        }
    }
    Ok(())
}

//! Looking at many cgroups: cg-stat beside find(1), which only lists them, and beside cat(1),
//! which only reads the files that the table is made of.

use std::ffi::OsString;
use std::fs;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use serde_json::{Value, json};

use crate::measure::now;
use crate::place::Place;
use crate::stats::Summary;

/// What the table reads of a cgroup that has processes; of an empty one the first only.
const FILES: [&str; 5] =
    ["cgroup.procs", "cpu.stat", "cpu.pressure", "memory.pressure", "io.pressure"];

/// `count` cgroups of v2 and the processes in them; both are gone when this is dropped.
struct Crowd {
    folder: PathBuf,
    groups: Vec<PathBuf>,
    processes: Vec<Child>,
}

/// Measures with empty cgroups, then with a process in each.
pub fn measure(place: &Place, count: usize, rounds: usize) -> Result<Vec<Value>> {
    let mut crowd = Crowd::new(count)?;
    let empty = contenders(place, &crowd, &FILES[..1]);
    let mut results = vec![compare(&format!("{count} empty cgroups"), &empty, rounds)?];
    crowd.populate()?;
    let populated = contenders(place, &crowd, &FILES);
    results.push(compare(&format!("{count} cgroups of one process"), &populated, rounds)?);
    Ok(results)
}

fn contenders(place: &Place, crowd: &Crowd, files: &[&str]) -> Vec<(&'static str, Vec<OsString>)> {
    let stat = |option: Option<&str>| {
        let name = format!("/{}", crowd.name());
        let words = [place.tool("cg-stat").into(), name.into()];
        words.into_iter().chain(option.map(OsString::from)).collect()
    };
    let paths = |group: &PathBuf| files.iter().map(|file| group.join(file)).collect::<Vec<_>>();
    let mut read: Vec<PathBuf> = crowd.groups.iter().flat_map(paths).collect();
    for process in &crowd.processes {
        read.extend(
            ["stat", "cmdline"].map(|file| format!("/proc/{}/{file}", process.id()).into()),
        );
    }
    let cat = std::iter::once("cat".into()).chain(read.into_iter().map(OsString::from)).collect();
    let find = ["find".into(), crowd.folder.clone().into(), "-name".into(), "none".into()];
    vec![
        ("find", find.to_vec()),
        ("cat", cat),
        ("cg-stat", stat(None)),
        ("cg-stat --json", stat(Some("--json"))),
        ("cg-stat --prometheus", stat(Some("--prometheus"))),
    ]
}

fn compare(
    title: &str,
    contenders: &[(&'static str, Vec<OsString>)],
    rounds: usize,
) -> Result<Value> {
    let mut runs = vec![(Vec::new(), Vec::new()); contenders.len()];
    for round in 0..rounds {
        for turn in 0..contenders.len() {
            let index = (round + turn) % contenders.len();
            let (wall, cpu) = run(&contenders[index].1)?;
            runs[index].0.push(wall);
            runs[index].1.push(cpu);
        }
    }
    println!("\n### {title}\n\n| ms | wall | min | CPU | min | ratio of CPU to find's |");
    println!("|---|--:|--:|--:|--:|--:|");
    let of_find = Summary::of(runs[0].1.iter().copied()).median;
    let mut rows = Vec::new();
    for ((name, _), (wall, cpu)) in contenders.iter().zip(runs) {
        let (wall, cpu) = (Summary::of(wall), Summary::of(cpu));
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |",
            wall.median / 1e3,
            wall.least / 1e3,
            cpu.median / 1e3,
            cpu.least / 1e3,
            cpu.median / of_find
        );
        rows.push(json!({"name": name, "wall": wall.to_json(), "cpu": cpu.to_json()}));
    }
    Ok(json!({"title": title, "unit": "us", "rows": rows}))
}

/// Microseconds of wall clock and of CPU.
fn run(words: &[OsString]) -> Result<(f64, f64)> {
    let (began, used) = (now(), cpu_of_children());
    let status = Command::new(&words[0]).args(&words[1..]).stdout(Stdio::null()).status()?;
    if !status.success() {
        return Err(Error::other(format!("{:?}: {status}", words[0])));
    }
    Ok((now() - began, cpu_of_children() - used))
}

/// Microseconds of CPU used by the children that have been waited for.
fn cpu_of_children() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a valid pointer");
    let of = |time: TimeVal| time.num_microseconds() as f64;
    of(usage.user_time()) + of(usage.system_time())
}

impl Crowd {
    fn new(count: usize) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mounts.find(|fields| fields[2] == "cgroup2");
        let mount = mount.ok_or_else(|| Error::other("no cgroup v2 hierarchy is mounted"))?[1];
        let folder = Path::new(mount).join(format!("catena-bench-{}", std::process::id()));
        let mut crowd = Crowd { folder, groups: Vec::new(), processes: Vec::new() };
        fs::create_dir(&crowd.folder)?;
        for number in 0..count {
            let group = crowd.folder.join(format!("c{number}"));
            fs::create_dir(&group)?;
            crowd.groups.push(group);
        }
        Ok(crowd)
    }

    fn name(&self) -> &str {
        self.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn populate(&mut self) -> Result<()> {
        for group in &self.groups {
            let child = Command::new("sleep").arg("1000").spawn()?;
            let id = child.id();
            self.processes.push(child);
            fs::write(group.join("cgroup.procs"), id.to_string())?;
        }
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for group in &self.groups {
            let _ = fs::remove_dir(group);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}

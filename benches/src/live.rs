//! Many containers at once: what each takes of memory, what one more costs, how fast several
//! starters are, how long it takes to stop them all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Result;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::measure::{self, Contender, app_time, now};
use crate::stats::Summary;

/// How many starters work side by side, and for how long (microseconds).
const STARTERS: usize = 8;
const STARTING_TIME: f64 = 2e6;

/// Starts `count` containers of each, whose app stays, and says what that was like.
pub fn measure(contenders: &[Contender], count: usize) -> Vec<Value> {
    let one = |contender: &Contender| {
        measure_one(contender, count).unwrap_or_else(|error| json!({"error": error.to_string()}))
    };
    let results: Vec<Value> = contenders.iter().map(one).collect();
    for (contender, result) in contenders.iter().zip(&results) {
        println!("\n### {count} live containers: {}\n\n{result:#}", contender.name);
    }
    results
}

fn measure_one(contender: &Contender, count: usize) -> Result<Value> {
    let mut staying = contender.clone();
    staying.words.push("stay".into());
    let (mut live, mut starts) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for _ in 0..count {
        let began = now();
        let mut child = staying.command().stderr(Stdio::null()).spawn()?;
        let started = app_time(child.stdout.take().expect("a pipe"));
        live.push(child);
        match started {
            Ok(time) => starts.push(time - began),
            Err(error) => {
                stop(&mut live)?;
                return Err(error);
            }
        }
    }
    let memory = memory(&live);
    let tenth = (count / 10).max(1);
    let first = Summary::of(starts[..tenth].iter().copied());
    let last = Summary::of(starts[count - tenth..].iter().copied());
    let stopping = stop(&mut live)?;
    let left = processes_of(contender);
    Ok(json!({
        "name": contender.name, "live": count, "pss_kib": memory,
        "start_first_tenth": first.to_json(), "start_last_tenth": last.to_json(),
        "last_to_first": (last.median / first.median * 100.0).round() / 100.0,
        "stop_all_ms": (stopping / 1000.0).round(), "left": left,
        "starts_a_second_of_8": rate(contender),
    }))
}

/// The proportional set size of the processes of all, by name, per process.
fn memory(live: &[Child]) -> BTreeMap<String, f64> {
    let mut by_name: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut waiting: Vec<u32> = live.iter().map(Child::id).collect();
    while let Some(pid) = waiting.pop() {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let children = read(&format!("task/{pid}/children"));
        waiting.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        let rollup = read("smaps_rollup");
        let pss =
            rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB"));
        if let Some(size) = pss.and_then(|size| size.parse().ok()) {
            by_name.entry(read("comm").trim().to_owned()).or_default().push(size);
        }
    }
    by_name.into_iter().map(|(name, sizes)| (name, Summary::of(sizes).median)).collect()
}

/// How many processes there are that were started by its program, or are the app.
fn processes_of(contender: &Contender) -> usize {
    let app = contender.words.last().map(|word| format!("{}\0stay\0", word.to_string_lossy()));
    let app = app.unwrap_or_default();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let line = |process: fs::DirEntry| fs::read_to_string(process.path().join("cmdline")).ok();
    processes.filter_map(line).filter(|line| line.ends_with(&app)).count()
}

/// Asks all to end, and waits until they have; how long that took.
fn stop(live: &mut Vec<Child>) -> Result<f64> {
    let began = now();
    for child in &*live {
        let pid = Pid::from_child(child);
        let _ = kill_process(pid, Signal::TERM);
    }
    for child in &mut *live {
        child.wait()?;
    }
    live.clear();
    Ok(now() - began)
}

/// Starts a second, several starters working side by side.
fn rate(contender: &Contender) -> f64 {
    let (done, began) = (AtomicUsize::new(0), now());
    std::thread::scope(|scope| {
        for _ in 0..STARTERS {
            scope.spawn(|| {
                while now() - began < STARTING_TIME && measure::run(contender).is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    (done.load(Ordering::Relaxed) as f64 / ((now() - began) / 1e6)).round()
}

//! What a container's first process is there for: forwarding a signal, and reaping.

use std::io::{Error, Result};
use std::process::{Child, ChildStdout};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::measure::{self, Contender, app_time, now};
use crate::place::Place;
use crate::report;
use crate::stats::Summary;
use crate::suites::present;

/// Starts its command as PID 1 of a new namespace.
const AS_INIT: &str = "unshare --pid --fork --";

/// Those that do it, with an app that does `what`.
fn contenders(place: &Place, what: &str) -> Vec<Contender> {
    let app = format!("{}/app {what}", place.root().display());
    let own = place.tool("mini-init").display().to_string();
    let is_there = |contender: &Contender| !present(vec![contender.clone()]).is_empty();
    let all = [
        Contender::new("mini-init", &format!("{own} -- {app}")),
        Contender::new("tini", &format!("tini -- {app}")),
        Contender::new("dumb-init", &format!("dumb-init -- {app}")),
        Contender::new("catatonit", &format!("catatonit -- {app}")),
    ];
    let as_init = |mut contender: Contender| {
        contender.words.splice(..0, AS_INIT.split(' ').map(Into::into));
        contender
    };
    all.into_iter().filter(is_there).map(as_init).collect()
}

/// The only child of process `pid`.
fn child_of(pid: u32) -> Result<Pid> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    let child = list.trim().parse().ok().and_then(Pid::from_raw);
    child.ok_or_else(|| Error::other(format!("process {pid} has not one child")))
}

/// From kill(2) to the app's first instruction after it.
pub fn term(place: &Place, rounds: usize) -> Result<Value> {
    let mut contenders = contenders(place, "term");
    let app = format!("{AS_INIT} {}/app term", place.root().display());
    contenders.insert(0, Contender::new("the app itself", &app));
    let mut live: Vec<(String, Child, Pid, ChildStdout, Vec<f64>)> = Vec::new();
    for contender in &contenders {
        let mut child = contender.command().spawn()?;
        let mut stdout = child.stdout.take().expect("a pipe");
        app_time(&mut stdout)?;
        let init = child_of(child.id())?;
        live.push((contender.name.clone(), child, init, stdout, Vec::with_capacity(rounds)));
    }
    let count = live.len();
    for turn in 0..rounds * count {
        let (_, _, init, stdout, times) = &mut live[(turn + turn / count) % count];
        std::thread::sleep(std::time::Duration::from_micros(300));
        let began = now();
        kill_process(*init, Signal::TERM)?;
        times.push(app_time(stdout)? - began);
    }
    let mut rows = Vec::new();
    for (name, mut child, init, stdout, times) in live {
        // The app ends when it writes to a pipe that nobody reads.
        drop(stdout);
        kill_process(init, Signal::TERM)?;
        child.wait()?;
        rows.push((name, Summary::of(times)));
    }
    Ok(report::summaries_to_json("a TERM on its way to the app", &rows))
}

/// Ten thousand processes that the init did not start.
pub fn orphans(place: &Place, rounds: usize) -> Result<Value> {
    let results =
        measure::interleave(&contenders(place, "orphans"), rounds, std::time::Duration::ZERO);
    let row = |(name, runs): (String, Vec<measure::Run>)| {
        (name, Summary::of(runs.iter().map(|run| run.end - run.start)))
    };
    let rows: Vec<_> = results.into_iter().map(row).collect();
    Ok(report::summaries_to_json("10,000 orphans, born and reaped", &rows))
}

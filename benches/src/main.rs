//! `bench`: measures the tools beside others of their kind. See docs/performance.md.
//!
//!     bench [--quick] [--live COUNT]... [--stat COUNT] [--tools FOLDER] [--json FILE] [--svg FILE]
//!         [--document FILE] [--prepare FOLDER | --place FOLDER] [all|SUITE...]

mod inits;
mod live;
mod measure;
mod place;
mod relay;
mod report;
mod stat;
mod stats;
mod suites;

use std::ffi::OsString;
use std::io::{Error, Result};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Map, Value, json};

use place::Place;

/// Who runs what an ordinary user does, where all of this is run by root.
const ORDINARY: u32 = 4242;

#[derive(Debug, Default)]
struct Arguments {
    quick: bool,
    /// How many containers live at once.
    live: Vec<usize>,
    /// How many cgroups cg-stat looks at.
    stat: Option<usize>,
    tools: Option<PathBuf>,
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
    /// Where the tables are put, between two marks.
    document: Option<PathBuf>,
    /// How many messages are sent: this is the other side of a measurement.
    send: Option<usize>,
    /// Nothing is measured: what others measure in is made here.
    prepare: Option<PathBuf>,
    /// Made by another process.
    place: Option<OsString>,
    /// The one that has started this one waits for the results in JSON.
    only_results: bool,
    suites: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = parse(std::env::args_os().skip(1))?;
    if let Some(count) = arguments.send {
        return relay::send(count);
    }
    let make = |folder: Option<&Path>| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("c");
        let built = Path::new("dist").to_owned();
        Place::make(folder, arguments.tools.as_ref().unwrap_or(&built), &sources)
    };
    let place = match (&arguments.prepare, &arguments.place) {
        (Some(folder), _) => return make(Some(folder)).map(drop),
        (None, Some(folder)) => Place::existing(folder),
        (None, None) => make(None)?,
    };
    let rounds = if arguments.quick { 20 } else { 150 };
    let mut results = Map::new();
    for name in suites::NAMES {
        let all =
            arguments.suites.is_empty() && arguments.live.is_empty() && arguments.stat.is_none();
        let chosen = all || arguments.suites.iter().any(|s| s == name);
        if !chosen {
            continue;
        }
        let is_root = rustix::process::geteuid().is_root();
        let result = match (name, is_root) {
            ("rootless", true) => as_ordinary_user(name, &place, arguments.quick)?,
            ("rootless", false) | (_, true) => run(name, &place, rounds, !arguments.only_results)?,
            _ => {
                eprintln!("left out: {name} is run by root");
                continue;
            }
        };
        results.insert(name.to_owned(), result);
    }
    let mut live = Vec::new();
    for &count in &arguments.live {
        // Of the others the processes don't end when they are asked to.
        let ends = |contender: &measure::Contender| {
            contender.name.starts_with("catena") || contender.name == "bwrap"
        };
        let mut contenders = suites::suite("net", &place)?.contenders;
        contenders.retain(ends);
        live.extend(live::measure(&contenders, count));
    }
    let stat = match arguments.stat {
        Some(count) => stat::measure(&place, count, rounds / 5)?,
        None => Vec::new(),
    };
    if arguments.only_results {
        println!("{}", Value::Object(results));
        return Ok(());
    }
    if let Some(file) = &arguments.svg {
        std::fs::write(file, report::to_svg(&results))?;
    }
    if let Some(file) = &arguments.document {
        let text = report::to_markdown(&results, &live);
        let whole = report::insert(&std::fs::read_to_string(file)?, &text);
        let no_marks = || Error::other(format!("no place for tables in {}", file.display()));
        std::fs::write(file, whole.ok_or_else(no_marks)?)?;
    }
    if let Some(file) = &arguments.json {
        let whole = json!({"machine": machine(), "suites": results, "live": live, "stat": stat});
        std::fs::write(file, serde_json::to_string_pretty(&whole)? + "\n")?;
    }
    Ok(())
}

fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Arguments> {
    let mut arguments = Arguments::default();
    while let Some(word) = words.next() {
        let mut value =
            || words.next().ok_or_else(|| Error::other(format!("{word:?} needs a value")));
        match word.to_str() {
            Some("--quick") => arguments.quick = true,
            Some("--live") => arguments.live.push(number(value()?)?),
            Some("--send") => arguments.send = Some(number(value()?)?),
            Some("--document") => arguments.document = Some(value()?.into()),
            Some("--stat") => arguments.stat = Some(number(value()?)?),
            Some("--tools") => arguments.tools = Some(value()?.into()),
            Some("--json") => arguments.json = Some(value()?.into()),
            Some("--svg") => arguments.svg = Some(value()?.into()),
            Some("--prepare") => arguments.prepare = Some(value()?.into()),
            Some("--place") => arguments.place = Some(value()?),
            Some("--only-results") => arguments.only_results = true,
            Some("all") => arguments.suites.extend(suites::NAMES.map(str::to_owned)),
            Some(name) if suites::NAMES.contains(&name) => arguments.suites.push(name.to_owned()),
            _ => return Err(Error::other(format!("not an option and no suite: {word:?}"))),
        }
    }
    Ok(arguments)
}

fn number(word: OsString) -> Result<usize> {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number.ok_or_else(|| Error::other(format!("not a number: {word:?}")))
}

fn run(name: &'static str, place: &Place, rounds: usize, show: bool) -> Result<Value> {
    let result = match name {
        "term" => inits::term(place, rounds * 10)?,
        "orphans" => inits::orphans(place, rounds / 10)?,
        "relay" => relay::measure(place, rounds * 10)?,
        _ => {
            let suite = suites::suite(name, place)?;
            let rows = report::rows(measure::interleave(&suite.contenders, rounds, suite.pause));
            report::to_json(suite.title, &rows)
        }
    };
    if show {
        print!("{}", report::table_of(&result));
    }
    Ok(result)
}

/// Has a process of an ordinary user run the suite.
fn as_ordinary_user(name: &str, place: &Place, quick: bool) -> Result<Value> {
    let bench = place.folder().join("bench");
    std::fs::copy(std::env::current_exe()?, &bench)?;
    let mut command = Command::new(&bench);
    command.uid(ORDINARY).gid(ORDINARY).arg("--only-results").arg("--place").arg(place.folder());
    command.args(quick.then_some("--quick")).arg(name);
    let output = command.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(Error::other(format!("suite {name}: {}", output.status)));
    }
    let all: Value = serde_json::from_slice(&output.stdout)?;
    let suite = all[name].clone();
    print!("{}", report::table_of(&suite));
    Ok(suite)
}

/// What the figures were measured on.
fn machine() -> Value {
    let name = rustix::system::uname();
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "kernel": name.release().to_string_lossy(), "architecture": name.machine().to_string_lossy(),
        "processors": cpus,
    })
}

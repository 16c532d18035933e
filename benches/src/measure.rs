//! One run of one contender, and many of several in turn.

use std::ffi::OsString;
use std::io::{Read, Result};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Something that starts the app.
#[derive(Debug, Clone)]
pub struct Contender {
    /// What it is called in the tables.
    pub name: String,
    /// How it is started.
    pub words: Vec<OsString>,
}

impl Contender {
    /// `command`, split at blanks.
    pub fn new(name: &str, command: &str) -> Self {
        let words = command.split_ascii_whitespace().map(Into::into).collect();
        Contender { name: name.to_owned(), words }
    }

    /// A line for the shell.
    pub fn line(name: &str, line: &str) -> Self {
        let words = ["sh", "-c", line].map(Into::into).to_vec();
        Contender { name: name.to_owned(), words }
    }

    /// Its process, ready to be started: the app's standard output is a pipe.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }
}

/// What one run took, in microseconds from the start of the contender.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Until the app's first instruction.
    pub start: f64,
    /// Until the contender had ended.
    pub end: f64,
}

/// The monotonic clock in microseconds.
pub fn now() -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

/// The time that the app has written.
pub fn app_time(mut stdout: impl Read) -> Result<f64> {
    let mut bytes = [0; 16];
    stdout.read_exact(&mut bytes)?;
    let number = |half: &[u8]| i64::from_ne_bytes(half.try_into().expect("eight bytes")) as f64;
    Ok(number(&bytes[..8]) * 1e6 + number(&bytes[8..]) / 1e3)
}

/// Runs it once. std starts a program by vfork and exec (posix_spawn(3)).
pub fn run(contender: &Contender) -> Result<Run> {
    let mut command = contender.command();
    let began = now();
    let mut child = command.spawn()?;
    let stdout = child.stdout.take().expect("a pipe");
    let started = app_time(stdout);
    let status = child.wait()?;
    let ended = now();
    let failed = || std::io::Error::other(format!("{}: {status}", contender.name));
    if !status.success() {
        return Err(failed());
    }
    Ok(Run { start: started.map_err(|_| failed())? - began, end: ended - began })
}

/// Runs all of them `rounds` times, in another order each round, `pause` before each run. One
/// that fails at its first run is left out, which is said.
pub fn interleave(
    contenders: &[Contender],
    rounds: usize,
    pause: Duration,
) -> Vec<(String, Vec<Run>)> {
    let mut results: Vec<(Contender, Vec<Run>)> = Vec::new();
    for contender in contenders {
        match run(contender) {
            Ok(_) => results.push((contender.clone(), Vec::with_capacity(rounds))),
            Err(error) => eprintln!("left out: {error}"),
        }
    }
    let count = results.len();
    for round in 0..rounds {
        for turn in 0..count {
            let (contender, runs) = &mut results[(round + turn) % count];
            std::thread::sleep(pause);
            match run(contender) {
                Ok(run) => runs.push(run),
                Err(error) => eprintln!("a run failed: {error}"),
            }
        }
    }
    results.into_iter().map(|(contender, runs)| (contender.name, runs)).collect()
}

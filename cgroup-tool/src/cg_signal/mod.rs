//! `cg-signal`: act on all that is in a cgroup.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chain::signal::Signal;
use chain::{Act, Errno, Error, Result, ResultExt};

use crate::cg_enter::parse_parent;
use crate::group::Group;
use crate::hierarchy::Hierarchies;
use crate::{name, processes, removal};

/// Send a signal to all processes in a cgroup and below, or do what the options say, in this
/// order: freeze, signal, thaw, wait, kill, remove
#[derive(Debug, clap::Parser)]
#[command(name = "cg-signal", version)]
pub struct CgSignal {
    /// The cgroup's name, as given to cg-enter or shown by cg-stat
    #[arg(value_parser = name::parse_any)]
    name: String,

    /// Where it is, as for cg-enter
    #[arg(long, value_name = "PATH", value_parser = parse_parent)]
    parent: Option<PathBuf>,

    /// Stop all processes
    #[arg(long, conflicts_with = "thaw")]
    freeze: bool,

    /// Send this signal (TERM, if no other option says what to do)
    #[arg(long, short, value_name = "SIGNAL")]
    signal: Option<Signal>,

    /// Let stopped processes go on
    #[arg(long)]
    thaw: bool,

    /// Wait until no process is left, at most for so many seconds if a number is given; status 124
    /// if some are left then, and are not to be killed
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true)]
    wait: Option<Option<f64>>,

    /// Kill all processes
    #[arg(long)]
    kill: bool,

    /// Remove it, killing what is left
    #[arg(long)]
    rm: bool,

    /// Say what would be done, and to which cgroup, and do nothing
    #[arg(long)]
    explain: bool,
}

/// One thing that it does.
#[derive(Debug, Clone, Copy)]
enum Step {
    Freeze,
    Signal(Signal),
    Thaw,
    /// At most for so many seconds.
    Wait(Option<f64>),
    Kill,
    Remove,
}

/// As timeout(1) has it.
const TIMED_OUT: u8 = 124;

impl Act for CgSignal {
    fn run(self) -> Result<u8> {
        let hierarchies = Hierarchies::find()?;
        let parent = hierarchies.base()?.parent(self.parent.as_deref())?;
        let group = parent.open(&self.name)?;
        let steps = self.steps();
        if self.explain {
            return explain(&steps, &group);
        }
        let mut is_empty = true;
        for step in steps {
            match step {
                Step::Freeze => group.freeze(true)?,
                Step::Signal(signal) => processes::signal_all(&group, signal)?,
                Step::Thaw => group.freeze(false)?,
                Step::Wait(limit) => {
                    is_empty = removal::wait_until_empty(&group, deadline(limit)?)?;
                }
                Step::Kill => removal::kill(&group)?,
                Step::Remove => self.remove(&hierarchies)?,
            }
        }
        Ok(if is_empty || self.kill || self.rm { 0 } else { TIMED_OUT })
    }
}

/// A line for each step, as the links of a chain explain theirs.
fn explain(steps: &[Step], group: &Group) -> Result<u8> {
    let path = chain::explain::word(&group.path);
    let mut text = String::new();
    for step in steps {
        let step = match step {
            Step::Freeze => format!("stops all processes in {path} and below"),
            Step::Signal(signal) => format!("sends {signal} to all processes in {path} and below"),
            Step::Thaw => format!("lets the stopped processes in {path} go on"),
            Step::Wait(None) => format!("waits until no process is left in {path}"),
            Step::Wait(Some(seconds)) => {
                format!("waits until no process is left in {path}, at most {seconds} s")
            }
            Step::Kill => format!("kills all processes in {path} and below"),
            Step::Remove => format!("kills what is left in {path}, and removes it"),
        };
        text.push_str(&format!("cg-signal: {step}\n"));
    }
    std::io::stdout().write_all(text.as_bytes()).or_fail("can't print the steps")?;
    Ok(0)
}

impl CgSignal {
    /// What the options say, in the order in which it is done.
    fn steps(&self) -> Vec<Step> {
        let does_something_else =
            self.freeze || self.thaw || self.wait.is_some() || self.kill || self.rm;
        let signal = self.signal.or((!does_something_else).then_some(Signal::TERM));
        let steps = [
            self.freeze.then_some(Step::Freeze),
            signal.map(Step::Signal),
            self.thaw.then_some(Step::Thaw),
            self.wait.map(Step::Wait),
            self.kill.then_some(Step::Kill),
            self.rm.then_some(Step::Remove),
        ];
        steps.into_iter().flatten().collect()
    }

    /// Its parts in the other hierarchies have no processes once the first is gone. Those that
    /// have some, or belong to somebody else, only have the same name.
    fn remove(&self, hierarchies: &Hierarchies) -> Result<()> {
        let base = hierarchies.base()?;
        removal::remove(&base.parent(self.parent.as_deref())?, &self.name)?;
        for other in hierarchies.all()?.into_iter().filter(|other| !std::ptr::eq(*other, base)) {
            if let Some(parent) = other.parent_if_there(self.parent.as_deref())?
                && let Some(group) = parent.open_if_there(&self.name)?
                && !group.is_populated()?
            {
                match removal::remove(&parent, &self.name) {
                    Err(error) if !matches!(error.errno(), Some(Errno::EACCES | Errno::EPERM)) => {
                        return Err(error);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn deadline(limit: Option<f64>) -> Result<Option<Instant>> {
    let Some(seconds) = limit else {
        return Ok(None);
    };
    Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|limit| Instant::now().checked_add(limit))
        .map(Some)
        .ok_or_else(|| Error::new("can't wait for so long").object(seconds.to_string()))
}

//! The command line of `cg-enter`.

use std::path::PathBuf;

use chain::{LinkArgs, Result};

use crate::cpu::{self, Bandwidth};
use crate::limit::{self, Limit, Value};
use crate::name;
use crate::size::{self, Size};

/// Create or reuse a cgroup, set its limits, move into it, start COMMAND there
#[derive(Debug, clap::Parser)]
#[command(name = "cg-enter", version)]
pub struct CgEnter {
    /// The cgroup's name: it is kept, and reused if it is there; without one a new cgroup is made,
    /// and removed at the end with all that is left in it
    #[arg(long, value_parser = name::parse)]
    pub name: Option<String>,

    /// The cgroup to make it in, instead of the one this process is in: a path from there, or with
    /// a slash at its start from the root of the hierarchy
    #[arg(long, value_name = "PATH")]
    pub parent: Option<PathBuf>,

    /// Remove the named cgroup too at the end, killing what is left in it
    #[arg(long)]
    pub rm: bool,

    /// Join the named cgroup even if it has processes
    #[arg(long)]
    pub share: bool,

    #[command(flatten)]
    limits: LimitArgs,

    #[command(flatten)]
    pub(super) link: LinkArgs,
}

#[derive(Debug, clap::Args)]
struct LimitArgs {
    /// Memory: what needs more is killed (SIZE: 256M, 1.5G, 20% of the machine's, max)
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_max: Option<Size>,

    /// Memory above which processes are slowed down and made to give back
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_high: Option<Size>,

    /// Swap space
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_swap_max: Option<Size>,

    /// Number of processes and threads
    #[arg(long, value_name = "N", value_parser = count)]
    pids_max: Option<Count>,

    /// CPU time: a number of CPUs like 1.5, or QUOTA/PERIOD in microseconds
    #[arg(long, value_name = "CPUS", value_parser = cpu::parse_bandwidth)]
    cpu_max: Option<Bandwidth>,

    /// Share of the CPU time among neighbours: 1 to 10000, 100 being usual
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    cpu_weight: Option<u64>,

    /// Write VALUE to the interface file FILE (repeatable)
    #[arg(long, value_name = "FILE=VALUE", value_parser = limit::parse_set)]
    set: Vec<(String, String)>,
}

impl CgEnter {
    /// The limits asked for.
    pub fn limits(&self) -> Result<Vec<Limit>> {
        let args = &self.limits;
        let machine = rustix::system::sysinfo();
        let unit = u64::from(machine.mem_unit);
        let (memory, swap) = (machine.totalram * unit, machine.totalswap * unit);
        let mut limits = Vec::new();
        let mut amount = |option: &str, file: &str, amount: Option<Option<u64>>| {
            limits.extend(amount.map(|amount| Limit::new(option, file, Value::Amount(amount))));
        };
        amount(
            "--memory-max",
            "memory.max",
            args.memory_max.map(|size| size.of(memory)),
        );
        amount(
            "--memory-high",
            "memory.high",
            args.memory_high.map(|size| size.of(memory)),
        );
        amount(
            "--memory-swap-max",
            "memory.swap.max",
            args.memory_swap_max.map(|size| size.of(swap)),
        );
        amount("--pids-max", "pids.max", args.pids_max.map(|count| count.0));
        amount("--cpu-weight", "cpu.weight", args.cpu_weight.map(Some));
        limits.extend(
            args.cpu_max
                .map(|cpu| Limit::new("--cpu-max", "cpu.max", Value::Bandwidth(cpu))),
        );
        for (file, value) in &args.set {
            limits.push(Limit::new(
                &format!("--set {file}"),
                file,
                Value::Literal(value.clone()),
            ));
        }
        Ok(limits)
    }
}

/// A number of things, or `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count(Option<u64>);

/// The kernel keeps process ids below 2^22, and `pids.max` no larger than that.
const MOST_PIDS: u64 = 1 << 22;

fn count(text: &str) -> Result<Count, String> {
    if text == "max" {
        return Ok(Count(None));
    }
    let number = text.parse().ok().filter(|n| *n <= MOST_PIDS);
    number
        .map(|n| Count(Some(n)))
        .ok_or_else(|| format!("not a number up to {MOST_PIDS}, or max"))
}

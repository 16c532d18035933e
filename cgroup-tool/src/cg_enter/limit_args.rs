//! The limits on the command line.

use chain::{Errno, Error, rare};

use crate::cpu::{self, Bandwidth};
use crate::device::{self, IoMax, IoWeight};
use crate::limit::{self, Limit, Value};
use crate::size::{self, Size};

/// One option for each limit that the kernel's controllers know.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Limits (SIZE: 4096, 256M, 1.5G, 20% of the machine's, max)")]
pub struct LimitArgs {
    /// Memory: what needs more is killed
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_max: Option<Size>,

    /// Memory above which processes are slowed down and made to give back
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_high: Option<Size>,

    /// Memory that others can take only when there is nothing else
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_low: Option<Size>,

    /// Memory that others can never take
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_min: Option<Size>,

    /// Swap space
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_swap_max: Option<Size>,

    /// Compressed swap in memory
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory_zswap_max: Option<Size>,

    /// When memory runs out, kill all processes and not one
    #[arg(long)]
    memory_oom_group: bool,

    /// Number of processes and threads
    #[arg(long, value_name = "N", value_parser = count)]
    pids_max: Option<Count>,

    /// CPU time: a number of CPUs like 1.5, or QUOTA/PERIOD in microseconds, or max
    #[arg(long, value_name = "CPUS", value_parser = cpu::parse_bandwidth)]
    cpu_max: Option<Bandwidth>,

    /// Microseconds of unused CPU time that may be saved up
    #[arg(long, value_name = "N")]
    cpu_max_burst: Option<u64>,

    /// Share of the CPU time among neighbours: 1 to 10000, 100 being usual
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    cpu_weight: Option<u64>,

    /// Run only when no neighbour wants to
    #[arg(long, conflicts_with = "cpu_weight")]
    cpu_idle: bool,

    /// Lowest and highest speed that the scheduler asks of the CPU, in percent
    #[arg(long, value_name = "PERCENT", value_parser = cpu::parse_percent)]
    cpu_uclamp_min: Option<String>,

    /// See --cpu-uclamp-min
    #[arg(long, value_name = "PERCENT", value_parser = cpu::parse_percent)]
    cpu_uclamp_max: Option<String>,

    /// CPUs to run on: 0-3,8
    #[arg(long, value_name = "LIST", value_parser = cpu::parse_list)]
    cpuset_cpus: Option<String>,

    /// Memory nodes to allocate on: 0,1
    #[arg(long, value_name = "LIST", value_parser = cpu::parse_list)]
    cpuset_mems: Option<String>,

    /// Keep these CPUs from all others; 'isolated': without load balancing
    #[arg(long, value_name = "KIND", value_parser = ["member", "root", "isolated"])]
    cpuset_partition: Option<String>,

    /// What is read and written, per second: DEVICE,rbps=SIZE,wbps=SIZE,riops=N,wiops=N
    /// (DEVICE: a path or MAJOR:MINOR; repeatable)
    #[arg(long, value_name = "LIMITS", value_parser = device::parse_io_max)]
    io_max: Vec<IoMax>,

    /// Share of the devices' time among neighbours: [DEVICE,]N, 1 to 10000, 100 being usual
    /// (repeatable)
    #[arg(long, value_name = "N", value_parser = device::parse_io_weight)]
    io_weight: Vec<IoWeight>,

    /// Slow neighbours down while requests take longer than this: DEVICE,75ms (repeatable)
    #[arg(long, value_name = "LIMIT", value_parser = device::parse_io_latency)]
    io_latency: Vec<String>,

    /// Huge pages: PAGE,SIZE like 2MB,64M (repeatable)
    #[arg(long, value_name = "LIMIT", value_parser = device::parse_hugetlb_max)]
    hugetlb_max: Vec<(String, Option<u64>)>,

    /// RDMA: DEVICE,hca_handle=N,hca_object=N (repeatable)
    #[arg(long, value_name = "LIMIT", value_parser = device::parse_resource)]
    rdma_max: Vec<String>,

    /// Other countable resources: NAME,N (repeatable)
    #[arg(long, value_name = "LIMIT", value_parser = device::parse_resource)]
    misc_max: Vec<String>,

    /// Write VALUE to the interface file FILE (repeatable)
    #[arg(long, value_name = "FILE=VALUE", value_parser = limit::parse_set)]
    set: Vec<(String, String)>,
}

impl rare::Group for LimitArgs {
    const PREFIXES: &'static [&'static str] =
        &["--memory-", "--pids-", "--cpu", "--io-", "--hugetlb-", "--rdma-", "--misc-", "--set"];
}

impl LimitArgs {
    /// Names the memory limit where COMMAND can't be executed for want of memory: the kernel says
    /// "Argument list too long" then, if there is no room for the words.
    pub fn explain_exec(&self, error: Error) -> Error {
        let list = self.list();
        let limit = list.iter().find(|limit| limit.file == "memory.max");
        let Some(limit) = limit.filter(|limit| limit.value != Value::Amount(None)) else {
            return error;
        };
        let limit = format!("{} {}", limit.option, limit.on_v2().value);
        error
            .hint_if(
                Errno::E2BIG,
                format!("where the words are few, {limit} leaves no room for them"),
            )
            .hint_if(Errno::ENOMEM, format!("{limit} may leave no room to execute it"))
    }

    /// The limits asked for, in the order that the kernel wants them.
    pub fn list(&self) -> Vec<Limit> {
        let machine = rustix::system::sysinfo();
        let unit = u64::from(machine.mem_unit);
        let memory =
            |size: Option<Size>| size.map(|size| Value::Amount(size.of(machine.totalram * unit)));
        let swap =
            |size: Option<Size>| size.map(|size| Value::Amount(size.of(machine.totalswap * unit)));
        let number = |number: Option<u64>| number.map(|number| Value::Amount(Some(number)));
        let text = |text: &Option<String>| text.clone().map(Value::Text);
        let flag = |flag: bool| flag.then(|| Value::Text("1".to_owned()));

        let mut list = List::default();
        list.add("memory-max", "memory.max", memory(self.memory_max));
        list.add("memory-high", "memory.high", memory(self.memory_high));
        list.add("memory-low", "memory.low", memory(self.memory_low));
        list.add("memory-min", "memory.min", memory(self.memory_min));
        list.add("memory-swap-max", "memory.swap.max", swap(self.memory_swap_max));
        list.add("memory-zswap-max", "memory.zswap.max", memory(self.memory_zswap_max));
        list.add("memory-oom-group", "memory.oom.group", flag(self.memory_oom_group));
        list.add("pids-max", "pids.max", self.pids_max.map(|count| Value::Amount(count.0)));
        list.add("cpu-max", "cpu.max", self.cpu_max.map(Value::Bandwidth));
        list.add("cpu-max-burst", "cpu.max.burst", number(self.cpu_max_burst));
        list.add("cpu-weight", "cpu.weight", number(self.cpu_weight));
        list.add("cpu-idle", "cpu.idle", flag(self.cpu_idle));
        list.add("cpu-uclamp-min", "cpu.uclamp.min", text(&self.cpu_uclamp_min));
        list.add("cpu-uclamp-max", "cpu.uclamp.max", text(&self.cpu_uclamp_max));
        list.add("cpuset-cpus", "cpuset.cpus", text(&self.cpuset_cpus));
        list.add("cpuset-mems", "cpuset.mems", text(&self.cpuset_mems));
        list.add("cpuset-partition", "cpuset.cpus.partition", text(&self.cpuset_partition));
        list.add("io-max", "io.max", self.io_max.iter().cloned().map(Value::IoMax));
        list.add("io-weight", "io.weight", self.io_weight.iter().cloned().map(Value::IoWeight));
        list.add("io-latency", "io.latency", self.io_latency.iter().cloned().map(Value::Text));
        for (page, limit) in &self.hugetlb_max {
            list.add("hugetlb-max", &format!("hugetlb.{page}.max"), [Value::Amount(*limit)]);
        }
        list.add("rdma-max", "rdma.max", self.rdma_max.iter().cloned().map(Value::Text));
        list.add("misc-max", "misc.max", self.misc_max.iter().cloned().map(Value::Text));
        for (file, value) in &self.set {
            list.add(&format!("set {file}"), file, [Value::Literal(value.clone())]);
        }
        list.0
    }
}

#[derive(Default)]
struct List(Vec<Limit>);

impl List {
    fn add(&mut self, option: &str, file: &str, values: impl IntoIterator<Item = Value>) {
        let option = format!("--{option}");
        self.0.extend(values.into_iter().map(|value| Limit::new(&option, file, value)));
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
    number.map(|n| Count(Some(n))).ok_or_else(|| format!("not a number up to {MOST_PIDS}, or max"))
}

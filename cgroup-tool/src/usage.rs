//! What a cgroup uses, and what it ran out of: one cgroup's figures, from whatever hierarchy has
//! them.

use serde::Serialize;

use crate::position::Version;

/// The figures; `None` where no hierarchy in use has the controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Processes and threads.
    pub pids: Option<u64>,
    /// How often a fork was refused because of `pids.max`.
    pub pids_refused: Option<u64>,
    /// Bytes in use.
    pub memory: Option<u64>,
    /// The most bytes ever in use.
    pub memory_peak: Option<u64>,
    /// The limit; `None` also where there is none.
    pub memory_max: Option<u64>,
    /// How often an allocation failed because of the limit.
    pub oom: Option<u64>,
    /// How many processes were killed for want of memory.
    pub oom_kill: Option<u64>,
    /// CPU time in microseconds.
    pub cpu_usec: Option<u64>,
    /// Bytes read from block devices.
    pub io_read: Option<u64>,
    /// Bytes written to block devices.
    pub io_write: Option<u64>,
}

/// What v1 shows for no limit: more than any machine has.
const NO_LIMIT: u64 = 1 << 62;

/// The controllers that a cgroup has; those without figures are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    version: Option<Version>,
    memory: bool,
    pids: bool,
    /// How often `pids.max` was in the way.
    refusals: bool,
    cpu: bool,
    io: bool,
}

impl Counters {
    /// Those among the controllers of a v1 hierarchy, or in `cgroup.controllers` of v2.
    pub fn new<'a>(version: Version, controllers: impl Iterator<Item = &'a str>) -> Self {
        // v2 counts CPU time without a controller.
        let cpu = version == Version::V2;
        let mut counters = Counters { version: Some(version), cpu, ..Counters::default() };
        for name in controllers {
            match name {
                "memory" => counters.memory = true,
                "pids" => (counters.pids, counters.refusals) = (true, true),
                "cpuacct" => counters.cpu = true,
                "io" | "blkio" => counters.io = true,
                _ => {}
            }
        }
        counters
    }

    /// Whether there is any figure to read.
    pub fn any(self) -> bool {
        self.memory || self.pids || self.cpu || self.io
    }

    /// Those of what can run out.
    pub fn of_shortage(self) -> Self {
        Counters { cpu: false, io: false, ..self }
    }

    /// Those that a table shows of a cgroup, which has processes or `is_empty`.
    pub fn in_table(self, is_empty: bool) -> Self {
        let (pids, cpu) = (self.pids && !is_empty, self.cpu && !is_empty);
        Counters { pids, cpu, refusals: false, ..self }
    }
}

impl Usage {
    /// Adds what a cgroup's part in one hierarchy has, `read` giving its interface files.
    pub fn add(&mut self, has: Counters, read: &dyn Fn(&str) -> Option<String>) {
        match has.version {
            Some(Version::V2) => self.add_v2(has, read),
            Some(Version::V1) => self.add_v1(has, read),
            None => {}
        }
    }

    fn add_v2(&mut self, has: Counters, read: &dyn Fn(&str) -> Option<String>) {
        if has.memory {
            self.memory = read("memory.current").and_then(|text| number(&text));
            self.memory_peak = read("memory.peak").and_then(|text| number(&text));
            self.memory_max = read("memory.max").and_then(|text| number(&text));
            let events = read("memory.events").unwrap_or_default();
            self.oom = keyed(&events, "oom");
            self.oom_kill = keyed(&events, "oom_kill");
        }
        self.add_pids(has, read);
        if has.cpu {
            self.cpu_usec = read("cpu.stat").and_then(|stat| keyed(&stat, "usage_usec"));
        }
        if has.io
            && let Some(stat) = read("io.stat")
        {
            self.io_read = Some(sum_of_words(&stat, "rbytes="));
            self.io_write = Some(sum_of_words(&stat, "wbytes="));
        }
    }

    fn add_v1(&mut self, has: Counters, read: &dyn Fn(&str) -> Option<String>) {
        if has.memory
            && let Some(current) = read("memory.usage_in_bytes")
        {
            self.memory = number(&current);
            self.memory_peak = read("memory.max_usage_in_bytes").and_then(|text| number(&text));
            let limit = read("memory.limit_in_bytes").and_then(|text| number(&text));
            self.memory_max = limit.filter(|limit| *limit < NO_LIMIT);
            self.oom_kill = read("memory.oom_control").and_then(|text| keyed(&text, "oom_kill"));
            self.oom = self.oom_kill;
        }
        self.add_pids(has, read);
        if has.cpu
            && let Some(nanoseconds) = read("cpuacct.usage").and_then(|text| number(&text))
        {
            self.cpu_usec.get_or_insert(nanoseconds / 1000);
        }
        if has.io
            && let Some(stat) = read("blkio.throttle.io_service_bytes_recursive")
        {
            self.io_read = Some(sum_of_lines(&stat, "Read"));
            self.io_write = Some(sum_of_lines(&stat, "Write"));
        }
    }

    /// v1 and v2 have the same files.
    fn add_pids(&mut self, has: Counters, read: &dyn Fn(&str) -> Option<String>) {
        if has.pids
            && let Some(current) = read("pids.current")
        {
            self.pids = number(&current);
            let events = has.refusals.then(|| read("pids.events")).flatten();
            self.pids_refused = events.and_then(|text| keyed(&text, "max"));
        }
    }
}

/// The one number of a file; `max` is none.
pub fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The number behind `key` in a file of such lines.
pub fn keyed(text: &str, key: &str) -> Option<u64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(name, _)| *name == key).find_map(|(_, value)| number(value))
}

/// `8:0 rbytes=1 wbytes=2 ...` for each device.
fn sum_of_words(text: &str, prefix: &str) -> u64 {
    text.split_ascii_whitespace().filter_map(|word| number(word.strip_prefix(prefix)?)).sum()
}

/// `8:0 Read 1` for each device.
fn sum_of_lines(text: &str, kind: &str) -> u64 {
    let of_line = |line: &str| {
        let mut words = line.split_ascii_whitespace().skip(1);
        words.next().filter(|word| *word == kind)?;
        number(words.next()?)
    };
    text.lines().filter_map(of_line).sum()
}

/// How long processes waited for a resource, in microseconds: some of them, all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Share of the last ten seconds in which some waited, in percent.
    pub some_avg10: f64,
    /// Time in which some waited.
    pub some_usec: u64,
    /// Time in which all waited.
    pub full_usec: u64,
}

impl Pressure {
    /// Reads a pressure file (`Documentation/accounting/psi.rst`).
    pub fn parse(text: &str) -> Option<Self> {
        let field = |kind: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
            line.split_ascii_whitespace().find_map(|word| word.strip_prefix(key))
        };
        Some(Pressure {
            some_avg10: field("some ", "avg10=")?.parse().ok()?,
            some_usec: field("some ", "total=")?.parse().ok()?,
            full_usec: field("full ", "total=").and_then(number).unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        assert_eq!(number("max\n"), None);
        assert_eq!(keyed("low 0\noom 1\noom_kill 2\n", "oom"), Some(1));
        assert_eq!(keyed("oom_kill 2", "oom"), None);
        let stat = "8:0 rbytes=5 wbytes=6 rios=1\n8:16 rbytes=10 wbytes=0\n";
        assert_eq!(sum_of_words(stat, "rbytes="), 15);
        assert_eq!(sum_of_lines("8:0 Read 5\n8:0 Write 6\n8:0 Total 11\nTotal 11\n", "Write"), 6);
    }

    #[test]
    fn pressure() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n";
        let parsed = Pressure::parse(text).unwrap();
        assert_eq!(parsed, Pressure { some_avg10: 1.5, some_usec: 1234, full_usec: 99 });
        assert_eq!(Pressure::parse(""), None);
    }
}

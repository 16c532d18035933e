//! The text exposition format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

use super::scan::Row;
use crate::usage::Pressure;

/// One sample of a row, if it has that figure.
type Get = fn(&Row) -> Option<f64>;

const METRICS: &[(&str, &str, &str, Get)] = &[
    ("pids", "gauge", "Processes and threads.", |row| row.usage.pids.map(float)),
    ("pids_refused_total", "counter", "Forks refused because of pids.max.", |row| {
        row.usage.pids_refused.map(float)
    }),
    ("memory_bytes", "gauge", "Memory in use.", |row| row.usage.memory.map(float)),
    ("memory_peak_bytes", "gauge", "The most memory ever in use.", |row| {
        row.usage.memory_peak.map(float)
    }),
    ("memory_limit_bytes", "gauge", "The limit of memory, where there is one.", |row| {
        row.usage.memory_max.map(float)
    }),
    ("oom_kills_total", "counter", "Processes killed for want of memory.", |row| {
        row.usage.oom_kill.map(float)
    }),
    ("cpu_seconds_total", "counter", "CPU time.", |row| row.usage.cpu_usec.map(seconds)),
    ("io_read_bytes_total", "counter", "Bytes read from block devices.", |row| {
        row.usage.io_read.map(float)
    }),
    ("io_written_bytes_total", "counter", "Bytes written to block devices.", |row| {
        row.usage.io_write.map(float)
    }),
];

/// All rows as metrics.
pub fn print(rows: &[Row]) -> String {
    let mut text = String::new();
    for (name, kind, help, get) in METRICS {
        let samples = rows
            .iter()
            .filter_map(|row| Some((format!("cgroup=\"{}\"", label(&row.name)), get(row)?)));
        family(&mut text, name, kind, help, samples);
    }
    let waits = rows.iter().flat_map(|row| {
        let of = |resource: &'static str, pressure: Option<Pressure>| {
            pressure.into_iter().flat_map(move |p| {
                [(resource, "some", p.some_usec), (resource, "full", p.full_usec)]
            })
        };
        let all = of("cpu", row.pressure.cpu)
            .chain(of("memory", row.pressure.memory))
            .chain(of("io", row.pressure.io));
        let name = label(&row.name);
        all.map(move |(resource, share, time)| {
            (format!("cgroup=\"{name}\",resource=\"{resource}\",share=\"{share}\""), seconds(time))
        })
    });
    family(
        &mut text,
        "pressure_seconds_total",
        "counter",
        "Time spent waiting for a resource.",
        waits,
    );
    text
}

fn family(
    text: &mut String,
    name: &str,
    kind: &str,
    help: &str,
    samples: impl Iterator<Item = (String, f64)>,
) {
    let mut samples = samples.peekable();
    if samples.peek().is_none() {
        return;
    }
    let name = format!("catena_cgroup_{name}");
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("a String takes all");
    for (labels, value) in samples {
        writeln!(text, "{name}{{{labels}}} {value}").expect("a String takes all");
    }
}

fn label(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}

fn float(number: u64) -> f64 {
    number as f64
}

fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Usage;

    #[test]
    fn metrics() {
        let usage = Usage { pids: Some(3), cpu_usec: Some(1_500_000), ..Usage::default() };
        let row = Row { name: "a\"b".into(), usage, ..Row::default() };
        assert_eq!(
            print(&[row]),
            "# HELP catena_cgroup_pids Processes and threads.\n\
             # TYPE catena_cgroup_pids gauge\n\
             catena_cgroup_pids{cgroup=\"a\\\"b\"} 3\n\
             # HELP catena_cgroup_cpu_seconds_total CPU time.\n\
             # TYPE catena_cgroup_cpu_seconds_total counter\n\
             catena_cgroup_cpu_seconds_total{cgroup=\"a\\\"b\"} 1.5\n"
        );
    }
}

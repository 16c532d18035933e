//! The table: one line for each cgroup, numbers to the right, text to the left.

use std::ffi::OsStr;
use std::fmt::Write as _;

use super::scan::Row;
use crate::usage::Pressure;

const HEADS: [&str; 12] = [
    "NAME", "PIDS", "MEMORY", "PEAK", "LIMIT", "CPU%", "READ", "WRITTEN", "PRESSURE", "OOM", "PID",
    "COMMAND",
];

/// Lays out the rows, each line at most `width` characters long.
pub fn print(rows: &[Row], width: Option<usize>) -> String {
    let mut lines = vec![HEADS.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let mut widths = [0; HEADS.len()];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for cells in &lines {
        let mut line = String::new();
        for (index, (cell, width)) in cells.iter().zip(widths).enumerate() {
            match index {
                0 => write!(line, "{cell:<width$}"),
                _ if index == HEADS.len() - 1 => write!(line, "  {cell}"),
                _ => write!(line, "  {cell:>width$}"),
            }
            .expect("a String takes all");
        }
        let shown = line.trim_end();
        text.extend(shown.chars().take(width.unwrap_or(usize::MAX)));
        text.push('\n');
    }
    text
}

fn cells(row: &Row) -> [String; HEADS.len()] {
    let usage = &row.usage;
    let none = || "-".to_owned();
    let plain = |number: Option<u64>| number.map_or_else(none, |number| number.to_string());
    let bytes = |number: Option<u64>| number.map_or_else(none, size);
    let last = row.name.rsplit('/').next().unwrap_or_default();
    [
        "  ".repeat(row.depth) + &visible(last),
        plain(usage.pids),
        bytes(usage.memory),
        bytes(usage.memory_peak),
        bytes(usage.memory_max),
        row.cpu_percent.map_or_else(none, |percent| format!("{percent:.1}")),
        bytes(usage.io_read),
        bytes(usage.io_write),
        pressure(row),
        plain(usage.oom_kill),
        row.pid.map_or_else(none, |pid| pid.to_string()),
        visible(&row.command.join(" ")),
    ]
}

/// The share of the last ten seconds in which something waited: for CPU, memory, io.
fn pressure(row: &Row) -> String {
    let share = |pressure: Option<Pressure>| {
        pressure.map_or("-".to_owned(), |p| format!("{:.0}", p.some_avg10))
    };
    let parts = [row.pressure.cpu, row.pressure.memory, row.pressure.io];
    if parts.iter().all(Option::is_none) {
        return "-".to_owned();
    }
    parts.map(share).join("/")
}

/// Without what could move the cursor.
fn visible(text: &str) -> String {
    let quoted = chain::Quoted(OsStr::new(text)).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Bytes in the unit that leaves at most four digits.
pub fn size(bytes: u64) -> String {
    let units = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut value = bytes as f64;
    let mut unit = "";
    for next in units {
        // What would be rounded up to 1024 belongs to the next unit.
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if value < 10.0 { format!("{value:.1}{unit}") } else { format!("{value:.0}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1.0K"),
            (1536, "1.5K"),
            (256 << 20, "256M"),
            ((1 << 30) - 1, "1.0G"),
            (u64::MAX, "16E"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn a_table_is_cut() {
        let row = Row {
            name: "a/web".into(),
            depth: 1,
            command: vec!["x\x1b[2J".into()],
            ..Row::default()
        };
        let text = print(&[row], None);
        assert!(text.starts_with("NAME   PIDS  MEMORY"), "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("  web"), "{text}");
        assert!(text.contains(r"x\u{1b}[2J"), "{text}");
        assert!(print(&[Row::default()], Some(10)).lines().all(|line| line.chars().count() <= 10));
    }
}

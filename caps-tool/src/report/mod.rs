//! `--report`: what a process may still do, a line for each thing, with a verdict.

mod credentials;
mod files;
mod namespaces;

use std::fmt::Write;
use std::path::Path;

use chain::procfs::Procfs;
use chain::{Result, ResultExt, mountinfo};
use serde::Serialize;

/// What to think of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to gain here.
    Tight,
    /// Of use to an attacker who has something else too.
    Loose,
    /// A way out by itself, or the loss of a whole layer.
    Open,
    /// It could not be found out.
    Unknown,
}

/// A line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    what: &'static str,
    found: Vec<String>,
    verdict: Verdict,
}

impl Line {
    fn new(what: &'static str, found: impl Into<Vec<String>>, verdict: Verdict) -> Self {
        Line { what, found: found.into(), verdict }
    }

    fn unknown(what: &'static str, why: impl ToString) -> Self {
        Line::new(what, [why.to_string()], Verdict::Unknown)
    }
}

/// All lines, for this process. What can't be read makes a line of its own: a filter that is
/// in force may forbid it.
pub fn collect() -> Vec<Line> {
    let status = read("/proc/self/status");
    let mapped = credentials::ids_are_mapped(&read("/proc/self/uid_map"));
    let confined = namespaces::has_user_namespace();
    let no_new_privs = credentials::field(&status, "NoNewPrivs") == Some("1");
    let mounts = Procfs::open().and_then(|procfs| mountinfo::read(&procfs)).unwrap_or_default();
    let mut lines = credentials::lines(&status, mapped, confined == Some(true));
    lines.extend(namespaces::lines(confined));
    lines.push(files::writable_mounts(&mounts));
    lines.push(files::privileged_programs(Path::new("/"), &mounts, no_new_privs));
    lines.push(files::knobs());
    lines.push(files::terminal(&status));
    lines
}

/// A file of procfs, empty where it can't be read.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// As a table for a person, the verdicts first.
pub fn table(lines: &[Line]) -> String {
    /// A table is for a glance: the JSON form has them all.
    const SHOWN: usize = 8;
    let name = |verdict| match verdict {
        Verdict::Tight => "tight",
        Verdict::Loose => "LOOSE",
        Verdict::Open => "OPEN",
        Verdict::Unknown => "?",
    };
    let mut text = String::new();
    for Line { what, found, verdict } in lines {
        let shown = found[..found.len().min(SHOWN)].join(", ");
        // A path may have any character; it must not move the cursor.
        let shown: String = shown.chars().flat_map(visible).collect();
        let more = match found.len().saturating_sub(SHOWN) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let _ = writeln!(text, "{:<6} {what:<20} {shown}{more}", name(*verdict));
    }
    let counts = [Verdict::Tight, Verdict::Loose, Verdict::Open, Verdict::Unknown].map(|verdict| {
        (lines.iter().filter(|line| line.verdict == verdict).count(), name(verdict))
    });
    let counts: Vec<_> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, v)| format!("{n} {v}")).collect();
    let _ = writeln!(text, "{}", counts.join(", "));
    text
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = if c.is_control() { None } else { Some(c) };
    escaped.into_iter().flatten().chain(plain)
}

/// As one JSON object.
pub fn json(lines: &[Line]) -> Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        report: &'a [Line],
        worst: Option<Verdict>,
    }
    let known = lines.iter().map(|line| line.verdict).filter(|v| *v != Verdict::Unknown);
    let report = Report { report: lines, worst: known.max() };
    let mut text = serde_json::to_string(&report).or_fail("can't print the report")?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_its_json() {
        let lines = [
            Line::new("user", ["0".to_owned(), "a\x1bb".to_owned()], Verdict::Open),
            Line::new("many", vec!["x".to_owned(); 10], Verdict::Tight),
        ];
        assert_eq!(
            table(&lines),
            "OPEN   user                 0, a\\u{1b}b\n\
             tight  many                 x, x, x, x, x, x, x, x, and 2 more\n\
             1 tight, 1 OPEN\n"
        );
        let json = json(&lines[..1]).unwrap();
        let expected = r#"{"report":[{"what":"user","found":["0","a\u001bb"],"verdict":"open"}],"worst":"open"}"#;
        assert_eq!(json.trim_end(), expected);
    }
}

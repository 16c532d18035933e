//! `cg-stat`: show the cgroups below a point.

mod app;
mod prometheus;
mod scan;
mod table;

use std::io::{IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chain::{Act, Error, Result, ResultExt};
use serde::Serialize;

use self::scan::{Row, Scanner, Wanted};
use crate::cg_enter::parse_parent;
use crate::hierarchy::Hierarchies;
use crate::prune;

/// Show what the containers below a point use: each cgroup there, with its app
#[derive(Debug, clap::Parser)]
#[command(name = "cg-stat", version)]
pub struct CgStat {
    /// The cgroup below which to look, instead of the one this process is in: a path from there, or
    /// with a slash at its start from the root of the hierarchy
    #[arg(value_name = "PATH", value_parser = parse_parent)]
    point: Option<PathBuf>,

    /// Show the cgroups in these too, to the leaves
    #[arg(long)]
    tree: bool,

    /// Print one JSON object
    #[arg(long, group = "form")]
    json: bool,

    /// Print metrics in the Prometheus text format
    #[arg(long, group = "form")]
    prometheus: bool,

    /// Show it again every so many seconds (2): in place on a terminal, else as JSON Lines
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2", conflicts_with = "prometheus")]
    watch: Option<f64>,

    /// Remove unnamed cgroups whose cg-enter was killed, and print their names
    #[arg(long, conflicts_with_all = ["form", "watch", "tree"])]
    prune: bool,
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Seconds since 1970.
    time: f64,
    cgroups: &'a [Row],
}

impl Act for CgStat {
    fn run(self) -> Result<u8> {
        if self.prune {
            for path in prune::prune(&Hierarchies::find()?, self.point.as_deref())? {
                write(&format!("{}\n", path.display()))?;
            }
            return Ok(0);
        }
        let mut scanner = Scanner::new(self.point.as_deref(), self.tree, self.wanted())?;
        let Some(seconds) = self.watch else {
            write(&self.shown(&scanner.scan()?)?)?;
            return Ok(0);
        };
        let interval = Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|interval| *interval >= Duration::from_millis(10))
            .ok_or_else(|| {
                Error::new("can't watch at such an interval").object(seconds.to_string())
            })?;
        let mut next = Instant::now();
        loop {
            write(&self.shown(&scanner.scan()?)?)?;
            next += interval;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
}

impl CgStat {
    fn is_json(&self) -> bool {
        self.json || (self.watch.is_some() && !stdout().is_terminal())
    }

    fn wanted(&self) -> Wanted {
        match self.prometheus {
            true => Wanted::Figures,
            false if self.is_json() => Wanted::All,
            false => Wanted::Table,
        }
    }

    fn shown(&self, rows: &[Row]) -> Result<String> {
        if self.prometheus {
            return Ok(prometheus::print(rows));
        }
        if self.is_json() {
            let time =
                SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            let line = serde_json::to_string(&Report { time, cgroups: rows })
                .map_err(|error| Error::new(error.to_string()))?;
            return Ok(line + "\n");
        }
        let size = rustix::termios::tcgetwinsize(stdout()).ok().filter(|_| stdout().is_terminal());
        let table = table::print(
            rows,
            size.map(|size| usize::from(size.ws_col)).filter(|width| *width > 0),
        );
        if self.watch.is_none() {
            return Ok(table);
        }
        // Home, each line cleared to its end, then what is below: nothing flickers. What doesn't
        // fit would scroll the rest away.
        let height = size.map_or(usize::MAX, |size| usize::from(size.ws_row).max(2) - 1);
        let lines: String =
            table.lines().take(height).map(|line| format!("{line}\x1b[K\n")).collect();
        Ok(format!("\x1b[H{lines}\x1b[J"))
    }
}

fn write(text: &str) -> Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .or_fail("can't write to standard output")
}

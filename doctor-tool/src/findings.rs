//! What was found, as a table or as JSON.

use std::fmt;

use chain::Result;
use serde::Serialize;

use crate::attempt::{Toolbox, first_line};
use crate::checks::{CHECKS, Check, MAIN_JOB};
use crate::probes::{self, Probe};

/// All that was found.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Whether the main job works.
    pub works: bool,
    kernel: String,
    machine: String,
    user: u32,
    checks: Vec<Finding>,
    probes: Vec<Probe>,
    settings: Vec<Setting>,
}

/// What became of one check.
#[derive(Debug, Serialize)]
struct Finding {
    name: &'static str,
    works: bool,
    tried: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A knob of this host.
#[derive(Debug, Serialize)]
struct Setting {
    file: &'static str,
    value: String,
}

/// The knobs that messages of the tools speak of.
const SETTINGS: &[&str] = &[
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/user/max_mnt_namespaces",
    "/proc/sys/user/max_pid_namespaces",
    "/proc/sys/user/max_net_namespaces",
    "/proc/sys/user/max_uts_namespaces",
    "/proc/sys/user/max_ipc_namespaces",
    "/proc/sys/user/max_cgroup_namespaces",
    "/proc/sys/user/max_time_namespaces",
    "/proc/sys/kernel/unprivileged_userns_clone",
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    "/proc/sys/kernel/yama/ptrace_scope",
    "/proc/sys/dev/tty/legacy_tiocsti",
    "/proc/sys/fs/mount-max",
];

impl Findings {
    /// Tries everything.
    pub fn of(toolbox: &Toolbox) -> Result<Findings> {
        let found = CHECKS.iter().map(|check| Finding::of(toolbox, check));
        let checks = found.collect::<Result<Vec<Finding>>>()?;
        let works = checks.iter().any(|finding| finding.name == MAIN_JOB && finding.works);
        let system = rustix::system::uname();
        let setting = |&file| first_line(file).map(|value| Setting { file, value });
        Ok(Findings {
            works,
            kernel: system.release().to_string_lossy().into_owned(),
            machine: system.machine().to_string_lossy().into_owned(),
            user: rustix::process::geteuid().as_raw(),
            checks,
            probes: probes::all(),
            settings: SETTINGS.iter().filter_map(setting).collect(),
        })
    }
}

impl Finding {
    fn of(toolbox: &Toolbox, check: &Check) -> Result<Finding> {
        let said = toolbox.attempt(check.chain)?;
        let (mut reason, mut hint) = (None, None);
        for line in said.iter().flat_map(|text| text.lines()) {
            match line.strip_prefix("hint: ") {
                Some(text) => hint = hint.or(Some(text.to_owned())),
                None => reason = reason.or(Some(line.to_owned())),
            }
        }
        let works = said.is_none();
        Ok(Finding { name: check.name, works, tried: check.chain, reason, hint })
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, text: &mut fmt::Formatter) -> fmt::Result {
        writeln!(text, "Linux {} on {}, as user {}\n", self.kernel, self.machine, self.user)?;
        for finding in &self.checks {
            let answer = if finding.works { "works" } else { "no" };
            writeln!(text, "{:<17} {answer}", finding.name)?;
            if !finding.works {
                let tried = ("tried", Some(finding.tried));
                let said = ("said", finding.reason.as_deref());
                for (what, line) in [tried, said, ("hint", finding.hint.as_deref())] {
                    line.map_or(Ok(()), |line| writeln!(text, "    {what}: {line}"))?;
                }
            }
        }
        writeln!(text)?;
        for probe in &self.probes {
            let answer = if probe.works { "works" } else { "no" };
            writeln!(text, "{:<17} {answer}: {}", probe.name, probe.found)?;
            probe.hint.map_or(Ok(()), |hint| writeln!(text, "    hint: {hint}"))?;
        }
        writeln!(text)?;
        for setting in &self.settings {
            writeln!(text, "{:<56} {}", setting.file, setting.value)?;
        }
        let verdict = match self.works {
            true => "Containers work here.",
            false => "Containers don't work here: see the line 'container'.",
        };
        writeln!(text, "\n{verdict}")
    }
}

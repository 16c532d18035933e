//! Faults: a chain in which one system call fails, as strace(1) makes it fail.
//!
//! The app is the probe. Either it never starts, and the status says so; or it finds exactly what
//! it finds when nothing fails.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::{Chain, Ended, Outcome, Scratch, Seen, User};

/// A chain to be tried with every fault.
pub struct Subject {
    /// Who runs it.
    pub user: User,
    /// The chain up to the app, which is the probe.
    pub line: String,
    /// The probe's path in the chain's last root.
    pub app: String,
}

/// How many faults are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Some of each system call, each with one of the errors.
    Reduced {
        /// At most so many of one call: the first, the last, some between.
        of_each: usize,
    },
    /// Each occurrence with one of the errors in turn, the first and the last with all of them.
    InTurn,
    /// Each occurrence with every error.
    Whole,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// Faults that hit one of the tools.
    pub injected: usize,
    /// The calls after whose failure the app started all the same, with nothing missing.
    pub survived: Vec<String>,
    /// What must not be: a line each.
    pub wrong: Vec<String>,
}

/// What every call is made to fail with.
const ERRORS: [&str; 4] = ["EPERM", "ENOSYS", "ENOMEM", "EINTR"];

/// Calls that can't fail. close(2) reports errors, but has closed the descriptor then; strace
/// would leave it open.
const NEVER_FAIL: [&str; 4] = ["close", "exit", "exit_group", "rt_sigreturn"];

/// How strace tells of abort(3), and of what the C library does where it can't even call that: so
/// a program ends whose runtime can't start.
const ABORTED: [&str; 2] = ["--- SIGABRT ", "--- SIGSEGV "];

/// One system call of one process to fail.
#[derive(Clone, Debug)]
struct Fault<'a> {
    call: &'a str,
    error: &'a str,
    when: usize,
}

impl Subject {
    /// Tries all faults.
    pub fn try_all(&self, extent: Extent) -> Tally {
        let scratch = Scratch::new(self.user);
        let log = scratch.folder("log", self.user).join("trace");
        let mut normal = self.undisturbed(&log);
        let calls = self.calls(&read(&log));
        assert!(calls.len() > 5, "strace saw little: {calls:?}");
        let mut tally = Tally::default();
        for (index, (call, &count)) in calls.iter().enumerate() {
            for fault in faults(call, index, count, extent) {
                self.try_one(&fault, &log, &mut normal, &mut tally);
            }
        }
        tally
    }

    /// What the app finds when nothing fails.
    fn undisturbed(&self, log: &Path) -> Value {
        essence(self.under_strace(&["-e", "trace=all"], log).see())
    }

    fn under_strace(&self, options: &[&str], log: &Path) -> Chain {
        let chain = Chain::new(self.user, "strace -f -qq -s 256 -e signal=SIGABRT,SIGSEGV -o")
            .arg(log)
            .args(options);
        // Something that hangs is a fault of its own, found by the deadline.
        chain
            .deadline(Duration::from_secs(30))
            .args(self.line.split_whitespace())
            .args([&self.app, "steadily"])
    }

    fn try_one(&self, fault: &Fault, log: &Path, normal: &mut Value, tally: &mut Tally) {
        let Fault { call, error, when } = fault;
        let inject = format!("inject={call}:error={error}:when={when}");
        let trace = format!("trace={call},execve,execveat");
        let _ = std::fs::remove_file(log);
        let mut has_aborted = false;
        let run = || {
            let mut running = self.under_strace(&["-e", &trace, "-e", &inject], log).start();
            running.wait_until_over_or("the end of the chain", |_| {
                let log = read(log);
                has_aborted = ABORTED.iter().any(|signal| log.contains(signal));
                has_aborted
            });
            // The kernel lets no PID 1 end by its own abort(3) as long as it is traced: there is no
            // end to wait for, and no app any more.
            (!has_aborted).then(|| running.finish())
        };
        let outcome = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => {
                tally.injected += 1;
                return;
            }
            Err(cause) => {
                let cause = cause.downcast_ref::<String>().map_or("", String::as_str);
                let short: String = cause.lines().take(3).collect::<Vec<_>>().join(" / ");
                tally.wrong.push(self.about(fault, &format!("left something behind: {short}")));
                return;
            }
        };
        if !self.hit_a_tool(&read(log)) {
            return;
        }
        tally.injected += 1;
        let mut judgement = self.judge(&outcome, normal);
        if judgement.is_err() {
            // The host may have changed since: the app in a mount namespace finds its mounts.
            *normal = self.undisturbed(log);
            judgement = self.judge(&outcome, normal);
        }
        match judgement {
            Ok(true) => tally.survived.push(format!("{call}:{error}:{when}")),
            Ok(false) => {}
            Err(what) => tally.wrong.push(self.about(fault, &what)),
        }
    }

    fn about(&self, fault: &Fault, what: &str) -> String {
        let Fault { call, error, when } = fault;
        let Subject { user, line, app } = self;
        format!("{user:?}: {call}:error={error}:when={when}: {what}\n    {line} {app}")
    }

    /// Whether the app started, or what is wrong.
    fn judge(&self, outcome: &Outcome, normal: &Value) -> Result<bool, String> {
        match serde_json::from_str::<Seen>(&outcome.stdout) {
            Ok(seen) => match differences(normal, &essence(seen)) {
                none if none.is_empty() => Ok(true),
                some => Err(format!("FAIL-OPEN: the app started, and found {some:?}")),
            },
            Err(_) if outcome.ended == Some(Ended::Exit(0)) => {
                Err("the app did not start, and the status is 0".to_owned())
            }
            Err(_) => Ok(false),
        }
    }

    /// The calls that the tools make, and how many of each one process makes at most.
    fn calls(&self, log: &str) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::<(&str, &str), usize>::new();
        for (process, text) in self.of_tools(log) {
            let Some((name, _)) = text.split_once('(') else { continue };
            if name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                *counts.entry((name, process)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((name, _), count) in counts {
            let entry = most.entry(name.to_owned()).or_insert(0);
            *entry = count.max(*entry);
        }
        most.retain(|name, _| !NEVER_FAIL.contains(&name.as_str()));
        most
    }

    fn hit_a_tool(&self, log: &str) -> bool {
        self.of_tools(log).any(|(_, text)| text.contains("(INJECTED)"))
    }

    /// The lines of a log that are about processes which are not the app yet: process and text.
    fn of_tools<'a>(&self, log: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let program = format!("(\"{}\", ", self.app);
        let (mut apps, mut about_to_be) = (BTreeSet::new(), BTreeSet::new());
        log.lines().filter_map(move |line| {
            let (process, text) = line.split_once(' ')?;
            let text = text.trim_start();
            // strace interrupts the line of one process by that of another, such as of a parent that
            // goes on once its child has run its exec.
            if text.starts_with("execve") && text.contains(&program) {
                about_to_be.insert(process);
            }
            let is_exec = text.starts_with("execve") || text.starts_with("<... execve");
            if is_exec && about_to_be.contains(process) && text.ends_with(" = 0") {
                apps.insert(process);
                return None;
            }
            (!apps.contains(process)).then_some((process, text))
        })
    }
}

/// The faults for one call, which is the `index`-th and made `count` times.
fn faults(call: &str, index: usize, count: usize, extent: Extent) -> Vec<Fault<'_>> {
    let all = |when: usize| ERRORS.map(|error| Fault { call, error, when });
    let one = |when: usize| Fault { call, error: ERRORS[(index + when) % ERRORS.len()], when };
    match extent {
        Extent::Reduced { of_each } => {
            let tried = count.min(of_each);
            (0..tried).map(|nth| one(count - nth * (count - 1) / (tried - 1).max(1))).collect()
        }
        Extent::InTurn => {
            let edges = BTreeSet::from([1, count]);
            let between = (2..count).map(one);
            edges.into_iter().flat_map(all).chain(between).collect()
        }
        Extent::Whole => (1..=count).flat_map(all).collect(),
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()).into_owned()
}

/// What of the world must be the same in every run: not numbers that the kernel draws.
pub fn essence(mut seen: Seen) -> Value {
    for (kind, inode) in &mut seen.namespaces {
        let hosts = std::fs::metadata(format!("/proc/self/ns/{kind}"));
        *inode = u64::from(hosts.is_ok_and(|data| {
            use std::os::unix::fs::MetadataExt;
            data.ino() == *inode
        }));
    }
    // What the host has, others change in the meantime.
    if seen.namespaces.get("mnt") == Some(&1) {
        seen.mounts.clear();
    }
    if seen.namespaces.get("net") == Some(&1) {
        seen.interfaces.clear();
    }
    // Hierarchies of cgroup v1 without a controller: tests/cves.rs makes one.
    seen.cgroups.retain(|line| !line.contains(":name=") || line.contains(":name=systemd:"));
    for descriptor in &mut seen.descriptors {
        descriptor.target.clear();
    }
    seen.processes.clear();
    (seen.pid, seen.ppid, seen.pgid, seen.sid) = (0, 0, 0, 0);
    let text = serde_json::to_string(&seen).expect("plain data");
    let text = without_after(&text, "catena-test-", |c| c.is_ascii_digit() || c == '-');
    let text = without_after(&text, "catena.", |c| c.is_ascii_hexdigit());
    // The numbers of descriptors, as overlayfs has been given its folders.
    let text = ["lowerdir=", "upperdir=", "workdir="]
        .iter()
        .fold(text, |text, option| without_after(&text, option, |c| c.is_ascii_digit()));
    serde_json::from_str(&text).expect("still JSON")
}

/// Without the random part of names that begin with `prefix`.
fn without_after(text: &str, prefix: &str, random: impl Fn(char) -> bool) -> String {
    let mut parts = text.split(prefix);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain += part.trim_start_matches(&random);
    }
    plain
}

fn differences(normal: &Value, found: &Value) -> Vec<String> {
    let (Value::Object(normal), Value::Object(found)) = (normal, found) else { return Vec::new() };
    let differs = |(name, value): (&String, &Value)| {
        let found = found.get(name)?;
        (found != value).then(|| {
            let (found, value) = (found.to_string(), value.to_string());
            let same = found.bytes().zip(value.bytes()).take_while(|(a, b)| a == b).count();
            let short = |text: &str| {
                String::from_utf8_lossy(
                    text.as_bytes().get(same.saturating_sub(40)..).unwrap_or(&[]),
                )
                .chars()
                .take(120)
                .collect::<String>()
            };
            format!("{name}: ...{} instead of ...{}", short(&found), short(&value))
        })
    };
    normal.iter().filter_map(differs).collect()
}

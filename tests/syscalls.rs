//! The system calls that each link of a chain makes: `syscalls.txt` is the table, and a call more
//! or less is a difference to be looked at. `WRITE_TABLE=1` writes it anew.
//!
//! Counted is what the link itself does. Left out are the C library's start and Rust's, which
//! differ between the builds (before the first getuid), memory, and what differs with the host
//! or from run to run: how often a monitor's loop turns, how long a file of procfs is.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use catena_tests::{Cell, Chain, Rootfs, Scratch, User, each_user, need, toolbox};

each_user![
    if can_trace;
    links_make_these_calls,
];

each_user![
    if can_trace_in_a_cgroup;
    cg_enter_makes_these_calls,
];

const TABLE: &str = "syscalls.txt";
/// The first call of a tool itself: it refuses to run with privileges that its caller has not.
const FIRST: &str = "getuid";
const MEMORY: [&str; 6] = ["brk", "mmap", "munmap", "mremap", "mprotect", "madvise"];
/// As often as the loop of a monitor turns, or a file or folder has parts.
const VARYING: [&str; 6] = ["poll", "read", "getdents64", "wait4", "lseek", "restart_syscall"];
/// The same call by two names, of which libraries take this or that.
const SAME: [(&str, &str); 9] = [
    ("openat", "open"),
    ("newfstatat", "stat"),
    ("fstat", "stat"),
    ("lstat", "stat"),
    ("statx", "stat"),
    ("readlinkat", "readlink"),
    ("ppoll", "poll"),
    ("execveat", "execve"),
    ("exit", "exit_group"),
];

fn can_trace(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Rootfs::new(user)?;
    need::program("strace").map(drop)
}

/// How often each call is made, by link.
type Calls = BTreeMap<String, BTreeMap<String, usize>>;

/// Where a cgroup of v2 is what cg-enter makes: of v1 it takes others.
fn can_trace_in_a_cgroup(user: User) -> Result<(), String> {
    can_trace(user)?;
    Cell::new(user)?.folder_v2().map(drop)
}

fn links_make_these_calls(user: User) {
    let root = Rootfs::new(user).expect("asked before");
    let line = format!(
        "ns-unshare --user --map-root --mount --pid --uts -- fs-pivot --no-defaults {root} -- \
         priv-drop -- mini-init -- /bin/probe exit 0"
    );
    compare(user, "", &line);
}

fn cg_enter_makes_these_calls(user: User) {
    compare(user, ", cg-enter", "cg-enter -- {probe} exit 0");
}

/// Compares what the links of `chain` call with the section of the table for it.
fn compare(user: User, which: &str, chain: &str) {
    let scratch = Scratch::new(user);
    let log = scratch.join("log");
    // A link is known by the path that it was started by, which is as long as the checkout's.
    let line = format!("strace -ff -qq -s 4096 -e signal=none -o {} {chain}", log.display());
    Chain::new(user, &line).run().expect(0, "", "");
    let found = table(&count(scratch.path()));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    let who = if user.is_root() { "root" } else { "ordinary user" };
    let how = if toolbox::is_one_program() { ", all tools in one program" } else { "" };
    let name = &format!("{who}{which}{how}");
    let whole = fs::read_to_string(&file).unwrap_or_default();
    let mut sections = sections(&whole);
    if std::env::var_os("WRITE_TABLE").is_some() {
        sections.insert(name.clone(), found);
        let text = sections.iter().map(|(name, table)| format!("## {name}\n{table}"));
        fs::write(&file, text.collect::<String>()).expect("write the table");
        return;
    }
    let known = sections.remove(name).unwrap_or_default();
    let only_in = |a: &str, b: &str| {
        let lines = a.lines().filter(|line| !b.lines().any(|other| other == *line));
        lines.map(|line| format!("  {line}\n")).collect::<String>()
    };
    assert!(
        known == found,
        "as {name}, other calls than tests/{TABLE} says (WRITE_TABLE=1 and --test-threads=1 change it)\nno longer:\n{}now:\n{}",
        only_in(&known, &found),
        only_in(&found, &known)
    );
}

fn sections(text: &str) -> BTreeMap<String, String> {
    let split = |section: &str| {
        let (name, table) = section.split_once('\n')?;
        Some((name.to_owned(), table.to_owned()))
    };
    text.split("## ").filter_map(split).collect()
}

/// Reads the logs, one of each process. A link is what runs from one exec to the next; the
/// child of a fork begins in the middle of one.
fn count(folder: &Path) -> Calls {
    let mut calls = Calls::new();
    for entry in fs::read_dir(folder).expect("the logs").flatten() {
        let text = fs::read_to_string(entry.path()).expect("a log");
        let mut link = born_of(&text);
        let mut counts = !text.starts_with("execve");
        for line in text.lines() {
            let Some((call, _)) = line.split_once('(') else { continue };
            let call = SAME.iter().find(|(name, _)| *name == call).map_or(call, |(_, same)| *same);
            counts |= call == FIRST;
            // musl's open and dup set it once more, for kernels that ignore O_CLOEXEC; std looks
            // before each close in a build with debug assertions.
            let again = line.contains("F_SETFD, FD_CLOEXEC") || line.contains("F_GETFD");
            // What cg-enter reads at the end where v2 has these controllers.
            let figure = line.contains("\"memory.") || line.contains("\"pids.");
            if counts && !again && !figure && !MEMORY.contains(&call) && !link.contains("probe") {
                *calls.entry(link.clone()).or_default().entry(call.to_owned()).or_default() += 1;
            }
            if let Some(next) = next_link(line) {
                counts = line.starts_with("prctl");
                link = next;
            }
        }
    }
    calls
}

/// The link that begins with this call: an exec, or where one program is all tools its going on under
/// another name.
fn next_link(line: &str) -> Option<String> {
    let first_word = match line.strip_prefix("prctl(PR_SET_NAME, \"") {
        Some(rest) => rest.split_once('"').filter(|(name, _)| toolbox::TOOLS.contains(name)),
        None if line.contains("execve") && line.ends_with("= 0") => {
            line.split_once("[\"").and_then(|(_, rest)| rest.split_once('"'))
        }
        None => None,
    };
    first_word.and_then(|(word, _)| word.rsplit('/').next()).map(str::to_owned)
}

/// What a process is before its first link: nothing, or the child of the link before that.
fn born_of(text: &str) -> String {
    let next = text.lines().find_map(next_link).unwrap_or_default();
    match next.as_str() {
        "fs-pivot" => "ns-unshare, child".to_owned(),
        "probe" => "the last link, child".to_owned(),
        other => format!("before {other}"),
    }
}

/// Whether the calls of that name are not counted, since the host or chance says how many there are.
fn varies(link: &str, call: &str) -> bool {
    VARYING.contains(&call) || (link == "cg-enter" && call == "close")
}

fn table(calls: &Calls) -> String {
    let mut text = String::new();
    for (link, calls) in calls {
        let counted: usize =
            calls.iter().filter(|(call, _)| !varies(link, call)).map(|(_, n)| n).sum();
        text += &format!("{link}: {counted}\n");
        for (call, count) in calls {
            text += &match varies(link, call) {
                true => format!("{link}: {call} varies\n"),
                false => format!("{link}: {call} {count}\n"),
            };
        }
    }
    text
}

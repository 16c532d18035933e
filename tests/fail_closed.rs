//! If a stage can't do all that it was asked, the app never starts.
//!
//! Each system call that a chain makes is failed once, by strace's fault injection. Then either the
//! chain ends before its app, or the app has all that it has in a chain where nothing fails. What
//! it has is looked at from outside, where nothing is injected.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;

use catena_tests::{Cell, Chain, Rootfs, Running, Scratch, User, each_user};

each_user![
    if can_inject;
    no_error_is_passed_over,
    no_missing_call_is_passed_over,
];

fn can_inject(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Cell::with(user, "pids")?;
    Rootfs::new(user)?;
    match User::suite_is_root() {
        // From outside only root sees all of a process in another user namespace.
        true => catena_tests::need::program("strace").map(drop),
        false => Err("the suite does not run as root".to_owned()),
    }
}

/// What the kernel says of a process, without what is different in each run.
type View = BTreeMap<String, String>;

/// A chain to be disturbed.
struct Stage {
    user: User,
    root: Rootfs,
    scratch: Scratch,
}

impl Stage {
    fn new(user: User) -> Stage {
        Stage { user, root: Rootfs::new(user).expect("asked before"), scratch: Scratch::new(user) }
    }

    /// The whole chain under strace with these options.
    fn start(&self, options: &str, cell: &Rc<Cell>) -> Running {
        let line = format!(
            "strace -f -qq -o {} {options} cg-enter --name web --pids-max 50 -- \
             ns-unshare --hostname web -- fs-pivot {} -- priv-drop -- mini-init -- /bin/probe hold",
            self.scratch.join("log").display(),
            self.root
        );
        Chain::new(self.user, &line).in_cell(cell).start()
    }

    /// Runs it until the app is there, and gives what it has; nothing if the app never starts.
    fn view(&self, options: &str) -> Result<Option<View>, String> {
        let cell = Rc::new(Cell::new(self.user).expect("asked before"));
        let mut running = self.start(options, &cell);
        let mut found = None;
        let mut panicked = false;
        running.wait_until_over_or("the app", |running| {
            found = cell.processes().into_iter().find(|pid| has_started(*pid));
            panicked = running.stderr().contains("panicked at");
            found.is_some() || panicked
        });
        if panicked {
            // A message would have been the way to say so.
            return Err(running.stderr());
        }
        let view = found.and_then(|pid| {
            let mut view = look(pid);
            let limit = cell.limit("pids", "web", "pids.max", "pids.max");
            view.insert("pids.max".to_owned(), limit);
            // Where a monitor failed after the start, the app dies with it; what was seen then is
            // of a process half gone. The program goes first, before folders and descriptors.
            fs::read_link(format!("/proc/{pid}/exe")).is_ok().then_some(view)
        });
        // The cell ends what is left.
        drop(running);
        Ok(view)
    }

    /// What the app has where nothing fails.
    fn undisturbed(&self) -> View {
        let view = self.view("").expect("no panic where nothing fails");
        view.expect("the app starts where nothing fails")
    }

    /// How often each system call is made until the app starts, by the process that makes it most.
    fn calls(&self) -> BTreeMap<String, usize> {
        self.undisturbed();
        let log = fs::read_to_string(self.scratch.join("log")).expect("read");
        let mut calls: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for line in log.lines().take_while(|line| !line.contains("execve(\"/bin/probe\"")) {
            let mut words = line.splitn(2, ' ');
            let (pid, rest) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            // Not the second half of a call that another process interrupted in the log.
            let rest = rest.trim_start();
            if let Some((call, _)) = rest.split_once('(').filter(|_| !rest.starts_with('<')) {
                *calls.entry((pid, call)).or_default() += 1;
            }
        }
        let mut most = BTreeMap::new();
        for ((_, call), count) in calls {
            let known: &mut usize = most.entry(call.to_owned()).or_default();
            *known = count.max(*known);
        }
        most.retain(|call, _| !HARMLESS.contains(&call.as_str()));
        for call in ["sethostname", "pivot_root", "capset", "move_mount", "write", "prctl"] {
            assert!(most.contains_key(call), "{call} is not among {most:?}");
        }
        most
    }
}

/// What can't fail, and what a program does for itself: memory, randomness, its own end. (poll(2) is
/// Rust's runtime, which looks whether 0 to 2 are open; the tools themselves use ppoll(2).)
const HARMLESS: [&str; 31] = [
    "poll",
    "sysinfo",
    "brk",
    "mmap",
    "munmap",
    "mprotect",
    "mremap",
    "madvise",
    "exit",
    "exit_group",
    "futex",
    "getrandom",
    "set_robust_list",
    "set_tid_address",
    "rseq",
    "rt_sigreturn",
    "rt_sigaction",
    "sigaltstack",
    "arch_prctl",
    "sched_getaffinity",
    "prlimit64",
    "gettid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getppid",
    "umask",
    "getpgrp",
    "getpid",
    "close",
];

/// Whether this is the app, and its exec is over: the environment is what the kernel sets last.
fn has_started(pid: i32) -> bool {
    let text = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    text("comm") == "probe\n" && !text("environ").is_empty()
}

/// What a process has.
fn look(pid: i32) -> View {
    let text = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let mut view = View::new();
    let fields =
        ["Uid", "Gid", "Groups", "Umask", "NoNewPrivs", "Seccomp", "SigBlk", "SigIgn", "SigCgt"];
    for line in text("status").lines() {
        let (name, value) = line.split_once(':').unwrap_or_default();
        if fields.contains(&name) || name.starts_with("Cap") {
            view.insert(name.to_owned(), value.trim().to_owned());
        }
    }
    for file in ["uid_map", "gid_map", "setgroups", "environ"] {
        view.insert(file.to_owned(), text(file));
    }
    // Which namespaces are its own; the inode says nothing more.
    for name in ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"] {
        let inode =
            |pid: &str| fs::metadata(format!("/proc/{pid}/ns/{name}")).map(|data| data.ino()).ok();
        let own = inode(&pid.to_string()) != inode("self");
        view.insert(format!("{name} namespace"), own.to_string());
    }
    // Mount point, options, propagation and type: no numbers, no names of temporary folders.
    let mount = |line: &str| {
        let (front, back) = line.split_once(" - ").unwrap_or_default();
        let front: Vec<_> = front.split(' ').skip(4).collect();
        let kind = back.split(' ').next().unwrap_or_default();
        (front[0].to_owned(), format!("{} {kind}", front[1..].join(" ")))
    };
    for line in text("mountinfo").lines() {
        let (point, rest) = mount(line);
        view.insert(format!("mount at {point}"), rest);
    }
    let numbers = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let numbers: BTreeSet<_> = numbers.map(|entry| entry.file_name()).collect();
    view.insert("descriptors".to_owned(), format!("{numbers:?}"));
    for link in ["root", "cwd"] {
        let target = fs::read_link(format!("/proc/{pid}/{link}")).unwrap_or_default();
        view.insert(link.to_owned(), target.display().to_string());
    }
    let cgroups = text("cgroup");
    let in_web = cgroups.lines().filter(|line| line.ends_with("/web")).count();
    view.insert("cgroups".to_owned(), in_web.to_string());
    view
}

/// The calls to fail, of one that is made `most` times: all, or the first, the last and some between
/// of those that a loop makes (a prctl for each capability, say).
fn numbers(most: usize) -> BTreeSet<usize> {
    let count = most.min(32);
    (0..count).map(|index| 1 + index * (most - 1) / (count - 1).max(1)).collect()
}

/// Fails each of `calls` once with `error`.
fn disturb(stage: &Stage, error: &str, calls: BTreeMap<String, usize>) {
    let each = |(call, most): (String, usize)| {
        numbers(most).into_iter().map(move |number| (call.clone(), number))
    };
    let undisturbed = stage.undisturbed();
    let mut wrong = Vec::new();
    for (call, number) in calls.into_iter().flat_map(each) {
        let options = format!("-e trace={call} -e inject={call}:error={error}:when={number}");
        match stage.view(&options) {
            Ok(None) => {}
            Ok(Some(view)) if view == undisturbed => {}
            Ok(Some(view)) => {
                let names: BTreeSet<_> = view.keys().chain(undisturbed.keys()).collect();
                let other =
                    names.into_iter().filter(|name| view.get(*name) != undisturbed.get(*name));
                let other: Vec<_> =
                    other.map(|name| (name, view.get(name), undisturbed.get(name))).collect();
                wrong.push(format!("{call} number {number}: the app started with {other:#?}"));
            }
            Err(panic) => wrong.push(format!("{call} number {number}: {panic}")),
        }
    }
    let uid = stage.user.uid();
    assert!(wrong.is_empty(), "uid {uid}, {error} for\n{}", wrong.join("\n"));
}

fn no_error_is_passed_over(user: User) {
    let stage = Stage::new(user);
    let mut calls = stage.calls();
    // NS_GET_USERNS gives EPERM for a namespace whose owner is outside: that is an answer.
    calls.remove("ioctl");
    disturb(&stage, "EPERM", calls);
}

fn no_missing_call_is_passed_over(user: User) {
    let stage = Stage::new(user);
    let calls = stage.calls();
    disturb(&stage, "ENOSYS", calls);
}

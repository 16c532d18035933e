//! Fail closed, shown by force: every system call of every tool fails, and the app never starts
//! with less than was asked for.
//!
//! `FAULTS=whole` (make test-faults) tries each call with each error; without it some of each
//! call, with one.

use std::io::Write;
use std::time::Instant;

use catena_tests::fault::{Extent, Subject};
use catena_tests::{Cell, Rootfs, Scratch, User, each_user, need, toolbox};

each_user![if can_trace;
    priv_drop,
    priv_drop_with_everything,
    ns_unshare,
    mini_init,
    fs_pivot,
    fs_pivot_with_everything,
    cg_enter,
    the_whole_chain,
    a_chain_that_falls_back_is_found_out,
];

fn can_trace(user: User) -> Result<(), String> {
    need::program("strace")?;
    Rootfs::new(user)?;
    user.can_isolate()
}

/// What is tried of a chain of one tool: where the chain of all is tried too, one fault a call.
const ONE_TOOL: Extent = Extent::Reduced { of_each: 1 };

/// Tries a chain whose app is the probe, and says how it went, past the capture of the runner.
fn try_in(user: User, line: &str, app: &str, reduced: Extent, whole: Extent) {
    let extent = if is_whole() { whole } else { reduced };
    let (app, start) = (app.to_owned(), Instant::now());
    let tally = Subject { user, line: line.to_owned(), app }.try_all(extent);
    let (injected, survived, wrong) = (tally.injected, tally.survived.len(), tally.wrong.len());
    let open = tally.wrong.iter().filter(|line| line.contains("FAIL-OPEN")).count();
    let report = format!(
        "{user:?}: {line}: {injected} injections, {open} fail-opens, {} other faults, {survived} \
         survived unharmed, {} s\n",
        wrong - open,
        start.elapsed().as_secs()
    );
    let _ = std::io::stderr().write_all(report.as_bytes());
    if std::env::var_os("FAULTS_SURVIVED").is_some() {
        let _ = writeln!(std::io::stderr(), "{}", tally.survived.join(" "));
    }
    assert!(injected > 20, "hardly a fault was injected: {injected}");
    assert!(tally.wrong.is_empty(), "\n{}", tally.wrong.join("\n"));
}

/// Tries a chain that stays in the host's root.
fn try_chain(user: User, line: &str) {
    try_in(user, line, &toolbox::probe().display().to_string(), ONE_TOOL, Extent::Whole);
}

/// Tries a chain that goes to a root of its own.
fn try_pivot(user: User, line: &str, reduced: Extent, whole: Extent) {
    let root = Rootfs::new(user).expect("asked before");
    try_in(user, &line.replace("{root}", &root.to_string()), "/bin/probe", reduced, whole);
}

fn is_whole() -> bool {
    std::env::var_os("FAULTS").is_some_and(|value| value == "whole")
}

fn priv_drop(user: User) {
    // Only root has something to drop; others get it from a user namespace.
    let line = match user {
        User::Root => "priv-drop --",
        User::Ordinary => "unshare --user --map-root-user priv-drop --",
    };
    try_chain(user, line);
}

fn priv_drop_with_everything(user: User) {
    if !is_whole() {
        return;
    }
    let (before, ids) = match user {
        User::Root => ("", "--user 1500:1600 --groups 1700 --fix-stdio --nice -3"),
        // As low as this is, it works where the suite itself is nice.
        User::Ordinary => ("unshare --user --map-root-user", "--nice 19"),
    };
    let rest = "--caps +NET_BIND_SERVICE --rlimit nofile=512:1024 --oom-score-adj 77 \
                --umask 077 --securebits noroot,noroot-locked --no-nested-userns --seccomp-log \
                --landlock ro:/ --landlock-tcp-bind 80";
    let app = toolbox::probe().display().to_string();
    try_in(user, &format!("{before} priv-drop {ids} {rest} --"), &app, ONE_TOOL, Extent::InTurn);
}

fn ns_unshare(user: User) {
    try_chain(user, "ns-unshare --");
}

fn mini_init(user: User) {
    try_chain(user, "ns-unshare -- mini-init --");
}

fn fs_pivot(user: User) {
    try_pivot(user, "ns-unshare -- fs-pivot {root} --", ONE_TOOL, Extent::Whole);
}

fn fs_pivot_with_everything(user: User) {
    if !is_whole() {
        return;
    }
    let scratch = Scratch::new(user);
    let data = scratch.folder("data", user);
    let line = format!(
        "ns-unshare -- fs-pivot --ephemeral --etc-hosts --machine-id --ro-bind {0}:/mnt/new \
         --bind {0}:/var --tmpfs /home:size=1M,mode=700 --mqueue /queues --dev-node /dev/fuse \
         --copy-up /etc/passwd:/etc/passwd --mask /etc/group --read-only-path /etc --chdir /home \
         {{root}} --",
        data.display()
    );
    try_pivot(user, &line, ONE_TOOL, Extent::InTurn);
}

fn cg_enter(user: User) {
    drop(need!(Cell::with(user, "pids")));
    try_chain(user, "cg-enter --pids-max 50 --");
}

fn the_whole_chain(user: User) {
    drop(need!(Cell::with(user, "pids")));
    let chain = "cg-enter --pids-max 50 -- ns-unshare --hostname web -- fs-pivot {root} -- \
                 priv-drop -- mini-init --";
    try_pivot(user, chain, Extent::Reduced { of_each: 4 }, Extent::InTurn);
}

fn a_chain_that_falls_back_is_found_out(user: User) {
    if !user.is_root() {
        return;
    }
    let scratch = Scratch::new(user);
    let script = scratch.script("careless", "#!/bin/sh\npriv-drop -- \"$@\" || exec \"$@\"\n");
    let app = toolbox::probe().display().to_string();
    let line = script.display().to_string();
    let tally = Subject { user, line, app }.try_all(ONE_TOOL);
    let found = tally.wrong.iter().filter(|line| line.contains("FAIL-OPEN")).count();
    assert!(found > 5, "{found} of {} injections: {:?}", tally.injected, tally.wrong);
}

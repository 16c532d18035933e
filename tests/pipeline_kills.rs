//! Stages that end, or fail, at every moment: the app runs with all of them or not at all.

use std::collections::BTreeSet;
use std::time::Duration;

use catena_tests::shell::script;
use catena_tests::{Outcome, Scratch, User, any, each_user, like, need};

each_user![
    if User::can_isolate;
    the_first_stage_is_killed_at_each_system_call,
    a_stage_in_the_middle_is_killed_at_each_system_call,
    each_system_call_of_the_first_stage_fails,
    each_system_call_of_the_last_stage_fails,
    the_first_stage_is_killed_after_any_time,
    a_stopped_stage_is_waited_for,
    a_stage_whose_death_is_seen_by_no_shell,
];

/// More system calls than a stage makes.
const MOST: u32 = 20000;

/// Runs `pipe`, in which `{strace}` spoils the Nth system call, for N from 1, in growing steps, until
/// all is well three times: the tool had ended before. Each time the app sees what the stages did, or is not
/// started at all.
fn spoiled(user: User, spoil: &str, pipe: &str) {
    need!(need::program("strace"));
    let text = format!(
        "well=0; for ((n = 1; n < {MOST}; n += 1 + n / 30)); do out=$({} 2>/dev/null); \
         echo \"$? $out\"; case $out in blue) well=$((well + 1));; *) well=0;; esac; \
         [ $well -lt 3 ] || exit 0; done; exit 9",
        pipe.replace(
            "{strace}",
            &format!("strace -qqq -o /dev/null -e inject=all:{spoil}:when=$n")
        )
    );
    let outcome = script(user, "bash -c", text).deadline(Duration::from_secs(120)).run();
    let seen = check(&outcome);
    assert!(seen.len() > 1, "nothing was spoiled\n{outcome}");
}

/// Each line is a failure without the app, or the app's report of all its stages; a monitor that
/// failed after the app had said it has its own status.
fn check(outcome: &Outcome) -> BTreeSet<&str> {
    outcome.expect(0, any(), any());
    let lines: BTreeSet<&str> = outcome.stdout.lines().collect();
    for line in &lines {
        let fits = line.ends_with(" blue") || (line.ends_with(' ') && !line.starts_with("0 "));
        assert!(fits, "{line:?}\n{outcome}");
    }
    lines
}

fn the_first_stage_is_killed_at_each_system_call(user: User) {
    spoiled(user, "signal=KILL", "{strace} ns-unshare --hostname blue | mini-init hostname");
}

fn a_stage_in_the_middle_is_killed_at_each_system_call(user: User) {
    let pipe = "ns-unshare --hostname blue | {strace} priv-drop | mini-init hostname";
    spoiled(user, "signal=KILL", pipe);
}

fn each_system_call_of_the_first_stage_fails(user: User) {
    spoiled(user, "error=EPERM", "{strace} ns-unshare --hostname blue | mini-init hostname");
}

fn each_system_call_of_the_last_stage_fails(user: User) {
    let pipe = "ns-unshare --hostname blue | {strace} priv-drop hostname";
    for error in ["ENOSYS", "EPERM"] {
        spoiled(user, &format!("error={error}"), pipe);
    }
}

fn the_first_stage_is_killed_after_any_time(user: User) {
    // The time is that of a loop; how long the tool takes to be ready is within it.
    let text = "for n in $(seq 100); do out=$( \
                (ns-unshare --hostname blue & stage=$!; for ((i = 0; i < RANDOM % 4000; i++)); do :; done; \
                kill -9 $stage; wait) 2>/dev/null | mini-init hostname 2>/dev/null); \
                echo \"$? $out\"; done";
    check(&script(user, "bash -c", text).deadline(Duration::from_secs(120)).run());
}

fn a_stopped_stage_is_waited_for(user: User) {
    // The stage hands nothing on before it has its own plan, so the signal can't come too late. What
    // the last stage says after a second of waiting is the event to go on.
    let scratch = Scratch::new(user);
    for (signal, then, status, given) in
        [("CONT", "cat saved >plan;", 0, "blue\n"), ("KILL", "", 125, "")]
    {
        let text = format!(
            "rm -f said plan; mkfifo said plan; ns-unshare --hostname blue >saved; \
             (priv-drop --plan plan & stage=$!; kill -STOP $stage; \
             head -n 1 said >&2; kill -{signal} $stage; {then} wait) | mini-init hostname 2>said"
        );
        let outcome = script(user, "bash -c", text).directory(scratch.path()).run();
        outcome.expect(status, given, like("mini-init: waiting for standard input*"));
    }
}

/// A stage that has been seen is not forgotten when it is killed and waited for, whoever its parent is.
fn a_stage_whose_death_is_seen_by_no_shell(user: User) {
    need!(need::program("python3"));
    let text = "import sys\n\
        from subprocess import *\n\
        first = Popen(['ns-unshare', '--plan', '-'], stdin=PIPE, stdout=PIPE)\n\
        last = Popen(['mini-init', '--', 'echo', 'started'], stdin=first.stdout, stderr=PIPE)\n\
        first.stdout.close()\n\
        waits = last.stderr.readline()\n\
        first.kill()\n\
        first.wait()\n\
        sys.stdout.buffer.write(waits + last.stderr.read())\n\
        sys.exit(last.wait())";
    let said = "mini-init: waiting for standard input, to see whether it is a plan\nhint: *\n\
                mini-init: standard input ended without a plan: *\nhint: *\n";
    script(user, "python3 -c", text).run().expect(125, like(said), "");
}

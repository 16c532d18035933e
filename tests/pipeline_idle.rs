//! Standard input that is no plan is not touched, and the app isn't delayed.
//!
//! A tool that waits says so after a second. Where an input stays idle for good, an app that
//! starts without that word was started at once.

use catena_tests::shell::{in_each, script, shells};
use catena_tests::terminal::Terminal;
use catena_tests::{Chain, Scratch, User, each_user, need};

each_user![
    if User::can_isolate;
    a_writer_that_writes_nothing,
    a_parent_that_holds_the_pipe,
    the_first_process_of_a_container,
    a_relay_of_a_terminal,
    no_byte_is_taken,
    a_plan_that_a_stranger_keeps,
    an_interactive_shell_at_the_end,
];

/// The app of `chain` starts, and nothing else is said.
#[track_caller]
fn starts_at_once(chain: Chain) {
    let mut running = chain.leaves_processes().start();
    running.wait_for("started\n");
    assert_eq!(running.stdout(), "started\n");
}

fn a_writer_that_writes_nothing(user: User) {
    for writer in
        ["sleep 1000", "tail -f /dev/null", "exec sleep 1000", "cat /dev/zero | sleep 1000"]
    {
        for shell in shells() {
            // The writer is there before the tool is: what a process in mid-exec is can't be told.
            let text = format!("{writer} | ns-unshare -- mini-init -- echo started 2>&1");
            starts_at_once(script(user, shell, text));
        }
    }
    // The app of another chain.
    let text = "ns-unshare -- sleep 1000 | ns-unshare -- mini-init -- echo started 2>&1";
    starts_at_once(script(user, "bash -c", text));
    let text = "timeout 99 ns-unshare -- mini-init -- sleep 1000 | \
                ns-unshare -- mini-init -- echo started 2>&1";
    starts_at_once(script(user, "bash -c", text));
}

fn a_parent_that_holds_the_pipe(user: User) {
    need!(need::program("python3"));
    let text = "from subprocess import *\n\
        Popen(['ns-unshare', 'mini-init', 'echo', 'started'], stdin=PIPE, stderr=STDOUT).wait()";
    starts_at_once(script(user, "python3 -c", text));
    // In a pipe of its own, too.
    let text = format!("echo config | python3 -c \"{text}\"");
    starts_at_once(script(user, "bash -c", text));
    let text = "exec 3<> <(:); ns-unshare -- mini-init -- echo started <&3 2>&1";
    starts_at_once(script(user, "bash -c", text));
}

fn the_first_process_of_a_container(user: User) {
    let unshare = "unshare --user --map-root-user --pid --fork --mount-proc";
    let text = format!("sleep 1000 | {unshare} mini-init -- echo started 2>&1");
    starts_at_once(script(user, "bash -c", text));
}

fn a_relay_of_a_terminal(user: User) {
    need!(need::program("script"));
    let text =
        "script -qec 'ns-unshare -- mini-init -- echo started' /dev/null </dev/null | tr -d '\\r'";
    script(user, "bash -c", text).run().expect(0, "started\n", "");
}

/// A stage waits without using the processor for a program that doesn't read its plan, or has read it and stays.
fn a_plan_that_a_stranger_keeps(user: User) {
    need!(need::program("strace"));
    for reader in ["sleep 1", "sh -c 'cat >/dev/null; sleep 1'"] {
        let scratch = Scratch::new(user);
        let log = scratch.join("log");
        let strace = format!("strace -e trace=poll,ppoll -o {}", log.display());
        let text = format!("{strace} ns-unshare --mount | {reader}");
        script(user, "sh -c", text).run().expect(0, "", "");
        let calls = std::fs::read_to_string(log).expect("a trace").lines().count();
        assert!(calls < 100, "{calls} turns beside: {reader}");
    }
}

fn no_byte_is_taken(user: User) {
    let tool = "ns-unshare -- mini-init --";
    for (text, given) in [
        (format!("printf abcdef | (dd bs=1 count=1 2>/dev/null; {tool} cat)"), "abcdef"),
        (format!("head -c 1000000 /dev/zero | {tool} wc -c"), "1000000\n"),
        (format!("(echo a; {tool} echo b; cat) </dev/null | {tool} cat"), "a\nb\n"),
    ] {
        in_each(user, text, |chain| {
            chain.run().expect(0, given, "");
        });
    }
}

fn an_interactive_shell_at_the_end(user: User) {
    let home = Scratch::new(user);
    let mut terminal = need!(Terminal::new());
    let text = "ns-unshare | mini-init bash --norc --noediting -i; echo last $?";
    let chain = script(user, "bash -c", text).directory(home.path());
    let mut running = chain.start_on(&mut terminal);
    running.wait_for("# ");
    terminal.type_in("echo $((6 * 111))\n");
    running.wait_for("666");
    // Job control: stopped by a key, listed, brought back, and ended by a key.
    terminal.type_in("cat -n\none\n");
    running.wait_for("\tone\r\n");
    terminal.type_in("\x1a");
    running.wait_for("Stopped");
    terminal.type_in("fg\ntwo\n");
    running.wait_for("\ttwo\r\n");
    terminal.type_in("\x03");
    running.wait_for("^C\r\nbash");
    terminal.type_in("echo be''low $?\n");
    running.wait_for("below 130");
    terminal.type_in("exit 3\n");
    running.wait_for("last 3");
    drop(running.finish());
}

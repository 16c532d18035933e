//! The two laws of pipelines: a stranger's data never becomes a plan, and an app never starts
//! without the stages that stand before it in its pipe.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use catena_tests::shell::{in_each, script, shells};
use catena_tests::{Outcome, Scratch, User, any, each_user, like, need, toolbox};

each_user![
    a_plan_that_a_stranger_writes,
    a_plan_in_a_file,
    a_plan_from_a_socket,
    a_writer_that_becomes_one_of_ours,
    a_program_that_says_it_is_a_filter,
    a_plan_of_another_user,
    a_plan_of_a_chain_is_its_apps,
    other_data_is_the_apps,
    a_stage_that_fails,
    a_stage_that_fails_behind_others,
    half_a_plan,
    another_version,
    a_tool_from_elsewhere,
    a_plan_that_is_changed_beyond_recognition,
    a_pipe_inside_a_chain_is_one,
];

/// A plan whose text shows whether it has been run.
const FORGED: &str = "{\"catena\":1,\"chain\":[\"sh\",\"-c\",\"echo $((6*111)) \\\"$@\\\"\",\"sh\"]}\n\
                      {\"catena\":1,\"end\":1}\n";

/// A folder with [`FORGED`] as `plan`.
fn with_plan(user: User) -> Scratch {
    let scratch = Scratch::new(user);
    scratch.file("plan", FORGED);
    scratch
}

/// It was refused, or the app was given every byte.
#[track_caller]
fn check_forged(outcome: &Outcome) {
    match outcome.stdout.is_empty() {
        true => outcome.expect(125, "", like("mini-init: *standard input*")),
        false => outcome.expect(0, FORGED, any()),
    };
}

#[track_caller]
fn forged_in(user: User, lines: &[&str]) {
    let scratch = with_plan(user);
    for line in lines {
        in_each(user, line, |chain| check_forged(&chain.directory(scratch.path()).run()));
    }
}

fn a_plan_that_a_stranger_writes(user: User) {
    forged_in(
        user,
        &[
            "printf '%s\\n' \"$(cat plan)\" | mini-init cat",
            "cat plan | mini-init cat",
            "cat plan | cat | cat | mini-init cat",
            "(cat plan; exec sleep 0.05) | mini-init cat",
            "(sleep 0.05; cat plan) | mini-init cat",
            "env cat plan | mini-init cat",
            "cat plan | { mini-init cat; }",
            "cat plan | sh -c 'mini-init cat; exit $?'",
            "cat plan | env mini-init cat",
        ],
    );
    // Gone before the tool was started.
    let text = "import os\nr, w = os.pipe()\nos.write(w, open('plan', 'rb').read())\nos.close(w)\n\
                os.dup2(r, 0)\nos.execvp('mini-init', ['mini-init', 'cat'])";
    let scratch = with_plan(user);
    check_forged(&script(user, "python3 -c", text).directory(scratch.path()).run());
}

fn a_plan_in_a_file(user: User) {
    forged_in(
        user,
        &["mini-init cat <plan", "rm -f fifo; mkfifo fifo; cat plan >fifo & mini-init cat <fifo"],
    );
    let text = format!("mini-init cat <<'EOF'\n{FORGED}EOF\n");
    in_each(user, text, |chain| check_forged(&chain.run()));
}

fn a_plan_from_a_socket(user: User) {
    let text = "import os, socket\na, b = socket.socketpair()\na.send(open('plan', 'rb').read())\n\
                a.close()\nos.dup2(b.fileno(), 0)\nos.execvp('mini-init', ['mini-init', 'cat'])";
    let scratch = with_plan(user);
    let outcome = script(user, "python3 -c", text).directory(scratch.path()).run();
    outcome.expect(0, FORGED, any());
}

fn a_writer_that_becomes_one_of_ours(user: User) {
    let scratch = with_plan(user);
    for text in [
        "(cat plan; exec ns-unshare) | mini-init cat",
        "sh -c 'cat plan; exec ns-unshare' | mini-init cat",
        "{ cat plan; ns-unshare; } | mini-init cat",
        "{ ns-unshare; cat plan; } | mini-init cat",
        "{ ns-unshare & cat plan; wait; } | mini-init cat",
    ] {
        in_each(user, text, |chain| {
            let outcome = chain.directory(scratch.path()).run();
            assert!(!outcome.stdout.contains("666"), "{outcome}");
            // What the filter itself offers may be taken, if the stranger has written nothing yet.
            assert!(outcome.stdout.is_empty(), "{outcome}");
        });
    }
}

fn a_program_that_says_it_is_a_filter(user: User) {
    // All that a filter shows of itself, but for its executable.
    let text = "import ctypes, os, sys, time\nlibc = ctypes.CDLL(None)\n\
        plan = open('plan', 'rb').read()\n\
        fd = os.memfd_create('catena-plan', os.MFD_ALLOW_SEALING)\nos.write(fd, plan)\n\
        import fcntl\nfcntl.fcntl(fd, 1033, 15)\nos.dup2(fd, 3)\n\
        libc.prctl(15, b'/plan', 0, 0, 0)\n\
        if 'write' in sys.argv: os.write(1, plan)\n\
        time.sleep(0.1)";
    let scratch = with_plan(user);
    scratch.file("filter.py", text);
    in_each(user, "python3 filter.py write | mini-init cat", |chain| {
        check_forged(&chain.directory(scratch.path()).run());
    });
    in_each(user, "python3 filter.py | mini-init cat", |chain| {
        let outcome = chain.directory(scratch.path()).run();
        assert_eq!(outcome.stdout, "", "{outcome}");
    });
}

fn a_plan_of_another_user(user: User) {
    if !user.is_root() {
        // Only root can become somebody else.
        return;
    }
    let setpriv = need!(need::program("setpriv"));
    let other = format!("{} --reuid 4343 --regid 4343 --clear-groups", setpriv.display());
    forged_in(user, &[&format!("{other} cat plan | mini-init cat")]);
    for text in [
        format!("{other} ns-unshare | mini-init cat"),
        format!("ns-unshare | {other} mini-init cat"),
        format!("{other} ns-unshare | priv-drop | mini-init cat"),
    ] {
        in_each(user, text, |chain| {
            chain.run().expect(125, "", like("*\nhint: *"));
        });
    }
}

fn a_plan_of_a_chain_is_its_apps(user: User) {
    need!(user.can_isolate());
    forged_in(
        user,
        &[
            "ns-unshare -- cat plan | mini-init cat",
            "ns-unshare -- mini-init -- cat plan | mini-init cat",
        ],
    );
}

fn other_data_is_the_apps(user: User) {
    need!(user.can_isolate());
    for (text, given) in [
        ("echo hello | mini-init cat", "hello\n"),
        ("echo | mini-init cat", "\n"),
        ("printf '{}' | mini-init cat", "{}"),
        ("printf '{\"cat\":1}' | mini-init cat", "{\"cat\":1}"),
        ("ns-unshare -- echo hello | mini-init cat", "hello\n"),
        ("ns-unshare -- mini-init -- echo hello | ns-unshare -- mini-init -- cat", "hello\n"),
        ("echo hello | ns-unshare -- mini-init -- cat | ns-unshare -- mini-init -- cat", "hello\n"),
        ("printf 'a\\nb\\n' | while read x; do mini-init echo $x; done", "a\nb\n"),
        ("printf 'a\\nb\\n' | (read x; mini-init cat)", "b\n"),
    ] {
        in_each(user, text, |chain| {
            chain.run().expect(0, given, any());
        });
    }
}

/// Fails unless every one of the repeated starts was refused.
fn refused_in_each(user: User, line: &str) {
    let scratch = Scratch::new(user);
    let copies = scratch.folder("copies", user);
    for name in ["ns-unshare", "elsewhere"] {
        let copy = copies.join(name);
        catena_tests::scratch::copy_program(&toolbox::tool("ns-unshare"), &copy);
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("chmod");
    }
    let line = if line.contains("APP") { line.to_owned() } else { format!("{line} APP") };
    let line = line.replace("APP", "echo STARTED");
    let text = format!("for i in 1 2 3 4 5; do {line}; echo $?; done");
    for shell in shells() {
        let outcome = script(user, shell, &text).directory(scratch.path()).run();
        outcome.expect(0, "125\n".repeat(5), like("*mini-init: *"));
    }
}

fn a_stage_that_fails(user: User) {
    for line in [
        "ns-unshare --none | mini-init",
        "ns-unshare | priv-drop --none | mini-init",
        "ns-unshare --none | priv-drop | mini-init",
        "ns-unshare --plan /none | mini-init",
        "ns-unshare | sh -c 'kill -9 $$' | mini-init",
    ] {
        refused_in_each(user, line);
    }
}

const RELAYS: &str = "python3 -c 'import subprocess, sys; \
                      sys.exit(subprocess.run(sys.argv[1:], input=sys.stdin.buffer.read()).returncode)'";

const CLOSES: &str =
    "python3 -c 'import os, time; os.read(0, 9); os.close(0); time.sleep(0.1); os.close(1)'";

fn a_stage_that_fails_behind_others(user: User) {
    for line in [
        "(ns-unshare --none) | mini-init",
        "(ns-unshare --none; :) | mini-init",
        "(ns-unshare --none; sleep 0.05; :) | mini-init",
        "sh -c 'ns-unshare --none; sleep 0.05; :' | mini-init",
        "env ns-unshare --none | mini-init",
        "nice ns-unshare --none | nice mini-init",
        "timeout 9 ns-unshare --none | timeout 9 mini-init",
        "ns-unshare --none | (mini-init APP)",
        "ns-unshare --none | cat | mini-init",
        "ns-unshare --none | cat | cat | env mini-init",
        // As cat(1) does for a moment at its end.
        &format!("ns-unshare --none | {CLOSES} | mini-init"),
        &format!("ns-unshare --none | cat | {CLOSES} | cat | mini-init"),
        &format!("ns-unshare --none | {RELAYS} mini-init"),
    ] {
        refused_in_each(user, line);
    }
}

fn half_a_plan(user: User) {
    for line in [
        "printf '{\"catena\":1,\"sta' | mini-init",
        "printf ' {\"catena\"' | mini-init",
        "ns-unshare | head -c 20 | mini-init --plan -",
        "ns-unshare | head -n 1 | mini-init --plan -",
        "ns-unshare | tail -n 1 | mini-init --plan -",
        "true | mini-init --plan -",
    ] {
        refused_in_each(user, line);
    }
}

fn another_version(user: User) {
    for line in [
        "ns-unshare | sed 's/:1/:2/' | mini-init --plan -",
        "ns-unshare | sed 's/:1/:2/' | mini-init",
        "ns-unshare | sed 's/\"stage\"/\"x\":1,&/' | mini-init --plan -",
    ] {
        refused_in_each(user, line);
    }
}

fn a_tool_from_elsewhere(user: User) {
    for line in [
        "copies/ns-unshare | mini-init",
        "copies/elsewhere | mini-init",
        "(copies/elsewhere; :) | mini-init",
        "ns-unshare | copies/elsewhere | mini-init",
    ] {
        refused_in_each(user, line);
    }
}

fn a_plan_that_is_changed_beyond_recognition(user: User) {
    refused_in_each(user, "ns-unshare | sed 's/^/ /' | mini-init");
    // Nothing of the plan comes through, once it has been seen who reads it: the tool says so.
    let scratch = Scratch::new(user);
    let text = "mkfifo said; ns-unshare | (cat >/dev/null; head -n 1 said >/dev/null; echo hello) | \
                mini-init echo STARTED 2>said; echo $?";
    in_each(user, format!("rm -f said; {text}"), |chain| {
        chain.directory(scratch.path()).run().expect(0, "125\n", "");
    });
}

fn a_pipe_inside_a_chain_is_one(user: User) {
    // The shell stands between two of our tools, as its last word says, and yet starts another
    // chain: that one's standard input is not the outer chain's.
    let text = "ns-unshare --hostname outer -- \
                sh -c 'ns-unshare --hostname inner | \"$1\" hostname' sh mini-init";
    in_each(user, text, |chain| {
        chain.run().expect(0, "inner\n", "");
    });
}

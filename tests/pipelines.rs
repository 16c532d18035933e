//! The pipeline spelling, as people type it: `cg-enter | ns-unshare | mini-init app`.

use std::collections::BTreeSet;
use std::fs;

use catena_tests::shell::{in_each, script, shells};
use catena_tests::{Cell, Chain, Rootfs, Scratch, User, any, each_user, like, need, toolbox};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

each_user![
    if can_pivot;
    three_stages,
    five_stages,
    the_first_stages_stdin_is_the_apps,
    any_tool_can_have_the_command,
    one_stage_alone,
    a_saved_plan,
    a_plan_through_other_programs,
    print_is_the_chain,
    the_status_is_the_apps,
    every_stage_ends_with_0,
    in_a_script,
    in_a_makefile,
    below_a_wrapper_that_forks,
    below_a_wrapper_that_relays,
    wrappers_before_a_filter,
    in_a_named_pipe,
    in_braces,
    from_python,
    nobody_of_the_pipe_is_left,
    no_command_on_a_terminal,
    the_environment_is_the_last_stages,
];

fn can_pivot(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Cell::new(user)?;
    Rootfs::new(user).map(drop)
}

fn rootfs(user: User) -> Rootfs {
    Rootfs::new(user).expect("asked before")
}

fn three_stages(user: User) {
    let probe = toolbox::probe().display();
    in_each(user, format!("cg-enter | ns-unshare | mini-init {probe}"), |chain| {
        let seen = chain.see();
        assert_eq!((seen.pid, seen.ppid), (2, 1));
        assert_eq!(seen.numbers(), [0, 1, 2]);
        assert_eq!(seen.descriptors[0].target, "/dev/null");
    });
}

fn five_stages(user: User) {
    need!(Cell::with(user, "memory"));
    let root = rootfs(user);
    let text = format!(
        "cg-enter --memory-max 64M | ns-unshare | fs-pivot {root} | priv-drop | mini-init sh -c \
         'echo hello; ls -d /proc/[0-9]*; exit 7'"
    );
    in_each(user, text, |chain| {
        chain.run().expect(7, "hello\n/proc/1\n/proc/2\n", "");
    });
}

fn the_first_stages_stdin_is_the_apps(user: User) {
    in_each(user, "echo hi | cg-enter | ns-unshare | mini-init cat", |chain| {
        chain.run().expect(0, "hi\n", "");
    });
    // More than a pipe holds, and from a file.
    let size = 300_000;
    in_each(user, format!("head -c {size} /dev/zero | cg-enter | mini-init wc -c"), |chain| {
        chain.run().expect(0, format!("{size}\n"), like("*not PID 1*"));
    });
    let scratch = Scratch::new(user);
    let file = scratch.file("file", "from a file\n");
    in_each(user, format!("cg-enter <{} | ns-unshare | mini-init cat", file.display()), |chain| {
        chain.run().expect(0, "from a file\n", "");
    });
}

fn any_tool_can_have_the_command(user: User) {
    let root = rootfs(user);
    let pivot = format!("fs-pivot {root}");
    for last in ["ns-unshare", "ns-unshare | priv-drop", &format!("ns-unshare | {pivot}")] {
        for gap in ["", "-- "] {
            let text = format!("cg-enter | {last} {gap}/bin/sh -c 'echo hello'");
            in_each(user, text, |chain| {
                chain.run().expect(0, "hello\n", "");
            });
        }
    }
}

fn one_stage_alone(user: User) {
    in_each(user, "cg-enter | ns-unshare true; cg-enter | mini-init --no-plan true", |chain| {
        chain.run().expect(0, "", any());
    });
}

fn a_saved_plan(user: User) {
    let root = rootfs(user);
    let scratch = Scratch::new(user);
    let text = format!(
        "cg-enter --name web | ns-unshare | fs-pivot {root} >web.plan; cat web.plan; \
         echo hi | mini-init --plan web.plan -- cat"
    );
    in_each(user, text, |chain| {
        let plan = format!(
            "{{\"catena\":1,\"stage\":[\"cg-enter\",\"--name\",\"web\"]}}\n\
             {{\"catena\":1,\"stage\":[\"ns-unshare\"]}}\n\
             {{\"catena\":1,\"stage\":[\"fs-pivot\",\"{root}\"]}}\n\
             {{\"catena\":1,\"end\":3}}\nhi\n"
        );
        chain.directory(scratch.path()).run().expect(0, plan, "");
    });
    // A plan can be carried on by another filter.
    let more = "mini-init --plan web.plan --status-fd 1 | mini-init --print true";
    script(user, "sh -c", more).directory(scratch.path()).run().expect(
        0,
        format!(
            "cg-enter --name web -- ns-unshare -- fs-pivot {root} -- mini-init --status-fd 1 -- \
             mini-init -- true\n"
        ),
        "",
    );
}

fn a_plan_through_other_programs(user: User) {
    need!(need::program("jq"));
    let scratch = Scratch::new(user);
    for between in ["cat", "jq -c .", "tee copy.plan", "cat | cat | jq -c ."] {
        let text =
            format!("cg-enter | ns-unshare | {between} | mini-init --plan - sh -c 'echo $$'");
        in_each(user, &text, |chain| {
            chain.directory(scratch.path()).run().expect(0, "2\n", "");
        });
        // Without being asked to, nobody takes a plan from them.
        in_each(user, text.replace("--plan -", ""), |chain| {
            let refused = like("mini-init: *\nhint: --plan - reads a plan*\n");
            chain.directory(scratch.path()).run().expect(125, "", refused);
        });
    }
    // Edited on the way.
    let edit = r#"jq -c 'if .stage then .stage += ["--hostname","blue"] else . end'"#;
    let text = format!("ns-unshare | {edit} | mini-init --plan - hostname");
    in_each(user, text, |chain| {
        chain.run().expect(0, "blue\n", "");
    });
}

fn print_is_the_chain(user: User) {
    let text = "cg-enter | ns-unshare --pid | mini-init --print app 'a b'";
    in_each(user, text, |chain| {
        chain.run().expect(0, "cg-enter -- ns-unshare --pid -- mini-init -- app 'a b'\n", "");
    });
    // What is printed does the same, whatever its words are.
    let word = r#"$(printf 'a'\''b "c" $d `e` \\ \377 \t ~ * \n.')"#;
    let app = r#"sh -c 'printf "%s\0" "$X" "$@" $$ | od -c' sh"#;
    let last = format!("mini-init --env X=\"{word}\" -- {app} \"{word}\" ''");
    let printed = last.replacen("mini-init", "mini-init --print", 1);
    let text =
        format!("cg-enter | ns-unshare | {last}; eval \"$(cg-enter | ns-unshare | {printed})\"");
    // dash has no $'...' for the bytes that a word can't otherwise hold.
    for shell in shells().into_iter().filter(|shell| !shell.starts_with("dash")) {
        let outcome = script(user, shell, &text).run();
        outcome.expect(0, like("*377*377*"), "");
        let (one, other) = outcome.stdout.split_at(outcome.stdout.len() / 2);
        assert_eq!(one, other, "{outcome}");
    }
}

fn the_status_is_the_apps(user: User) {
    in_each(user, "cg-enter | ns-unshare | mini-init sh -c 'exit 42'", |chain| {
        chain.run().expect(42, "", "");
    });
    in_each(user, "cg-enter | ns-unshare | mini-init /none", |chain| {
        chain.run().expect(
            127,
            "",
            "mini-init: can't execute: '/none': No such file or directory\n",
        );
    });
    in_each(user, "cg-enter | ns-unshare | mini-init sh -c 'kill -TERM $$'; echo $?", |chain| {
        chain.run().expect(0, "143\n", any());
    });
}

fn every_stage_ends_with_0(user: User) {
    for shell in ["bash -c", "zsh -c", "busybox sh -c"] {
        let text = "set -o pipefail; cg-enter | ns-unshare | mini-init true && echo well";
        script(user, shell, text).run().expect(0, "well\n", "");
    }
    let text = "cg-enter | ns-unshare | priv-drop | mini-init true; echo ${PIPESTATUS[@]}";
    script(user, "bash -c", text).run().expect(0, "0 0 0 0\n", "");
    let text = text.replace("true;", "sh -c 'exit 3';");
    script(user, "bash -c", text).run().expect(0, "0 0 0 3\n", "");
}

fn in_a_script(user: User) {
    let scratch = Scratch::new(user);
    for shell in ["bash", "dash", "zsh", "busybox sh"] {
        let text = format!(
            "#!/usr/bin/env -S {shell}\nset -e\n\
             echo hi | cg-enter | ns-unshare | mini-init cat\ncg-enter | ns-unshare | mini-init -- echo last\n"
        );
        let file = scratch.script("start", &text);
        Chain::new(user, "").arg(file).run().expect(0, "hi\nlast\n", "");
    }
}

fn in_a_makefile(user: User) {
    need!(need::program("make"));
    let scratch = Scratch::new(user);
    let recipe = "all:\n\t@echo hi | cg-enter | ns-unshare | mini-init cat\n\
                  \t@cg-enter | ns-unshare | mini-init echo last\n";
    scratch.file("Makefile", recipe);
    for jobs in ["", "-j4"] {
        let chain = Chain::new(user, &format!("make -s {jobs}")).directory(scratch.path());
        chain.run().expect(0, "hi\nlast\n", "");
    }
}

/// A program that runs another as its child, with the same descriptors, as sudo does.
const FORKS: &str = "python3 -c 'import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))'";
/// One that hands on standard input itself, as sudo with a log does.
const RELAYS: &str = "python3 -c 'import subprocess, sys; \
                      sys.exit(subprocess.run(sys.argv[1:], input=sys.stdin.buffer.read()).returncode)'";

fn below_a_wrapper_that_forks(user: User) {
    need!(need::program("python3"));
    in_each(user, format!("echo hi | cg-enter | ns-unshare | {FORKS} mini-init cat"), |chain| {
        chain.run().expect(0, "hi\n", "");
    });
    // The wrapper around all of it.
    let text = format!("echo hi | {FORKS} sh -c 'cg-enter | ns-unshare | mini-init cat'");
    in_each(user, text, |chain| {
        // The shell's stdin, which the first stage has, is the app's.
        chain.run().expect(0, "hi\n", "");
    });
}

fn below_a_wrapper_that_relays(user: User) {
    need!(need::program("python3"));
    in_each(user, format!("cg-enter | ns-unshare | {RELAYS} mini-init echo started"), |chain| {
        // Who writes can't be seen through the relay, and this is no guess.
        let said = like("mini-init: *\nhint: --plan - reads a plan*\n");
        chain.run().expect(125, "", said);
    });
    let text = format!("cg-enter | ns-unshare | {RELAYS} mini-init --plan - echo started");
    in_each(user, text, |chain| {
        chain.run().expect(0, "started\n", "");
    });
}

fn wrappers_before_a_filter(user: User) {
    for wrapper in ["env", "nice", "nohup", "setsid", "timeout 9", "env sh -c 'exec \"$@\"' sh"] {
        let text =
            format!("echo hi | {wrapper} ns-unshare | {wrapper} mini-init sh -c 'cat; echo $$'");
        in_each(user, text, |chain| {
            chain.run().expect(0, "hi\n2\n", any());
        });
    }
}

fn in_a_named_pipe(user: User) {
    let scratch = Scratch::new(user);
    // In a subshell: busybox gives up opening a fifo when a child of its own ends meanwhile.
    let text = "rm -f fifo; mkfifo fifo; (echo hi | ns-unshare) >fifo & mini-init cat <fifo";
    in_each(user, text, |chain| {
        chain.directory(scratch.path()).run().expect(0, "hi\n", "");
    });
}

fn in_braces(user: User) {
    for text in [
        "{ echo hi | cg-enter; } | { ns-unshare | mini-init cat; }",
        "(echo hi | cg-enter) | (ns-unshare | mini-init cat)",
        "echo hi | cg-enter | { ns-unshare | { mini-init cat; }; }",
        "f() { mini-init cat; }; echo hi | ns-unshare | f",
        "x=$(echo hi | ns-unshare | mini-init cat); echo $x",
        "echo hi | ns-unshare | mini-init cat | cat",
        "if echo hi | ns-unshare | mini-init cat; then :; fi",
    ] {
        in_each(user, text, |chain| {
            chain.run().expect(0, "hi\n", any());
        });
    }
}

fn from_python(user: User) {
    need!(need::program("python3"));
    let text = "from subprocess import *\n\
        a = Popen(['cg-enter'], stdout=PIPE)\n\
        b = Popen(['ns-unshare'], stdin=a.stdout, stdout=PIPE)\n\
        c = Popen(['mini-init', 'echo', 'hi'], stdin=b.stdout)\n\
        print(c.wait(), b.wait(), a.wait(), flush=True)";
    script(user, "python3 -c", text).run().expect(0, "hi\n0 0 0\n", "");
}

fn nobody_of_the_pipe_is_left(user: User) {
    let probe = toolbox::probe().display();
    let names = |pids: BTreeSet<i32>| {
        let name = |pid| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let mut names: Vec<String> = pids.into_iter().map(name).collect();
        names.sort();
        names
    };
    let start = |line: &str| {
        let mut running = script(user, "bash -c", format!("{line} {probe} hold; exit $?")).start();
        running.wait_for("ready\n");
        running
    };
    let chain = start("cg-enter -- ns-unshare -- mini-init");
    let pipe = start("cg-enter | ns-unshare | mini-init");
    pipe.wait_until("the same as in the chain", || {
        names(pipe.processes()) == names(chain.processes())
    });
    for running in [chain, pipe] {
        for pid in running.processes() {
            if names([pid].into()) == ["probe\n"] {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
        }
        running.finish().expect(143, "ready\n", any());
    }
}

fn no_command_on_a_terminal(user: User) {
    for tool in toolbox::TOOLS.into_iter().filter(|tool| {
        !["fs-pivot", "cg-stat", "cg-signal", "chain-doctor", "listen-fds", "ns-enter"]
            .contains(tool)
    }) {
        let mut terminal = need!(catena_tests::terminal::Terminal::new());
        let outcome = Chain::new(user, tool).start_on(&mut terminal).finish();
        let said = format!(
            "{tool}: no COMMAND given\r\nhint: '{tool} [OPTIONS] -- COMMAND' runs one, \
             '{tool} [OPTIONS] | mini-init COMMAND' does so in a pipe\r\n"
        );
        outcome.expect(125, said, "");
    }
}

fn the_environment_is_the_last_stages(user: User) {
    let scratch = Scratch::new(user);
    let folder = scratch.folder("deep", user);
    let probe = toolbox::probe().display();
    let text = format!(
        "(cd /; X=1 cg-enter) | (umask 077; Y=2 ns-unshare) | (cd {}; Z=3 exec mini-init {probe})",
        folder.display()
    );
    in_each(user, text, |chain| {
        let seen = chain.see();
        assert_eq!(seen.directory, folder.display().to_string());
        assert_eq!(seen.umask, 0o022);
        let given = |name| seen.variable(name);
        assert_eq!((given("X"), given("Y"), given("Z")), (None, None, Some("3")));
        assert!(!seen.environment.iter().any(|entry| entry.starts_with("CATENA")));
    });
}

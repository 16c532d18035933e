//! mini-init --pty: a terminal of the container's own, and a relay between that and the caller's.

use catena_tests::interactive::SHELLS;
use catena_tests::pivot::isolations;
use catena_tests::terminal::Terminal;
use catena_tests::{Chain, Rootfs, Shell, User, any, each_user, like, need};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

each_user![if User::can_isolate;
    the_terminal_is_the_containers_own,
    what_is_pushed_stays_inside,
    the_callers_terminal_is_out_of_reach,
    keys_go_to_the_job_inside,
    the_size_goes_in,
    the_modes_are_as_they_were_whoever_is_killed,
    a_container_stops_and_continues,
    without_a_terminal_it_is_like_script,
    the_end_of_the_input_ends_the_app,
    no_output_is_lost,
    no_message_is_too_long_for_the_relay,
    where_nobody_reads_the_app_is_hung_up,
    the_output_of_what_is_left_comes_too,
    no_other_file_is_taken_for_a_terminal,
];

/// A container of its own file systems, and one in the host's.
const WAYS: [&str; 3] = [
    "ns-unshare -- fs-pivot --ephemeral / -- mini-init --pty --",
    "ns-unshare -- mini-init --pty --",
    "mini-init --subreaper --pty --",
];

/// What `app` shows on a terminal.
fn shown(user: User, line: &str, words: &[&str]) -> String {
    let mut terminal = Terminal::new().expect("a terminal");
    Chain::new(user, line).args(words).start_on(&mut terminal).finish().stdout
}

fn the_terminal_is_the_containers_own(user: User) {
    need!(Terminal::new());
    // Name, session, group, foreground, controlling terminal.
    let script = "tty; stty -a >/dev/null </dev/tty; cut -d ' ' -f 1,5,6,7,8 /proc/self/stat; \
                  for n in 0 1 2; do stat -Lc %t:%T /proc/self/fd/$n; done; exec ps -o tty= -p $$";
    for way in WAYS {
        let seen = shown(user, way, &["sh", "-c", script]);
        let lines: Vec<&str> = seen.lines().collect();
        assert!(lines[0].starts_with("/dev/pts/"), "{way}: {seen}");
        let fields: Vec<&str> = lines[1].split(' ').collect();
        let [_, group, session, _, foreground] = fields[..] else { panic!("{seen}") };
        assert_eq!((group, session), (session, foreground), "{way}: {seen}");
        assert!(
            lines[2].starts_with("88:") && lines[2..5].iter().all(|l| *l == lines[2]),
            "{seen}"
        );
        assert_eq!(format!("/dev/{}", lines[5].trim()), lines[0]);
    }
    // A terminal of the container's own devpts, the first one there; the caller's has no name there.
    assert!(shown(user, WAYS[0], &["tty"]).starts_with("/dev/pts/0\r\n"));
    let without = WAYS[0].replace(" --pty", "");
    assert_eq!(shown(user, &without, &["tty"]), "/dev/console\r\n");
}

fn what_is_pushed_stays_inside(user: User) {
    let knob = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti").unwrap_or_default();
    need!((knob.trim() != "0").then_some(()).ok_or("TIOCSTI is off: dev.tty.legacy_tiocsti=0"));
    let pushes = |isolation: &str, options: &str| {
        let mut shell = Shell::start(user, "dash -i").expect("a shell on a terminal");
        let probe = catena_tests::toolbox::probe();
        shell.line(&format!(
            "{isolation} mini-init {options} -- {} push 'echo $((6*7))pushed\n'",
            probe.display()
        ));
        shell.wait_for("ok\r\n");
        shell.wait_until_back();
        shell.status();
        shell.exit().stdout.contains("42pushed")
    };
    need!(Terminal::new());
    for isolation in isolations(user) {
        assert!(pushes(isolation, ""), "the attack itself does not work");
        assert!(!pushes(isolation, "--pty"), "{isolation}");
    }
}

fn the_callers_terminal_is_out_of_reach(user: User) {
    need!(Terminal::new());
    // What holds it is PID 1, whose descriptors a process of the same user can look at.
    let looks = |way: &str| {
        let test = "readlink /proc/1/fd/2 >/dev/null && echo open || echo closed";
        shown(user, way, &["sh", "-c", test])
    };
    for isolation in isolations(user) {
        let way = format!("{isolation} fs-pivot --ephemeral / -- priv-drop -- mini-init");
        assert_eq!(looks(&format!("{way} --")), "open\r\n");
        assert_eq!(looks(&format!("{way} --pty --")), "closed\r\n");
    }
    // Outside of a PID namespace also what was started, which stays as the guard.
    let looks = |way: &str| {
        let test = "guard=$(cut -d ' ' -f 4 /proc/$PPID/stat); for one in $PPID $guard; do \
                    readlink /proc/$one/fd/2 >/dev/null && echo open || echo closed; done";
        shown(user, way, &["sh", "-c", test])
    };
    let way = match user {
        User::Root => "priv-drop -- mini-init --subreaper",
        User::Ordinary => "mini-init --subreaper",
    };
    assert_eq!(looks(&format!("{way} --")), "open\r\nopen\r\n");
    assert_eq!(looks(&format!("{way} --pty --")), "closed\r\nclosed\r\n");
}

/// Waits until the job has a process called `name` in `state`, as ps(1) shows it.
#[track_caller]
fn wait_for_process(shell: &Shell, name: &str, state: char) -> i32 {
    let found = || {
        shell.job().into_iter().find(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.contains(&format!("({name}) {state} "))
        })
    };
    shell.wait_until(&format!("{name} is {state}"), || found().is_some());
    found().unwrap_or_default()
}

fn keys_go_to_the_job_inside(user: User) {
    for inner in SHELLS {
        for way in WAYS {
            let mut shell = need!(Shell::start(user, "dash -i"));
            shell.line(&format!("{way} {inner}"));
            shell.wait_until("the relay has the keys", || !shell.reads_lines());
            shell.status();
            shell.line("sleep 1000");
            wait_for_process(&shell, "sleep", 'S');
            shell.type_in("\x1a");
            wait_for_process(&shell, "sleep", 'T');
            shell.status();
            shell.line("fg");
            wait_for_process(&shell, "sleep", 'S');
            shell.type_in("\x03");
            assert_eq!(shell.status(), 130, "{way}{inner}");
            shell.line("stty -echo; exit 5");
            shell.wait_for_status(5);
            assert!(shell.reads_lines());
            shell.exit();
        }
    }
}

fn the_size_goes_in(user: User) {
    let mut terminal = need!(Terminal::new());
    terminal.resize(33, 77);
    let script =
        "trap 'stty size; exit' WINCH; stty size; echo ready; while :; do sleep 0.01; done";
    let mut running = Chain::new(user, WAYS[0]).args(["sh", "-c", script]).start_on(&mut terminal);
    running.wait_for("33 77\r\nready\r\n");
    terminal.resize(44, 88);
    running.wait_for("44 88\r\n");
    running.finish();
}

fn the_modes_are_as_they_were_whoever_is_killed(user: User) {
    for way in WAYS {
        let mut shell = need!(Shell::start(user, "dash -i"));
        // Nobody is killed; then each of the processes but the first, whose end bash alone repairs.
        for victim in 0..3 {
            shell
                .line(&format!("{way} sh -c 'stty -echo; echo \"<\"ready{victim}\">\"; exec cat'"));
            shell.wait_for(&format!("<ready{victim}>"));
            assert!(!shell.reads_lines());
            let job = shell.job();
            assert_eq!(job.len(), 3, "{job:?}");
            match victim {
                0 => shell.type_in("\x04"),
                _ => kill(Pid::from_raw(job[victim]), Signal::SIGKILL).expect("kill"),
            }
            shell.wait_for_status(if victim == 0 { 0 } else { 137 });
            let gone = |pid: &i32| !std::path::Path::new(&format!("/proc/{pid}")).exists();
            shell.wait_until("all are gone", || job.iter().all(gone));
            assert!(shell.reads_lines(), "{way}: {victim}");
        }
        shell.exit();
    }
}

/// Waits until the monitor `pid`, which was stopped and is continued, blocks all signals again: until
/// it has come to that, what stops a process by default stops it alone.
#[track_caller]
fn wait_until_awake(shell: &Shell, pid: i32) {
    let blocks = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t"));
        let mask = line.and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
        mask & 1 << (Signal::SIGTSTP as i32 - 1) != 0
    };
    shell.wait_until("the monitor is awake", blocks);
}

fn a_container_stops_and_continues(user: User) {
    for name in SHELLS {
        // Others edit lines themselves, and make the terminal raw for that.
        let is_cooked = |shell: &Shell| shell.reads_lines() || !name.starts_with("dash");
        for way in WAYS {
            let mut shell = need!(Shell::start(user, name));
            shell.line(&format!("{way} cat"));
            let app = wait_for_process(&shell, "cat", 'S');
            shell.hears("once");
            let first = shell.job()[0];
            for word in ["twice", "thrice"] {
                wait_until_awake(&shell, first);
                kill(Pid::from_raw(first), Signal::SIGTSTP).expect("kill");
                shell.wait_until_back();
                assert_eq!(wait_for_process(&shell, "cat", 'T'), app);
                assert!(is_cooked(&shell), "{way}");
                shell.line("fg");
                shell.wait_until_gone();
                shell.wait_until("the relay has the keys", || !shell.reads_lines());
                assert_eq!(wait_for_process(&shell, "cat", 'S'), app);
                shell.hears(word);
            }
            wait_until_awake(&shell, first);
            kill(Pid::from_raw(first), Signal::SIGTSTP).expect("kill");
            shell.wait_until_back();
            // In the background what is typed is the shell's.
            shell.line("bg");
            wait_for_process(&shell, "cat", 'S');
            shell.wait_until_back();
            assert!(is_cooked(&shell), "{way}");
            shell.line("kill %1; wait; true");
            shell.wait_until("all are gone", || shell.job().is_empty());
            shell.wait_until_back();
            shell.exit();
        }
    }
}

fn without_a_terminal_it_is_like_script(user: User) {
    for way in WAYS {
        let chain = || Chain::new(user, way);
        // What is typed is echoed, and lines end as on a terminal.
        chain().args(["sh", "-c", "read a; echo $a; exit 3"]).stdin("x\n").run().expect(
            3,
            "x\r\nx\r\n",
            "",
        );
        chain().args(["sh", "-c", "tty >/dev/null; echo $? >&2"]).run().expect(0, any(), "");
    }
}

fn the_end_of_the_input_ends_the_app(user: User) {
    for (input, shown) in [("", ""), ("a\n", "a\n"), ("a", "a"), ("a\nb", "a\nb")] {
        let chain = Chain::new(user, "ns-unshare -- mini-init --pty -- sh -c");
        // Without echo of what is not shown otherwise: the end itself is seen as ^D.
        let script = "stty -echo -onlcr; echo ready; cat";
        let mut running = chain.arg(script).stdin(input).start();
        running.wait_for("ready\n");
        let outcome = running.finish();
        assert!(outcome.stdout.ends_with(&format!("ready\n{shown}")), "{input:?}: {outcome}");
        assert_eq!(outcome.ended, Some(0.into()), "{outcome}");
    }
    // A closed one is an empty one.
    Chain::new(user, "ns-unshare -- mini-init --pty -- cat").closed(0).run().expect(0, any(), "");
}

fn no_output_is_lost(user: User) {
    for way in WAYS {
        let outcome = Chain::new(user, way).args(["seq", "200000"]).run();
        let expected: String = (1..=200_000).map(|n| format!("{n}\r\n")).collect();
        let begins = outcome.stdout.trim_start_matches("^D\x08\x08");
        assert!(begins == expected, "{way}: {} of {} bytes", begins.len(), expected.len());
    }
}

/// What the child says before its exec goes through the new terminal too.
fn no_message_is_too_long_for_the_relay(user: User) {
    for way in WAYS {
        let outcome = Chain::new(user, way).arg("x".repeat(100_000)).run();
        outcome.expect(127, any(), any());
    }
}

fn where_nobody_reads_the_app_is_hung_up(user: User) {
    for way in WAYS {
        let chain = Chain::new(user, "bash -c");
        let script = format!("{way} yes | head -n 1; exit ${{PIPESTATUS[0]}}");
        let hung_up = 128 + Signal::SIGHUP as i32;
        chain.arg(script).run().expect(hung_up, like("*y\r\n"), "");
    }
}

fn the_output_of_what_is_left_comes_too(user: User) {
    let script = "trap '' HUP; trap 'exit 4' USR1; \
                  (trap 'echo late; exit' TERM; kill -USR1 $$; while :; do sleep 0.01; done) & wait";
    let line = "ns-unshare -- mini-init --pty -- sh -c";
    Chain::new(user, line).arg(script).run().expect(4, like("*late\r\n"), "");
}

fn no_other_file_is_taken_for_a_terminal(user: User) {
    let root = need!(Rootfs::new(user));
    let run = |root: &Rootfs| {
        let line = format!("ns-unshare -- fs-pivot --no-defaults {root} -- mini-init --pty --");
        Chain::new(user, &line).args(["/bin/probe", "exit", "0"]).run()
    };
    run(&root).expect(
        125,
        "",
        like("mini-init: can't open a new terminal: '/dev/ptmx': No such *"),
    );
    let device = root.path().join("dev");
    std::fs::create_dir_all(&device).expect("mkdir");
    let refused = like("mini-init: refused: '/dev/ptmx': it is not the multiplexer *\nhint: *\n");
    std::fs::write(device.join("ptmx"), "a file").expect("write");
    run(&root).expect(125, "", refused);
}

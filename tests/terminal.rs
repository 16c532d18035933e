//! What a person at a terminal sees: a container is one job of the shell that started it.

use catena_tests::interactive::SHELLS;
use catena_tests::pivot::isolations;
use catena_tests::terminal::Terminal;
use catena_tests::{Chain, Shell, User, each_user, need};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

each_user![if User::can_isolate;
    a_container_stops_and_continues,
    a_container_runs_in_the_background,
    a_shell_inside_has_job_control,
    without_a_shell_a_stop_has_no_effect,
    the_size_is_told,
    the_terminal_is_as_it_was_whoever_is_killed,
    what_a_program_sets_stays,
    who_joins_is_a_job_too,
    h2_input_is_not_pushed_from_a_new_session,
    without_a_terminal_the_app_is_in_a_new_session,
];

/// Ways to a PID 1, or to none, that end in mini-init.
const WAYS: [&str; 4] = [
    "ns-unshare -- mini-init --",
    // Through a foreign program, and out of a foreign program's PID namespace.
    "ns-unshare -- env X=1 mini-init --",
    "unshare --user --map-root-user --pid --fork --mount-proc mini-init --",
    "mini-init --subreaper --",
];

fn a_container_stops_and_continues(user: User) {
    for shell in SHELLS {
        for way in WAYS {
            let mut shell = need!(Shell::start(user, shell));
            shell.line(&format!("{way} cat"));
            let app = shell.wait_until_lent("cat");
            shell.hears("once");
            for word in ["twice", "thrice"] {
                shell.type_in("\x1a");
                shell.wait_until_back();
                shell.line("fg");
                assert_eq!(shell.wait_until_lent("cat"), app);
                shell.hears(word);
            }
            shell.type_in("\x04");
            shell.wait_until_back();
            shell.exit();
        }
    }
}

fn a_container_runs_in_the_background(user: User) {
    for shell in SHELLS {
        let is_bash = shell.starts_with("bash");
        for way in WAYS {
            let mut shell = need!(Shell::start(user, shell));
            shell.line(&format!("{way} sleep 1000"));
            let app = shell.wait_until_lent("sleep");
            shell.type_in("\x1a");
            shell.wait_until_back();
            shell.line("bg");
            let runs = |pid: &i32| stat(*pid).is_some_and(|stat| stat == ("sleep".into(), 'S'));
            shell.wait_until("the app runs", || shell.job().iter().any(runs));
            shell.wait_until_back();
            for is_running in [true, false] {
                shell.line("fg");
                // bash tells a running job nothing: the keys work all the same.
                match is_running && is_bash {
                    true => shell.wait_until_gone(),
                    false => {
                        shell.wait_until_lent("sleep");
                        // A stop that comes before it is continued would be lost.
                        shell.wait_until("PID 1 has continued it", || {
                            let waits =
                                |pid: &i32| stat(*pid).is_some_and(|(_, state)| state == 'S');
                            shell.job().iter().all(waits)
                        });
                    }
                }
                shell.type_in("\x1a");
                shell.wait_until_back();
            }
            shell.line("fg");
            assert_eq!(shell.wait_until_lent("sleep"), app);
            shell.type_in("\x03");
            shell.wait_for_status(130);
            shell.line("true");
            shell.exit();
        }
    }
}

/// The name and state of process `pid`, as ps(1) shows them.
fn stat(pid: i32) -> Option<(String, char)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (front, rest) = stat.rsplit_once(") ")?;
    Some((front.split_once('(')?.1.to_owned(), rest.chars().next()?))
}

fn a_shell_inside_has_job_control(user: User) {
    for inner in SHELLS {
        let mut shell = need!(Shell::start(user, "dash -i"));
        shell.line(&format!("ns-unshare -- mini-init -- {inner}"));
        let name = inner.split(' ').next().expect("a name");
        let app = shell.wait_until_lent(name);
        shell.status();
        shell.line("sleep 1000");
        shell.wait_until_lent("sleep");
        shell.type_in("\x1a");
        assert_eq!(shell.wait_until_lent(name), app);
        shell.status();
        shell.line("fg");
        shell.wait_until_lent("sleep");
        shell.type_in("\x03");
        assert_eq!(shell.wait_until_lent(name), app);
        assert_eq!(shell.status(), 128 + Signal::SIGINT as i32);
        shell.line("exit 5");
        shell.wait_for_status(5);
        shell.exit();
    }
}

fn without_a_shell_a_stop_has_no_effect(user: User) {
    for way in WAYS {
        let mut terminal = need!(Terminal::new());
        let mut running = Chain::new(user, &format!("{way} cat")).start_on(&mut terminal);
        terminal.type_in("once\n");
        running.wait_for_after("once\r\n", "once\r\n");
        terminal.type_in("\x1a");
        running.wait_for("^Z");
        terminal.type_in("twice\n");
        running.wait_for_after("twice\r\n", "twice\r\n");
        terminal.type_in("\x04");
        let outcome = running.finish();
        assert_eq!(outcome.ended, Some(0.into()), "{outcome}");
    }
}

fn the_size_is_told(user: User) {
    let mut terminal = need!(Terminal::new());
    let chain = Chain::new(user, "ns-unshare -- mini-init -- {probe} signals 1");
    let mut running = chain.start_on(&mut terminal);
    running.wait_for("ready\r\n");
    terminal.resize(33, 77);
    running.wait_for("SIGWINCH\r\n");
    running.finish();
    let mut terminal = need!(Terminal::new());
    terminal.resize(33, 77);
    let mut running =
        Chain::new(user, "ns-unshare -- mini-init -- stty size").start_on(&mut terminal);
    running.wait_for("33 77\r\n");
    running.finish();
}

fn the_terminal_is_as_it_was_whoever_is_killed(user: User) {
    let line = "ns-unshare -- ns-unshare --pid -- mini-init -- sh -c";
    for shell in SHELLS {
        // A shell takes the foreground back from whatever ended; the modes only bash restores.
        let first = if shell.starts_with("bash") { 0 } else { 1 };
        for victim in first..4 {
            let mut shell = need!(Shell::start(user, shell));
            shell.line(&format!("{line} 'stty raw -echo; echo \"<\"raw\">\"; exec sleep 1000'"));
            shell.wait_for("<raw>");
            assert!(!shell.reads_lines());
            let job = shell.job();
            assert_eq!(job.len(), 4, "{job:?}");
            kill(Pid::from_raw(job[victim]), Signal::SIGKILL).expect("kill");
            shell.wait_until_back();
            let gone = |pid: &i32| !std::path::Path::new(&format!("/proc/{pid}")).exists();
            shell.wait_until("all are gone", || job.iter().all(gone));
            assert!(shell.text().contains("<2:137>"), "victim {victim}: {}", shell.text());
            shell.line("stty -a");
            shell.wait_for(" icanon");
            shell.exit();
        }
    }
}

fn what_a_program_sets_stays(user: User) {
    let mut shell = need!(Shell::start(user, "dash -i"));
    shell.line("ns-unshare -- mini-init -- stty -echoctl");
    shell.wait_for_status(0);
    shell.line("stty -a");
    shell.wait_for("-echoctl");
    shell.exit();
}

fn who_joins_is_a_job_too(user: User) {
    drop(need!(catena_tests::cell::Cell::new(user)));
    let container = Chain::new(user, "ns-unshare -- mini-init -- {probe} hold").start();
    let pid = container.pid();
    container.wait_until("the app is there", || container.processes().len() == 3);
    for shell in SHELLS {
        let mut shell = need!(Shell::start(user, shell));
        shell.line(&format!("ns-enter --no-cgroup {pid} -- cat"));
        let app = shell.wait_until_lent("cat");
        shell.hears("once");
        shell.type_in("\x1a");
        shell.wait_until_back();
        shell.line("fg");
        assert_eq!(shell.wait_until_lent("cat"), app);
        shell.hears("twice");
        shell.type_in("\x03");
        shell.wait_for_status(130);
        shell.exit();
    }
    container.signal(Signal::SIGKILL);
    container.finish();
}

fn h2_input_is_not_pushed_from_a_new_session(user: User) {
    let legacy = std::fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    need!(Terminal::new());
    for isolation in isolations(user) {
        let pushes = |options: &str| {
            let mut terminal = Terminal::new().expect("a terminal");
            let line = format!("{isolation} mini-init {options} -- {{probe}} push x");
            let mut running = Chain::new(user, &line).start_on(&mut terminal);
            running.wait_for("\r\n");
            running.finish().stdout
        };
        if legacy.as_ref().is_ok_and(|knob| knob.trim() == "1") {
            // The attack itself.
            assert!(pushes("").contains("ok"));
        }
        // CAP_SYS_ADMIN of the host's own user namespace is let through without a session too.
        if !isolation.contains("share=user") {
            let refused = pushes("--new-session");
            assert!(refused.contains("EPERM") || refused.contains("EIO"), "{refused}");
        }
    }
}

fn without_a_terminal_the_app_is_in_a_new_session(user: User) {
    let seen = |options: &str| {
        let line = format!("mini-init --subreaper {options} -- cut -d");
        Chain::new(user, &line).args([" ", "-f", "1,6", "/proc/self/stat"]).run().stdout
    };
    let is_leader = |text: &str| {
        let (pid, session) = text.trim().split_once(' ').expect("two fields");
        pid == session
    };
    assert!(is_leader(&seen("")));
    assert!(!is_leader(&seen("--no-new-session")));
}

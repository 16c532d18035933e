//! mini-init: start the app, forward signals, reap, report its status, end what is left.

use std::time::{Duration, Instant};

use catena_tests::terminal::Terminal;
use catena_tests::{Chain, User, each_user, like, need};
use nix::sys::signal::Signal;

each_user![if User::can_isolate;
    the_app_is_the_second_process,
    the_app_leads_a_process_group,
    signals_are_forwarded,
    the_apps_signals_are_as_they_were,
    orphans_are_reaped,
    a_status_is_reported,
    a_death_by_signal_is_reported,
    what_is_left_hears_sigterm,
    what_is_deaf_is_killed_after_the_grace,
    the_status_is_the_apps_although_others_were_killed,
    a_bad_grace_is_refused,
    outside_of_a_pid_namespace_it_warns,
    as_a_subreaper_it_reaps,
    the_flags_of_other_inits_work,
    a_status_can_be_taken_for_success,
    signals_are_mapped,
    the_app_is_killed_after_the_grace_if_asked,
    all_are_waited_for,
    the_environment_is_the_one_asked_for,
    a_directory_outside_is_refused,
    the_status_is_written,
    the_app_is_in_the_foreground,
    keys_reach_the_app,
];

fn the_app_is_the_second_process(user: User) {
    let seen = Chain::new(user, "ns-unshare -- mini-init -- {probe}").see();
    assert_eq!((seen.pid, seen.ppid), (2, 1));
    let all = [(1, "mini-init".to_owned()), (2, "probe".to_owned())];
    assert_eq!(Vec::from_iter(seen.processes), all);
    let without = Chain::new(user, "ns-unshare -- {probe}").see();
    assert_eq!((without.pid, without.ppid), (1, 0));
}

fn the_app_leads_a_process_group(user: User) {
    let seen = Chain::new(user, "ns-unshare -- mini-init -- {probe}").see();
    assert_eq!(seen.pgid, seen.pid);
    let without = Chain::new(user, "ns-unshare -- {probe}").see();
    assert_ne!(without.pgid, without.pid);
}

/// All that a process can do something about, and that no terminal is behind.
const FORWARDED: [Signal; 13] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGPIPE,
    Signal::SIGALRM,
    Signal::SIGTERM,
    Signal::SIGCONT,
    Signal::SIGURG,
    Signal::SIGVTALRM,
    Signal::SIGWINCH,
    Signal::SIGIO,
];

fn signals_are_forwarded(user: User) {
    let line = format!("ns-unshare -- mini-init -- {{probe}} signals {}", FORWARDED.len());
    let mut running = Chain::new(user, &line).start();
    running.wait_for("ready\n");
    let mut heard = "ready\n".to_owned();
    for signal in FORWARDED {
        running.signal(signal);
        heard += &format!("{signal}\n");
        running.wait_for(&heard);
    }
    running.finish().expect(0, heard, "");
}

fn the_apps_signals_are_as_they_were(user: User) {
    let chain = || Chain::new(user, "ns-unshare -- mini-init -- {probe}");
    assert_eq!(chain().see().signals, Default::default());
    let seen =
        chain().ignoring(Signal::SIGPIPE).ignoring(Signal::SIGINT).blocking(Signal::SIGUSR1).see();
    let bit = |signal: Signal| 1_u64 << (signal as i32 - 1);
    assert_eq!(seen.signals.ignored, bit(Signal::SIGPIPE) | bit(Signal::SIGINT));
    assert_eq!(seen.signals.blocked, bit(Signal::SIGUSR1));
    assert_eq!(seen.signals.caught, 0);
    // What would make a lesser program miss its child's end.
    let seen = chain().ignoring(Signal::SIGCHLD).blocking(Signal::SIGCHLD).see();
    assert_eq!(seen.signals.ignored, bit(Signal::SIGCHLD));
    assert_eq!(seen.signals.blocked, bit(Signal::SIGCHLD));
}

fn orphans_are_reaped(user: User) {
    let orphans = |line: &str| Chain::new(user, line).args(["orphans", "50"]).run();
    orphans("ns-unshare -- mini-init -- {probe}").expect(0, "0 zombies\n", "");
    // A first process that does not reap.
    orphans("ns-unshare -- {probe}").expect(0, "50 zombies\n", "");
}

fn a_status_is_reported(user: User) {
    for status in [0, 1, 42, 124, 125, 126, 127, 128, 255] {
        let line = format!("ns-unshare -- mini-init -- {{probe}} exit {status}");
        Chain::new(user, &line).run().expect(status, "", "");
    }
}

fn a_death_by_signal_is_reported(user: User) {
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGINT, Signal::SIGHUP] {
        let line = format!("ns-unshare -- mini-init -- {{probe}} die {signal}");
        Chain::new(user, &line).run().expect(128 + signal as i32, "", "");
    }
}

fn what_is_left_hears_sigterm(user: User) {
    // It does not wait for the grace if nobody needs it.
    let start = Instant::now();
    let line = "ns-unshare -- mini-init --grace 60 -- {probe} daemon obedient";
    Chain::new(user, line).run().expect(0, "", "");
    assert!(start.elapsed() < Duration::from_secs(20));
}

fn what_is_deaf_is_killed_after_the_grace(user: User) {
    let start = Instant::now();
    let line = "ns-unshare -- mini-init --grace 0.5 -- {probe} daemon deaf";
    Chain::new(user, line).run().expect(0, "", "");
    assert!(start.elapsed() >= Duration::from_millis(500));
    let line = "ns-unshare -- mini-init --grace 0 -- {probe} daemon deaf";
    Chain::new(user, line).run().expect(0, "", "");
}

fn the_status_is_the_apps_although_others_were_killed(user: User) {
    let line = "ns-unshare -- mini-init --grace 0 -- sh -c";
    let outcome = Chain::new(user, line).args(["\"$0\" daemon deaf; exit 3", "{probe}"]).run();
    outcome.expect(3, "", "");
}

fn a_bad_grace_is_refused(user: User) {
    for grace in ["-1", "x", "", "nan", "inf", "1e10", "1s"] {
        let chain = Chain::new(user, "mini-init").arg(format!("--grace={grace}"));
        chain.args(["--", "{probe}"]).run().expect(125, "", like("mini-init: *\nhint: *\n"));
    }
}

/// What is said where orphans go elsewhere.
const WARNING: &str = "mini-init: not PID 1, so orphans of the app are reaped elsewhere\n\
                       hint: put ns-unshare --pid before it, or say --subreaper\n";

fn outside_of_a_pid_namespace_it_warns(user: User) {
    Chain::new(user, "mini-init -- {probe} exit 3").run().expect(3, "", WARNING);
    // The one who started it sees the app's own death.
    Chain::new(user, "mini-init -- {probe} die SIGTERM").run().expect(Signal::SIGTERM, "", WARNING);
}

fn as_a_subreaper_it_reaps(user: User) {
    need!(catena_tests::Cell::new(user));
    Chain::new(user, "mini-init --subreaper -- {probe} exit 3").run().expect(3, "", "");
    // Nothing is left, although no namespace ends it.
    let line = "mini-init --subreaper --grace 0 -- {probe} daemon deaf";
    Chain::new(user, line).run().expect(0, "", "");
}

fn the_app_is_in_the_foreground(user: User) {
    let mut terminal = need!(Terminal::new());
    let mut running =
        Chain::new(user, "ns-unshare -- mini-init -- {probe}").start_on(&mut terminal);
    running.wait_for("}\r\n");
    let seen: catena_tests::Seen =
        serde_json::from_str(running.stdout().trim_end()).expect("a report");
    assert_eq!(seen.terminal, Some(seen.pgid));
    running.finish();
}

fn keys_reach_the_app(user: User) {
    let mut terminal = need!(Terminal::new());
    let chain = Chain::new(user, "ns-unshare -- mini-init -- {probe} signals 2");
    let mut running = chain.start_on(&mut terminal);
    running.wait_for("ready\r\n");
    // Ctrl-C, Ctrl-\
    terminal.type_in("\x03");
    running.wait_for("SIGINT\r\n");
    terminal.type_in("\x1c");
    running.wait_for("SIGQUIT\r\n");
    let outcome = running.finish();
    assert_eq!(outcome.ended, Some(0.into()), "{outcome}");
}

fn the_flags_of_other_inits_work(user: User) {
    for flags in ["-s -g -e 143 -p SIGTERM", "--rewrite 15:3 --single-child", "-g", "-c -r 1:0"] {
        let line = format!("ns-unshare -- mini-init {flags} -- {{probe}} exit 3");
        Chain::new(user, &line).run().expect(3, "", "");
    }
}

fn a_status_can_be_taken_for_success(user: User) {
    let line = "ns-unshare -- mini-init --ok-exit 143 --ok-exit 7 -- {probe}";
    for (deed, status) in [("die SIGTERM", 0), ("exit 7", 0), ("exit 143", 0), ("exit 8", 8)] {
        Chain::new(user, &format!("{line} {deed}")).run().expect(status, "", "");
    }
}

fn signals_are_mapped(user: User) {
    let heard = |options: &str, signal: Signal| {
        let line = format!("ns-unshare -- mini-init {options} -- {{probe}} signals 1");
        let mut running = Chain::new(user, &line).start();
        running.wait_for("ready\n");
        running.signal(signal);
        running.signal(Signal::SIGUSR2);
        running.finish().stdout
    };
    assert_eq!(heard("--map TERM=QUIT --map USR2=ignore", Signal::SIGTERM), "ready\nSIGQUIT\n");
    assert_eq!(heard("--map HUP=ignore", Signal::SIGHUP), "ready\nSIGUSR2\n");
    assert_eq!(heard("--stop-signal INT --map USR2=0", Signal::SIGTERM), "ready\nSIGINT\n");
}

fn the_app_is_killed_after_the_grace_if_asked(user: User) {
    let line = "ns-unshare -- mini-init --grace 0.2 -- sh -c";
    let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
    let mut running = Chain::new(user, line).arg(script).start();
    running.wait_for("ready\n");
    running.signal(Signal::SIGTERM);
    running.finish().expect(137, "ready\n", "");
}

fn all_are_waited_for(user: User) {
    let app = "(sleep 0.3; echo late) & exit 4";
    let line = "ns-unshare -- mini-init --wait all -- sh -c";
    Chain::new(user, line).arg(app).run().expect(4, "late\n", "");
    let app = "(sleep 1000; echo late) & exit 4";
    let line = "ns-unshare -- mini-init -- sh -c";
    Chain::new(user, line).arg(app).run().expect(4, "", "");
}

fn the_environment_is_the_one_asked_for(user: User) {
    let line = "ns-unshare -- mini-init --clear-env --env A=b=c --chdir /usr -- /bin/sh -c";
    let script = "/usr/bin/env | /bin/grep A=; pwd";
    Chain::new(user, line).env("SECRET", "A=1").arg(script).run().expect(0, "A=b=c\n/usr\n", "");
}

fn a_directory_outside_is_refused(user: User) {
    let line = "ns-unshare -- mini-init --chdir /nowhere -- {probe}";
    let message =
        "mini-init: can't change to the directory: '/nowhere': No such file or directory\n";
    Chain::new(user, line).run().expect(125, "", message);
}

fn the_status_is_written(user: User) {
    let written = |deed: &str| {
        let line = format!("ns-unshare -- mini-init --status-fd 1 -- {{probe}} {deed}");
        let all = Chain::new(user, &line).run().stdout;
        all.lines().last().unwrap_or_default().to_owned()
    };
    assert_eq!(written("exit 3"), r#"{"event":"ended","pid":2,"exited":3,"status":3}"#);
    assert_eq!(written("die SIGKILL"), r#"{"event":"ended","pid":2,"killed":"KILL","status":137}"#);
}

//! The harness itself: what the tests say of a chain is true of a plain program.

use catena_tests::{Chain, User, any, each_user};
use nix::sys::signal::Signal;

each_user![
    the_status_and_both_streams_are_seen,
    a_death_by_signal_is_seen,
    a_program_starts_with_nothing_of_the_test_runner,
    circumstances_reach_the_program,
    a_running_program_is_heard,
    a_process_left_behind_is_noticed,
];

fn the_status_and_both_streams_are_seen(user: User) {
    let outcome = Chain::new(user, "sh -c").arg("echo out; echo err >&2; exit 3").run();
    outcome.expect(3, "out\n", "err\n");
    let wrong = |check: &dyn Fn()| {
        let check = std::panic::AssertUnwindSafe(check);
        assert!(std::panic::catch_unwind(check).is_err(), "a wrong expectation was met");
    };
    wrong(&|| drop(outcome.expect(4, any(), any()).clone()));
    wrong(&|| drop(outcome.expect(3, "", any()).clone()));
    wrong(&|| drop(outcome.expect(3, any(), "").clone()));
}

fn a_death_by_signal_is_seen(user: User) {
    Chain::new(user, "{probe} die SIGTERM").run().expect(Signal::SIGTERM, "", "");
}

fn a_program_starts_with_nothing_of_the_test_runner(user: User) {
    let seen = Chain::new(user, "{probe}").see();
    assert_eq!(seen.uids, [user.uid(); 3]);
    assert_eq!(seen.gids, [user.gid(); 3]);
    assert_eq!(seen.numbers(), [0, 1, 2]);
    assert_eq!(seen.signals, Default::default());
    assert_eq!(seen.environment.len(), 1, "{:?}", seen.environment);
    assert_eq!(seen.directory, "/");
    assert_eq!(seen.umask, 0o022);
    assert_eq!(seen.capabilities.effective == 0, !user.is_root());
    if User::suite_is_root() {
        assert!(seen.groups.is_empty(), "{:?}", seen.groups);
    }
}

fn circumstances_reach_the_program(user: User) {
    let file = std::fs::File::open("/dev/zero").expect("open /dev/zero");
    let seen = Chain::new(user, "{probe}")
        .env("COLOUR", "blue")
        .directory("/usr")
        .descriptor(7, file)
        .closed(0)
        .ignoring(Signal::SIGPIPE)
        .blocking(Signal::SIGUSR1)
        .see();
    assert_eq!(seen.variable("COLOUR"), Some("blue"));
    assert_eq!(seen.directory, "/usr");
    assert_eq!(seen.numbers(), [1, 2, 7]);
    assert_eq!(seen.signals.ignored, 1 << (Signal::SIGPIPE as u32 - 1));
    assert_eq!(seen.signals.blocked, 1 << (Signal::SIGUSR1 as u32 - 1));
    Chain::new(user, "cat").stdin("hello").run().expect(0, "hello", "");
}

fn a_running_program_is_heard(user: User) {
    let mut running = Chain::new(user, "{probe} signals 2").start();
    running.wait_for("ready\n");
    running.signal(Signal::SIGTERM);
    running.wait_for("SIGTERM\n");
    running.signal(Signal::SIGHUP);
    running.finish().expect(0, "ready\nSIGTERM\nSIGHUP\n", "");
}

fn a_process_left_behind_is_noticed(user: User) {
    catena_tests::need!(catena_tests::Cell::new(user));
    let leave = || Chain::new(user, "{probe} daemon obedient");
    let noticed = std::panic::catch_unwind(|| leave().run()).is_err();
    assert!(noticed, "a process was left behind, and nothing was said");
    leave().leaves_processes().run().expect(0, "", "");
}

//! notify-bridge: what the app says to the service manager comes from the unit's main process.

use std::collections::BTreeSet;

use catena_tests::manager::Manager;
use catena_tests::{Chain, Rootfs, Scratch, User, any, each_user, host, like};
use nix::sys::signal::Signal;

each_user![
    if can_pivot;
    the_apps_messages_arrive,
    they_come_from_the_main_process,
    fields_of_one_datagram_stay_together,
    what_would_give_power_is_not_handed_on,
    an_abstract_address,
    nonsense_does_no_harm,
    the_status_is_the_apps,
    signals_are_forwarded,
    the_app_dies_with_the_bridge,
    without_a_manager_it_only_execs,
    a_manager_that_is_not_there_is_an_error,
    nothing_is_left,
    what_a_killed_bridge_left_is_removed,
];

fn can_pivot(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Rootfs::new(user).map(drop)
}

/// A service manager, and a root for the chains that tell it something.
struct Stage {
    manager: Manager,
    root: Rootfs,
    scratch: Scratch,
}

impl Stage {
    fn new(user: User) -> Stage {
        let scratch = Scratch::new(user);
        let manager = Manager::at(&scratch.join("notify"));
        Stage { manager, root: Rootfs::new(user).expect("asked before"), scratch }
    }

    /// A chain behind these links, whose app is in a container.
    fn chain(&self, user: User, first: &str) -> Chain {
        let root = &self.root;
        let line = format!(
            "{first} ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init -- /bin/probe"
        );
        Chain::new(user, &line).env("NOTIFY_SOCKET", self.scratch.join("notify"))
    }
}

fn the_apps_messages_arrive(user: User) {
    let stage = Stage::new(user);
    let words = ["notify", "STATUS=starting", "READY=1", "STOPPING=1"];
    stage.chain(user, "notify-bridge --").args(words).run().expect(0, "ok\n", "");
    assert_eq!(stage.manager.texts(), words[1..]);
    // Farther away from the app too.
    let chain = stage.chain(user, "notify-bridge -- cg-enter --").args(words);
    if catena_tests::Cell::new(user).is_ok() {
        chain.run().expect(0, "ok\n", "");
        assert_eq!(stage.manager.texts(), words[1..]);
    }
}

fn they_come_from_the_main_process(user: User) {
    let stage = Stage::new(user);
    let sender = |first: &str| {
        let running = stage.chain(user, first).args(["notify", "READY=1"]).start();
        let (main, message) = (running.pid(), stage.manager.next());
        assert_eq!(message.text, "READY=1");
        running.finish().expect(0, "ok\n", "");
        (message.sender, main)
    };
    let (sender_with, main) = sender("notify-bridge --");
    assert_eq!(sender_with, main);
    // Where the socket itself is taken along, the app is the sender.
    let (sender_without, main) = sender("");
    assert_ne!(sender_without, main);
}

fn fields_of_one_datagram_stay_together(user: User) {
    let stage = Stage::new(user);
    let message = "READY=1\nSTATUS=all is well\n";
    stage.chain(user, "notify-bridge --").args(["notify", message]).run().expect(0, "ok\n", "");
    let texts = stage.manager.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(texts[0].trim_end(), message.trim_end());
}

fn what_would_give_power_is_not_handed_on(user: User) {
    let stage = Stage::new(user);
    let words = [
        "notify",
        "MAINPID=1",
        "MAINPID=1\nREADY=1",
        "NOTIFYACCESS=all",
        "FDSTORE=1",
        "STATUS=end",
    ];
    stage.chain(user, "notify-bridge --").args(words).run().expect(0, "ok\n", any());
    let texts: Vec<_> =
        stage.manager.texts().iter().map(|text| text.trim_end().to_owned()).collect();
    assert_eq!(texts, ["READY=1", "STATUS=end"]);
}

fn an_abstract_address(user: User) {
    let name = format!("catena-test-{}-{}", std::process::id(), user.uid());
    let manager = Manager::at_abstract(&name);
    let stage = Stage::new(user);
    let chain = |first: &str| {
        let chain = stage.chain(user, first).env("NOTIFY_SOCKET", format!("@{name}"));
        chain.args(["notify", "READY=1"]).run()
    };
    // It belongs to the host's network namespace, where the app is not.
    chain("notify-bridge --").expect(0, "ok\n", "");
    assert_eq!(manager.texts(), ["READY=1"]);
    assert!(chain("").stdout != "ok\n");
    assert_eq!(manager.texts(), [""; 0]);
}

fn nonsense_does_no_harm(user: User) {
    let stage = Stage::new(user);
    let long = format!("STATUS={}", "x".repeat(60000));
    let words =
        ["notify", "", "\n", "=", "READY", "READY=1=", long.as_str(), "\u{1}\u{7f}", "STATUS=end"];
    stage.chain(user, "notify-bridge --").args(words).run().expect(0, "ok\n", any());
    assert_eq!(stage.manager.texts().last().map(String::as_str), Some("STATUS=end"));
}

fn the_status_is_the_apps(user: User) {
    let stage = Stage::new(user);
    for status in [0, 1, 42, 125, 255] {
        let chain = stage.chain(user, "notify-bridge --").args(["exit", &status.to_string()]);
        chain.run().expect(status, "", "");
    }
    let notify = stage.scratch.join("notify");
    let chain =
        Chain::new(user, "notify-bridge -- {probe} die SIGTERM").env("NOTIFY_SOCKET", notify);
    chain.run().expect(Signal::SIGTERM, "", "");
}

fn signals_are_forwarded(user: User) {
    let stage = Stage::new(user);
    let mut running = stage.chain(user, "notify-bridge --").args(["signals", "2"]).start();
    running.wait_for("ready\n");
    running.signal(Signal::SIGHUP);
    running.wait_for("SIGHUP\n");
    running.signal(Signal::SIGTERM);
    running.finish().expect(0, "ready\nSIGHUP\nSIGTERM\n", "");
}

fn the_app_dies_with_the_bridge(user: User) {
    let stage = Stage::new(user);
    let mut running = stage.chain(user, "notify-bridge --").arg("deaf").start();
    running.wait_for("ready\n");
    running.signal(Signal::SIGKILL);
    // `finish` fails if the app lives on.
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
}

fn without_a_manager_it_only_execs(user: User) {
    let mut running = Chain::new(user, "notify-bridge -- {probe} hold").start();
    running.wait_for("ready\n");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", running.pid())).expect("comm");
    assert_eq!(name, "probe\n");
    running.signal(Signal::SIGTERM);
    running.finish().expect(Signal::SIGTERM, "ready\n", "");
    let seen = Chain::new(user, "notify-bridge -- {probe}").see();
    assert_eq!(seen.environment, Chain::new(user, "{probe}").see().environment);
}

fn a_manager_that_is_not_there_is_an_error(user: User) {
    let start = |address: &str| {
        let chain = Chain::new(user, "notify-bridge -- {probe} write /dev/stdout started");
        chain.env("NOTIFY_SOCKET", address).run()
    };
    start("/none").expect(125, "", like("notify-bridge: *'/none': *\nhint: *\n"));
    start("relative").expect(125, "", like("notify-bridge: *'relative': *\n"));
    start("@nobody-listens-here").expect(125, "", like("notify-bridge: *\n"));
}

fn nothing_is_left(user: User) {
    let stage = Stage::new(user);
    let run = stage.scratch.folder("run", user);
    let chain = || stage.chain(user, "notify-bridge --").env("RUNTIME_DIRECTORY", &run);
    let mut running = chain().arg("hold").start();
    running.wait_for("ready\n");
    assert_ne!(host::paths(&run), BTreeSet::new());
    running.signal(Signal::SIGTERM);
    running.finish().expect(128 + Signal::SIGTERM as i32, "ready\n", "");
    assert_eq!(host::paths(&run), BTreeSet::new());
    // Nor where the chain never started.
    let failed =
        Chain::new(user, "notify-bridge -- no-such-program").env("RUNTIME_DIRECTORY", &run);
    failed.env("NOTIFY_SOCKET", stage.scratch.join("notify")).run().expect(127, "", any());
    assert_eq!(host::paths(&run), BTreeSet::new());
}

fn what_a_killed_bridge_left_is_removed(user: User) {
    let stage = Stage::new(user);
    let run = stage.scratch.folder("run", user);
    let chain = || stage.chain(user, "notify-bridge --").env("RUNTIME_DIRECTORY", &run);
    let mut alive = chain().arg("hold").start();
    alive.wait_for("ready\n");
    let its = host::paths(&run);
    let mut running = chain().arg("hold").start();
    running.wait_for("ready\n");
    running.signal(Signal::SIGKILL);
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
    assert_ne!(host::paths(&run), its);
    // The next one cleans up, and leaves alone what is in use.
    chain().args(["exit", "0"]).run().expect(0, "", "");
    assert_eq!(host::paths(&run), its);
    alive.signal(Signal::SIGTERM);
    alive.finish().expect(128 + Signal::SIGTERM as i32, "ready\n", "");
    assert_eq!(host::paths(&run), BTreeSet::new());
}

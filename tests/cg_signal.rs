//! cg-signal: acting on a cgroup that runs.

use std::rc::Rc;

use catena_tests::{Cell, Chain, Running, Scratch, User, each_user, like};
use nix::sys::signal::Signal;

each_user![if Cell::can_be_made;
    term_is_the_default,
    any_signal_can_be_sent,
    every_process_gets_it,
    frozen_processes_do_nothing_until_thawed,
    a_container_can_start_frozen,
    it_waits_until_nothing_is_left,
    it_waits_no_longer_than_asked,
    what_ignores_signals_is_killed,
    it_is_removed_with_all_in_it,
    it_explains_and_does_nothing,
    a_missing_cgroup_is_an_error,
    bad_usage_is_refused,
];

fn start(user: User, cell: &Rc<Cell>, app: &str) -> Running {
    let line = format!("cg-enter --name web -- {app}");
    let mut running = Chain::new(user, &line).in_cell(cell).start();
    running.wait_for("ready\n");
    running
}

/// Runs cg-signal beside the container; gives its status.
#[track_caller]
fn act(user: User, cell: &Rc<Cell>, words: &str, status: i32) {
    let chain = Chain::new(user, &format!("cg-signal {words}"));
    chain.in_cell(cell).leaves_processes().run().expect(status, "", "");
}

fn term_is_the_default(user: User) {
    let cell = Cell::shared(user);
    let running = start(user, &cell, "{probe} hold");
    act(user, &cell, "web", 0);
    running.finish().expect(Signal::SIGTERM, "ready\n", "");
}

fn any_signal_can_be_sent(user: User) {
    let cell = Cell::shared(user);
    for (word, name) in [("USR2", "SIGUSR2"), ("sigusr1", "SIGUSR1"), ("10", "SIGUSR1")] {
        let running = start(user, &cell, "{probe} signals 1");
        act(user, &cell, &format!("web --signal {word}"), 0);
        running.finish().expect(0, format!("ready\n{name}\n").as_str(), "");
    }
}

fn every_process_gets_it(user: User) {
    let cell = Cell::shared(user);
    let script = "sleep 100 & sleep 100 & echo ready; wait";
    let chain = Chain::new(user, "cg-enter --name web -- sh -c").arg(script).in_cell(&cell);
    let mut running = chain.start();
    running.wait_for("ready\n");
    running.wait_until("all three run", || cell.processes().len() == 3);
    act(user, &cell, "web --wait=20 --signal TERM", 0);
    running.finish().expect(Signal::SIGTERM, "ready\n", "");
}

fn frozen_processes_do_nothing_until_thawed(user: User) {
    let cell = Cell::shared(user);
    let running = start(user, &cell, "{probe} signals 1");
    act(user, &cell, "web --freeze", 0);
    act(user, &cell, "web --signal USR1", 0);
    act(user, &cell, "web --wait=0.3", 124);
    act(user, &cell, "web --thaw", 0);
    running.finish().expect(0, "ready\nSIGUSR1\n", "");
}

/// Whether the cgroup `name` is frozen and somebody is in it.
fn is_frozen(cell: &Cell, name: &str) -> bool {
    let folder = cell.base_folder().join(name);
    let text = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap_or_default();
    // In this order: while nobody is in it, it is frozen too.
    let is_empty = text("cgroup.procs").is_empty();
    let state = text("cgroup.events") + &text("freezer.state");
    !is_empty && (state.contains("frozen 1") || state == "FROZEN\n")
}

fn a_container_can_start_frozen(user: User) {
    for options in ["--name web", "--name web --rm"] {
        let cell = Cell::shared(user);
        let scratch = Scratch::new(user);
        let file = scratch.join("marker");
        let app = format!("{{probe}} write {} started", file.display());
        let line = format!("cg-enter --freeze {options} -- {app}");
        let running = Chain::new(user, &line).in_cell(&cell).start();
        running.wait_until("it is frozen", || is_frozen(&cell, "web"));
        assert!(!file.exists());
        act(user, &cell, "web --thaw", 0);
        running.finish().expect(0, "ok\n", "");
        assert!(file.exists());
    }
}

fn it_waits_until_nothing_is_left(user: User) {
    let cell = Cell::shared(user);
    let running = start(user, &cell, "{probe} hold");
    let waiting = Chain::new(user, "cg-signal web --wait").in_cell(&cell).start();
    running.signal(Signal::SIGKILL);
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
    waiting.finish().expect(0, "", "");
}

fn it_waits_no_longer_than_asked(user: User) {
    let cell = Cell::shared(user);
    let running = start(user, &cell, "{probe} hold");
    act(user, &cell, "web --wait=0.1", 124);
    act(user, &cell, "web --wait=0.1 --kill", 0);
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
}

fn what_ignores_signals_is_killed(user: User) {
    let cell = Cell::shared(user);
    let chain = Chain::new(user, "cg-enter --name web -- {probe} hold").ignoring(Signal::SIGTERM);
    let mut running = chain.in_cell(&cell).start();
    running.wait_for("ready\n");
    act(user, &cell, "web", 0);
    act(user, &cell, "web --wait=0.2", 124);
    act(user, &cell, "web --kill", 0);
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
}

fn it_is_removed_with_all_in_it(user: User) {
    let cell = Cell::shared(user);
    let running = start(user, &cell, "cg-enter --name inner -- {probe} hold");
    assert!(!cell.cgroups().is_empty());
    act(user, &cell, "web --rm", 0);
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
    assert!(!cell.cgroups().iter().any(|path| path.starts_with("web")), "{:?}", cell.cgroups());
}

fn it_explains_and_does_nothing(user: User) {
    let cell = Cell::shared(user);
    let mut running = start(user, &cell, "{probe} signals 1");
    let explain = |words: &str, expected: &str| {
        let chain = Chain::new(user, &format!("cg-signal web --explain {words}"));
        chain.in_cell(&cell).leaves_processes().run().expect(0, like(expected), "");
    };
    explain("", "cg-signal: sends TERM to all processes in /*/web and below\n");
    explain(
        "--rm --kill --wait=5 --thaw -s USR1",
        "cg-signal: sends USR1 to all processes in /*/web and below\n\
         cg-signal: lets the stopped processes in /*/web go on\n\
         cg-signal: waits until no process is left in /*/web, at most 5 s\n\
         cg-signal: kills all processes in /*/web and below\n\
         cg-signal: kills what is left in /*/web, and removes it\n",
    );
    explain("--freeze", "cg-signal: stops all processes in /*/web and below\n");
    // The first signal that it gets, while it runs.
    act(user, &cell, "web -s USR2", 0);
    running.wait_for("ready\nSIGUSR2\n");
    running.finish().expect(0, "ready\nSIGUSR2\n", "");
}

fn a_missing_cgroup_is_an_error(user: User) {
    for words in ["web", "web --kill", "web --rm", "--parent none web"] {
        let chain = Chain::new(user, &format!("cg-signal {words}"));
        chain.run().expect(125, "", like("cg-signal: *No such file or directory*\n"));
    }
}

fn bad_usage_is_refused(user: User) {
    let all = ["", "..", "a/b", "web --signal NOPE", "web --freeze --thaw", "web --wait=-1", "a b"];
    for words in all {
        let chain = Chain::new(user, &format!("cg-signal {words}"));
        chain.run().expect(125, "", like("cg-signal: *\n"));
    }
}

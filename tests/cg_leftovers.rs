//! cg-enter leaves nothing behind, or the next one takes it away.

use std::rc::Rc;

use catena_tests::{Cell, Chain, Scratch, User, each_user, like, need};
use nix::sys::signal::Signal;

each_user![if Cell::can_be_made;
    what_is_left_is_killed,
    many_at_once_leave_nothing,
    nothing_is_half_made,
    leftovers_are_pruned_and_nothing_else,
    the_next_start_prunes_too,
    one_of_many_is_found_by_and_by,
];

fn what_is_left_is_killed(user: User) {
    for options in ["", "--name web --rm", "--rm"] {
        let cell = Cell::shared(user);
        let chain = Chain::new(user, &format!("cg-enter {options} --")).in_cell(&cell);
        let chain = chain.args(["sh", "-c", "sleep 100 & sleep 100 & exit 5"]);
        chain.run().expect(5, "", "");
        assert!(cell.cgroups().is_empty(), "{:?}", cell.cgroups());
        assert!(cell.processes().is_empty());
    }
}

fn many_at_once_leave_nothing(user: User) {
    need!(Cell::with(user, "pids"));
    let cell = Cell::shared(user);
    let count = if std::env::var_os("CATENA_VM").is_some() { 30 } else { 500 };
    let script = format!(
        "i=0; while [ $i -lt {count} ]; do cg-enter --rm --pids-max 9 -- true & i=$((i+1)); done; wait"
    );
    let chain = Chain::new(user, "sh -c").arg(script).in_cell(&cell);
    chain.deadline(std::time::Duration::from_secs(120)).run().expect(0, "", "");
    assert!(cell.left().is_empty(), "{:?}", cell.left());
}

fn nothing_is_half_made(user: User) {
    need!(Cell::with(user, "pids"));
    for options in [
        "--pids-max 5 --set pids.nonsense=1",
        "--pids-max 5 --set nonsense.max=1",
        "--pids-max 5 --io-latency 0:0,1ms --memory-high 1",
        "--set cgroup.max.depth=nonsense",
        "--pids-max 5 --hugetlb-max 3MB,3M",
    ] {
        for name in ["", "--name web"] {
            let cell = Cell::shared(user);
            let line = format!("cg-enter {name} {options} -- {{probe}}");
            let outcome = Chain::new(user, &line).in_cell(&cell).run();
            outcome.expect(125, "", like("cg-enter: *\n"));
            assert!(cell.left().is_empty(), "{options} leaves {:?}", cell.left());
        }
    }
}

/// Kills the monitor of an unnamed container and waits for the app to die of that.
fn leave_something(user: User, cell: &Rc<Cell>) {
    let chain = Chain::new(user, "cg-enter -- {probe} hold").in_cell(cell).leaves_processes();
    let mut running = chain.start();
    running.wait_for("ready\n");
    let before = cell.processes().len();
    running.signal(Signal::SIGKILL);
    running.wait_until("monitor and app are gone", || cell.processes().len() == before - 2);
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
    assert!(!cell.cgroups().is_empty());
}

fn leftovers_are_pruned_and_nothing_else(user: User) {
    let cell = Cell::shared(user);
    let prune = || {
        let chain = Chain::new(user, "cg-stat --prune").in_cell(&cell).leaves_processes();
        let outcome = chain.run();
        outcome.expect(0, like("*"), "");
        outcome.stdout
    };
    Chain::new(user, "cg-enter --name web -- true").in_cell(&cell).run().expect(0, "", "");
    let mut alive = Chain::new(user, "cg-enter -- {probe} hold").in_cell(&cell).start();
    alive.wait_for("ready\n");
    let before = cell.cgroups();
    leave_something(user, &cell);
    let pruned = prune();
    assert!(pruned.lines().all(|line| line.contains("/catena.")), "{pruned}");
    assert!(pruned.lines().count() >= 1, "{pruned}");
    assert_eq!(cell.cgroups(), before);
    assert_eq!(prune(), "");
    alive.signal(Signal::SIGTERM);
    alive.finish().expect(Signal::SIGTERM, "ready\n", "");
}

fn the_next_start_prunes_too(user: User) {
    let cell = Cell::shared(user);
    leave_something(user, &cell);
    Chain::new(user, "cg-enter -- true").in_cell(&cell).run().expect(0, "", "");
    assert!(cell.cgroups().is_empty(), "{:?}", cell.cgroups());
}

/// A start takes no longer the more cgroups there are, and looks at others each time.
fn one_of_many_is_found_by_and_by(user: User) {
    need!(need::program("strace"));
    let cell = Cell::shared(user);
    let scratch = Scratch::new(user);
    // How many bytes of names it reads.
    let read = || {
        let log = scratch.join("trace");
        let strace = Chain::new(user, "strace -e trace=getdents64 -o").arg(&log);
        let chain = strace.args(["cg-enter", "--", "true"]);
        chain.in_cell(&cell).run().expect(0, "", "");
        let log = std::fs::read_to_string(log).expect("a trace");
        let length = |line: &str| line.rsplit_once("= ")?.1.parse::<usize>().ok();
        log.lines().filter_map(length).sum::<usize>()
    };
    let alone = read();
    for number in 0..200 {
        let name = format!("a-name-that-is-somewhat-longer-{number}");
        std::fs::create_dir(cell.base_folder().join(name)).expect("make a cgroup");
    }
    // All of their names are more than 10 KiB.
    let among_many = read();
    assert!(among_many < alone + 8 * 1024, "{among_many} bytes of names instead of {alone}");
    leave_something(user, &cell);
    let is_left = || cell.left().iter().any(|path| path.to_string_lossy().starts_with("catena."));
    assert!(is_left());
    // A start sees some sixth of them.
    let found = (0..200).any(|_| {
        Chain::new(user, "cg-enter -- true").in_cell(&cell).run().expect(0, "", "");
        !is_left()
    });
    assert!(found, "200 starts have not removed it");
}

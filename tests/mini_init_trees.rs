//! mini-init and whatever an app does: its status is the app's, and nothing is left.

use std::time::Duration;

use catena_tests::pivot::isolations;
use catena_tests::process_trees::{Dice, End, Node};
use catena_tests::{Cell, Chain, Ended, User, each_user, need};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

each_user![if User::can_isolate;
    the_status_is_the_apps_and_nothing_is_left,
    without_an_init_orphans_are_left,
    nothing_is_left_whoever_is_killed,
];

const TREES: u64 = 25;
const WAYS: [&str; 3] = [
    "ns-unshare -- mini-init --grace 0 --",
    "mini-init --subreaper --grace 0 --",
    "ns-unshare -- mini-init --pty --grace 0 --",
];

/// What a parent of the chain is told.
fn expected(seed: u64, way: &str) -> Ended {
    match Node::app(seed).end {
        End::Exit(status) => status.into(),
        End::Signal(number) if way.starts_with("ns-unshare") => (128 + number).into(),
        End::Signal(number) => Ended::Signal(number),
        End::Never | End::Stop => unreachable!("an app ends"),
    }
}

fn the_status_is_the_apps_and_nothing_is_left(user: User) {
    need!(Cell::new(user));
    for seed in 0..TREES {
        for way in WAYS {
            let line = format!("{way} {{probe}} tree {seed}");
            // The harness fails if a process is left.
            let outcome = Chain::new(user, &line).run();
            assert_eq!(outcome.ended, Some(expected(seed, way)), "{outcome}");
            assert_eq!(outcome.stderr, "", "{outcome}");
        }
    }
}

fn without_an_init_orphans_are_left(user: User) {
    let cell = std::rc::Rc::new(need!(Cell::new(user)));
    let mut left = 0;
    for seed in 0..TREES {
        let chain = Chain::new(user, &format!("{{probe}} tree {seed}")).in_cell(&cell);
        chain.leaves_processes().run();
        left += cell.processes().len();
        cell.processes().into_iter().for_each(|pid| cell.kill(pid));
        cell.wait_until_empty(Duration::from_secs(5));
    }
    assert!(left > 0, "no tree leaves anything");
}

/// SIGKILL for one of the chain's processes, at a moment that the dice choose.
fn nothing_is_left_whoever_is_killed(user: User) {
    need!(Cell::new(user));
    let mut dice = Dice::new(4711);
    let inits =
        isolations(user).iter().map(|isolation| format!("{isolation} mini-init --grace 0 --"));
    let ways: Vec<String> = inits.chain(WAYS[1..].iter().map(|way| way.to_string())).collect();
    for round in 0..12 {
        for way in &ways {
            // Those that go on: a forest of daemons, deaf to SIGTERM.
            let script =
                "for n in 1 2 3; do setsid \"$0\" deaf >/dev/null & done; exec \"$0\" hold";
            let chain = Chain::new(user, way).args(["sh", "-c", script, "{probe}"]);
            let running = chain.start();
            // From its very start on, or when it is complete.
            let mut turns = dice.roll(100);
            while turns > 0 && running.processes().len() < 6 {
                turns -= 1;
            }
            let chain = lineage(running.pid());
            let victim = chain[dice.roll(chain.len() as u64) as usize];
            // The first that ends takes the others along, and all that the app has left.
            let _ = kill(Pid::from_raw(victim), Signal::SIGKILL);
            let outcome = running.finish();
            assert!(outcome.ended.is_some(), "{round}: {outcome}");
        }
    }
}

/// The chain's processes: who started it, and the first child of each, the app at most.
fn lineage(first: i32) -> Vec<i32> {
    let mut found = vec![first];
    while let Some(child) = child_of(found[found.len() - 1]).filter(|_| found.len() < 3) {
        found.push(child);
    }
    found
}

fn child_of(pid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

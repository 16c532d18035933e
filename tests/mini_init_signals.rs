//! mini-init between a signal and the app: every one with its number, once, with what came with it.

use std::process::Command;

use catena_tests::{Chain, Running, Shell, User, each_user, need};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

each_user![if User::can_isolate;
    every_signal_keeps_its_number_and_value,
    a_signal_to_the_job_comes_once,
    a_signal_to_any_process_of_the_chain_comes,
    a_storm_of_signals_ends,
    a_closed_status_descriptor_ends_nothing,
];

const WAYS: [&str; 3] = [
    "ns-unshare -- mini-init --",
    "mini-init --subreaper --",
    "ns-unshare -- ns-unshare --pid -- mini-init --",
];

/// The signals that the kernel keeps (KILL, STOP), that a parent hears of its child (CHLD), and
/// that stop and continue the chain itself.
const KEPT: [i32; 7] = [
    libc::SIGKILL,
    libc::SIGSTOP,
    libc::SIGCHLD,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCONT,
];

/// Sends with kill(1) of procps, which can queue a value.
fn send(running: &Running, words: &[String]) {
    let program = need::program("kill").expect("procps");
    let sent = Command::new(program).args(words).arg(running.pid().to_string()).status();
    assert!(sent.expect("kill").success(), "{words:?}");
}

fn every_signal_keeps_its_number_and_value(user: User) {
    need!(need::program("kill"));
    let numbers: Vec<i32> =
        (1..=64).filter(|number| !KEPT.contains(number) && !matches!(number, 32 | 33)).collect();
    let count = numbers.len() + 3;
    for way in &WAYS[..2] {
        let mut running = Chain::new(user, &format!("{way} {{probe}} siginfo {count}")).start();
        running.wait_for("ready\n");
        let mut heard = "ready\n".to_owned();
        for number in &numbers {
            send(&running, &[format!("-{number}")]);
            // SI_USER, as kill(2) sends it, and no value.
            heard += &format!("{number} 0 0\n");
            running.wait_for(&heard);
        }
        // Real-time signals queue, each with its value; sigqueue(3) is SI_QUEUE.
        for value in [7, 8, 7] {
            send(&running, &["-q".to_owned(), value.to_string(), "-40".to_owned()]);
            heard += &format!("40 -1 {value}\n");
        }
        running.finish().expect(0, heard, "");
    }
}

fn a_signal_to_the_job_comes_once(user: User) {
    for way in WAYS {
        let mut shell = need!(Shell::start(user, "bash --norc --noprofile -i"));
        let probe = catena_tests::toolbox::probe().display().to_string();
        shell.line(&format!("{way} {probe} siginfo 6 &"));
        shell.wait_for("ready\r\n");
        for (name, number) in [("USR1", 10), ("USR2", 12), ("HUP", 1), ("RTMIN", 34), ("USR1", 10)]
        {
            let before = shell.text();
            shell.line(&format!("kill -{name} %1"));
            shell.wait_until_grown(&before, &format!("{number} 0 0\r\n"));
        }
        shell.line("kill -TERM %1");
        shell.wait_for("15 0 0\r\n");
        shell.line("wait");
        shell.wait_until_back();
        for (number, count) in [(10, 2), (12, 1), (1, 1), (34, 1), (15, 1)] {
            let line = format!("{number} 0 0\r\n");
            let text = shell.text();
            assert_eq!(text.matches(&line).count(), count, "{way} {number}: {text}");
        }
        shell.exit();
    }
}

fn a_signal_to_any_process_of_the_chain_comes(user: User) {
    for way in WAYS {
        let mut running = Chain::new(user, &format!("{way} {{probe}} siginfo 12")).start();
        running.wait_for("ready\n");
        let mut heard = "ready\n".to_owned();
        let mut pid = running.pid();
        let mut chain = Vec::new();
        // All but the app.
        while let Some(child) = child_of(pid) {
            chain.push(pid);
            pid = child;
        }
        // Of the same one to two of them in one moment nobody can tell that it was not to both.
        for (pid, signal) in chain.iter().zip([Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGHUP]) {
            for _ in 0..3 {
                kill(Pid::from_raw(*pid), signal).expect("kill");
                heard += &format!("{} 0 0\n", signal as i32);
                running.wait_for(&heard);
            }
        }
        running.signal(Signal::SIGKILL);
        running.finish();
    }
}

fn child_of(pid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// A hundred thousand signals, while ten thousand orphans die: all are reaped, the app's status comes, and
/// what this costs mini-init grows with their number and not with time.
fn a_storm_of_signals_ends(user: User) {
    let line = "ns-unshare -- mini-init -- {probe} storm 100000 10000";
    let outcome = Chain::new(user, line).deadline(std::time::Duration::from_secs(120)).run();
    let shown = outcome.stdout.clone();
    assert_eq!(outcome.ended, Some(42.into()), "{outcome}");
    let mut words = shown.split_whitespace();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
    let (zombies, own, theirs, idle) = (number(), number(), number(), number());
    assert_eq!(zombies, 0);
    // The storm itself makes the same calls, and forks besides.
    assert!(theirs <= own + own / 2 + 10, "init took {theirs} ticks, the storm {own}");
    assert_eq!(idle, 0, "init takes time although nothing happens");
}

fn a_closed_status_descriptor_ends_nothing(user: User) {
    let (reader, writer) = std::io::pipe().expect("pipe");
    drop(reader);
    let line = "ns-unshare --keep-fd 5 -- mini-init --status-fd 5 -- {probe} exit 3";
    Chain::new(user, line).descriptor(5, writer).run().expect(3, "", "");
}

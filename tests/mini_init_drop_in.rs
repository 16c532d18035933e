//! mini-init in place of tini, dumb-init and catatonit: the rows of the manual's table, each beside
//! the real program.

use catena_tests::{Chain, Outcome, Running, Scratch, User, each_user, need};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

each_user![if User::can_isolate;
    the_status_is_the_same,
    signals_reach_the_same_processes,
    the_rest_of_the_table,
    the_table_has_no_other_rows,
];

/// Theirs, and what to write in its place: without the app.
const ROWS: [(&str, &str); 13] = [
    ("tini --", "mini-init --"),
    ("tini -s -g -e 143 -p SIGTERM -v -w --", "mini-init -s -g -e 143 -p SIGTERM -v -w --"),
    ("tini -g -e 3 --", "mini-init -g -e 3 --"),
    ("env TINI_SUBREAPER= tini --", "mini-init -s --"),
    ("env TINI_KILL_PROCESS_GROUP= tini --", "mini-init -g --"),
    ("dumb-init", "mini-init -g"),
    ("dumb-init --single-child", "mini-init --single-child"),
    ("dumb-init -c", "mini-init -c"),
    ("dumb-init --rewrite 15:2", "mini-init -g --rewrite 15:2"),
    ("dumb-init -r 15:10 -r 10:0", "mini-init -g -r 15:10 -r 10:0"),
    ("env DUMB_INIT_SETSID=0 dumb-init", "mini-init --no-new-session"),
    ("catatonit --", "mini-init --"),
    ("catatonit -g --", "mini-init -g --"),
];

/// As PID 1 of a namespace that neither has made.
const AROUND: &str = "unshare --user --map-root-user --pid --fork --mount-proc --kill-child";

fn inits() -> Result<(), String> {
    for name in ["tini", "dumb-init", "catatonit"] {
        need::program(name)?;
    }
    Ok(())
}

fn chain(user: User, init: &str, app: &str) -> Chain {
    Chain::new(user, &format!("{AROUND} {init} /bin/sh -c")).arg(app)
}

/// Runs `app` under both, and compares what the caller sees.
fn compare(user: User, app: &str, run: impl Fn(Chain) -> Outcome) {
    for (theirs, ours) in ROWS {
        let (mut a, b) = (run(chain(user, theirs, app)), run(chain(user, ours, app)));
        // What tini says of itself it says on standard output.
        let lines = a.stdout.lines().filter(|line| !line.starts_with("[INFO  tini "));
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        a.stdout = lines.concat();
        let b = Outcome { stdout: b.stdout.lines().collect::<String>(), ..b };
        assert_eq!((a.ended, &a.stdout), (b.ended, &b.stdout), "{theirs}, {ours}: {app}\n{a}\n{b}");
    }
}

fn the_status_is_the_same(user: User) {
    need!(inits());
    for app in ["exit 0", "exit 3", "exit 255", "kill -TERM $$", "kill -KILL $$", "kill -INT $$"] {
        compare(user, app, Chain::run);
    }
    // Orphans are no business of the app's.
    compare(user, "(sleep 0.01 &); (exit 9) & exit 4", Chain::run);
}

/// Sends to PID 1 from outside, and waits until it has passed that on, dropped it or died of it.
fn signal_init(running: &Running, signal: Signal) {
    let init = running.init();
    kill(Pid::from_raw(init), signal).expect("kill");
    running.wait_until("PID 1 has dealt with it", || {
        let status = std::fs::read_to_string(format!("/proc/{init}/status"));
        let Ok(status) = status else { return true };
        let is = |name: &str, value: &str| {
            status.lines().any(|line| {
                line.strip_prefix(name).is_some_and(|rest| rest.trim().starts_with(value))
            })
        };
        let none = "0000000000000000";
        is("State:", "S") && is("SigPnd:", none) && is("ShdPnd:", none)
    });
}

fn signals_reach_the_same_processes(user: User) {
    need!(inits());
    let scratch = Scratch::new(user);
    let over = scratch.join("over");
    // The app, and a child of it in the same group: each says what it hears, into one line each, until
    // the file is there. What was sent before that has been said when they see it.
    let each = |name: &str| {
        format!(
            "for s in HUP INT TERM USR1; do trap \"echo {name} $s\" $s; done; echo {name}; \
             while [ ! -e {} ]; do sleep 0.01; done",
            over.display()
        )
    };
    let app = format!("sh -c '{}' & {}; wait; exit 5", each("child"), each("app"));
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        compare(user, &app, |chain| {
            let mut running = chain.start();
            running.wait_for("child\n");
            running.wait_for("app\n");
            signal_init(&running, signal);
            // What is mapped to nothing is followed by something else.
            if signal == Signal::SIGTERM {
                signal_init(&running, Signal::SIGINT);
            }
            std::fs::write(&over, "").expect("write");
            let mut outcome = running.finish();
            std::fs::remove_file(&over).expect("remove");
            let mut lines: Vec<&str> = outcome.stdout.lines().collect();
            lines.sort_unstable();
            lines.dedup();
            outcome.stdout = lines.join("\n");
            outcome
        });
    }
}

fn the_rest_of_the_table(user: User) {
    need!(inits());
    // A pause, which nothing but SIGKILL ends; ours ends at SIGTERM too.
    for (init, signal) in
        [("catatonit -P", Signal::SIGKILL), ("mini-init sleep infinity", Signal::SIGTERM)]
    {
        let running = Chain::new(user, &format!("{AROUND} {init}")).start();
        running.wait_until("it is there", || is_there(&running, init));
        signal_init(&running, signal);
        // unshare(1) ends as its child did.
        assert!(running.finish().ended.is_some());
    }
}

/// Whether PID 1 is the init, and has started what it is to start.
fn is_there(running: &Running, init: &str) -> bool {
    let children = |pid: &str| {
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        children.unwrap_or_default().trim().to_owned()
    };
    let pid = children(&running.pid().to_string());
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let is_init = init.starts_with(name.trim()) && !name.is_empty();
    is_init && (name.trim() == "catatonit" || !children(&pid).is_empty())
}

fn the_table_has_no_other_rows(_: User) {
    let text = include_str!("../init-tool/src/help.txt");
    let table = text.split_once("In place of another init:\n").expect("the table").1;
    let rows: Vec<&str> = table.lines().take_while(|line| line.starts_with("  ")).collect();
    for row in &rows {
        let theirs = row.trim().split("  ").next().expect("a column");
        let first = theirs.trim_end_matches(" app").split(' ').next().expect("a word");
        let program = first.split('=').next().expect("a name").to_lowercase();
        let program =
            program.trim_end_matches("_subreaper").trim_end_matches("_kill_process_group");
        let program = program.trim_end_matches("_setsid").replace('_', "-");
        assert!(["tini", "dumb-init", "catatonit"].contains(&program.as_str()), "{row}");
    }
    assert_eq!(rows.len(), 10, "a row more is a row to be tested");
}

//! cg-stat: what runs, and what it uses.

use std::rc::Rc;
use std::time::Duration;

use catena_tests::need::program;
use catena_tests::terminal::Terminal;
use catena_tests::{
    Cell, Chain, Running, Scratch, User, each_user, here_or_elsewhere, like, need, toolbox,
};
use nix::sys::signal::Signal;
use serde_json::Value;

each_user![if can_make_cgroups;
    an_empty_point_has_no_rows,
    a_container_has_a_line,
    the_app_is_the_topmost_process_that_is_none_of_ours,
    json_has_every_figure,
    a_tree_goes_to_the_leaves,
    a_watch_is_json_lines,
    a_watch_on_a_terminal_is_redrawn,
    prometheus_can_read_it,
    leftovers_are_pruned_and_nothing_else,
    the_next_start_prunes_too,
    a_look_costs_few_calls,
    bad_usage_is_refused,
];

fn can_make_cgroups(user: User) -> Result<(), String> {
    Cell::new(user).map(drop)
}

fn cell(user: User) -> Rc<Cell> {
    Rc::new(Cell::new(user).expect("asked before"))
}

fn start(user: User, cell: &Rc<Cell>, line: &str) -> Running {
    let mut running = Chain::new(user, line).in_cell(cell).start();
    running.wait_for("ready\n");
    running
}

fn end(running: Running) {
    running.signal(Signal::SIGTERM);
    running.finish().expect(Signal::SIGTERM, "ready\n", "");
}

/// What cg-stat prints beside the container.
#[track_caller]
fn stat(user: User, cell: &Rc<Cell>, words: &str) -> String {
    let chain = Chain::new(user, &format!("cg-stat {words}")).in_cell(cell).leaves_processes();
    let outcome = chain.run();
    outcome.expect(0, like("*"), "");
    outcome.stdout
}

#[track_caller]
fn json(user: User, cell: &Rc<Cell>, words: &str) -> Vec<Value> {
    let text = stat(user, cell, &format!("--json {words}"));
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert!(value["time"].as_f64().is_some_and(|time| time > 1e9), "{text}");
    value["cgroups"].as_array().expect("an array").clone()
}

fn an_empty_point_has_no_rows(user: User) {
    let cell = cell(user);
    assert_eq!(stat(user, &cell, "").lines().count(), 1);
    assert!(json(user, &cell, "").is_empty());
    assert_eq!(stat(user, &cell, "--prometheus"), "");
}

fn a_container_has_a_line(user: User) {
    let cell = need!(Cell::with(user, "memory").map(Rc::new));
    let running = start(user, &cell, "cg-enter --name web --memory-max 64M -- {probe} hold");
    let table = stat(user, &cell, "");
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("NAME "), "{table}");
    assert_eq!(lines.len(), 2, "{table}");
    let cells: Vec<_> = lines[1].split_whitespace().collect();
    assert_eq!((cells[0], cells[4]), ("web", "64M"), "{table}");
    assert_eq!(cells[10], running.pid().to_string(), "{table}");
    assert!(lines[1].ends_with("probe hold"), "{table}");
    end(running);
}

fn the_app_is_the_topmost_process_that_is_none_of_ours(user: User) {
    let cell = cell(user);
    let script = format!("{} hold & sleep 100 & wait", toolbox::probe().display());
    let chain = Chain::new(user, "cg-enter -- mini-init --subreaper -- sh -c").arg(script);
    let mut running = chain.in_cell(&cell).start();
    running.wait_for("ready\n");
    let rows = json(user, &cell, "");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["command"][0], "sh", "{rows:?}");
    running.signal(Signal::SIGTERM);
    running.finish();
}

fn json_has_every_figure(user: User) {
    let cell = need!(Cell::with(user, "memory").map(Rc::new));
    need!(Cell::with(user, "pids"));
    let line = "cg-enter --name web --memory-max 64M --pids-max 9 -- {probe} hold";
    let running = start(user, &cell, line);
    let rows = json(user, &cell, "");
    let row = &rows[0];
    assert_eq!(row["name"], "web");
    assert_eq!(row["pid"], running.pid());
    assert_eq!(row["command"][1], "hold");
    assert_eq!(row["pids"], 1);
    assert_eq!(row["pids_refused"], 0);
    assert_eq!(row["memory_max"], 64 << 20);
    assert_eq!(row["oom_kill"], 0);
    let memory = row["memory"].as_u64().expect("a number");
    assert!(memory < 64 << 20, "{row}");
    for figure in ["cpu_percent", "cpu_usec", "io_read", "io_write", "oom", "pressure"] {
        assert!(row.get(figure).is_some(), "{figure} in {row}");
    }
    end(running);
}

fn a_tree_goes_to_the_leaves(user: User) {
    let cell = cell(user);
    let running =
        start(user, &cell, "cg-enter --name outer -- cg-enter --name inner -- {probe} hold");
    let names = |words: &str| -> Vec<String> {
        let rows = json(user, &cell, words);
        rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(""), ["outer"]);
    assert_eq!(names("outer"), ["inner"]);
    assert_eq!(names("--tree"), ["outer", "outer/inner"]);
    assert!(stat(user, &cell, "--tree").contains("\n  inner "));
    end(running);
}

fn a_watch_is_json_lines(user: User) {
    let cell = cell(user);
    let running = start(user, &cell, "cg-enter --name web -- {probe} hold");
    let mut watch =
        Chain::new(user, "cg-stat --watch=0.1").in_cell(&cell).leaves_processes().start();
    watch.wait_for("\n");
    std::thread::sleep(Duration::from_millis(500));
    watch.signal(Signal::SIGTERM);
    let text = watch.finish().stdout;
    assert!(text.lines().count() > 1, "{text}");
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(value["cgroups"][0]["name"], "web");
    }
    end(running);
}

fn a_watch_on_a_terminal_is_redrawn(user: User) {
    let mut terminal = need!(Terminal::new());
    let cell = cell(user);
    let running = start(user, &cell, "cg-enter --name web -- {probe} hold");
    let watch = Chain::new(user, "cg-stat --watch=0.1").in_cell(&cell).leaves_processes();
    let mut watch = watch.start_on(&mut terminal);
    // A second table in place of the first.
    watch.wait_for("\x1b[J\x1b[HNAME");
    watch.signal(Signal::SIGTERM);
    watch.finish();
    end(running);
}

/// An independent reading of the text format: each family has HELP and TYPE before its samples,
/// each sample a known form.
fn prometheus_can_read_it(user: User) {
    let cell = cell(user);
    let running = start(user, &cell, "cg-enter --name web -- {probe} hold");
    let text = stat(user, &cell, "--prometheus");
    assert!(text.contains("catena_cgroup_pids{cgroup=\"web\"} 1\n"), "{text}");
    let (mut families, mut family) = (Vec::new(), "");
    for line in text.lines() {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["#", "HELP", name, _, ..] => {
                assert!(!families.contains(&name), "{name} twice");
                family = name;
                families.push(name);
            }
            ["#", "TYPE", name, "gauge" | "counter"] => assert_eq!(name, family),
            [sample, value] => {
                let (name, labels) = sample.split_once('{').expect("labels");
                assert_eq!(name, family);
                let labels = labels.strip_suffix('}').expect("a brace");
                for label in labels.split(',') {
                    let (key, value) = label.split_once("=\"").expect("a label");
                    assert!(key.chars().all(|c| c.is_ascii_lowercase()), "{label}");
                    assert!(value.ends_with('"'), "{label}");
                }
                assert!(value.parse::<f64>().is_ok_and(|value| value >= 0.0), "{line}");
            }
            _ => panic!("not of the format: {line}"),
        }
    }
    end(running);
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
    let cell = cell(user);
    Chain::new(user, "cg-enter --name web -- true").in_cell(&cell).run().expect(0, "", "");
    let alive = start(user, &cell, "cg-enter -- {probe} hold");
    let before = cell.cgroups();
    leave_something(user, &cell);
    let pruned = stat(user, &cell, "--prune");
    assert!(pruned.lines().all(|line| line.contains("/catena.")), "{pruned}");
    assert!(pruned.lines().count() >= 1, "{pruned}");
    assert_eq!(cell.cgroups(), before);
    assert_eq!(stat(user, &cell, "--prune"), "");
    end(alive);
}

fn the_next_start_prunes_too(user: User) {
    let cell = cell(user);
    leave_something(user, &cell);
    Chain::new(user, "cg-enter -- true").in_cell(&cell).run().expect(0, "", "");
    assert!(cell.cgroups().is_empty(), "{:?}", cell.cgroups());
}

/// Its time is that of its system calls: the fewest that show what the columns hold.
fn a_look_costs_few_calls(user: User) {
    need!(program("strace"));
    let cell = cell(user);
    let scratch = Scratch::new(user);
    let calls = || {
        let log = scratch.join("trace");
        // A debug build looks at each descriptor before it closes it.
        let chain = Chain::new(user, "strace -e trace=!fcntl -o").arg(&log).arg("cg-stat");
        chain.in_cell(&cell).leaves_processes().run().expect(0, like("NAME *\n"), "");
        std::fs::read_to_string(log).expect("a trace").lines().count()
    };
    let none = calls();
    let folder = here_or_elsewhere!(cell.folder_v2());
    for number in 0..40 {
        std::fs::create_dir(folder.join(format!("c{number}"))).expect("make a cgroup");
    }
    // Whether it has cgroups in it; open, read, close for a file: the memory controller has four
    // in v2; in v1 it is found not to be there, nor is that of disks.
    let files = if cell.is_v2("memory") { 5 } else { 1 };
    let empty = calls() - none;
    assert!(empty <= 40 * (3 * files + 3) + 20, "{empty} calls for 40 empty cgroups");
    let running = start(user, &cell, "cg-enter --name web -- {probe} hold");
    let more = calls() - none - empty;
    assert!(more <= 3 * (files + 10) + 10, "{more} calls for one with a process");
    end(running);
}

fn bad_usage_is_refused(user: User) {
    for words in ["--nope", "..", "--json --prometheus", "--watch=0", "--watch=x", "--prune --json"]
    {
        let chain = Chain::new(user, &format!("cg-stat {words}"));
        chain.run().expect(125, "", like("cg-stat: *\n"));
    }
    let chain = Chain::new(user, "cg-stat none");
    chain.run().expect(125, "", like("cg-stat: *No such file or directory*\n"));
}

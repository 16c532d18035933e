//! cg-stat: what runs, and what it uses.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;

use catena_tests::need::program;
use catena_tests::terminal::Terminal;
use catena_tests::{
    Cell, Chain, Running, Scratch, User, any, each_user, here_or_elsewhere, like, need, toolbox,
};
use nix::sys::signal::Signal;
use serde_json::Value;

each_user![if Cell::can_be_made;
    an_empty_point_has_no_rows,
    a_container_has_a_line,
    the_app_is_the_topmost_process_that_is_none_of_ours,
    json_has_every_figure,
    a_tree_goes_to_the_leaves,
    a_watch_is_json_lines,
    a_watch_on_a_terminal_is_redrawn,
    prometheus_can_read_it,
    the_client_of_prometheus_reads_the_same,
    a_look_costs_few_calls,
    bad_usage_is_refused,
];

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
    let cell = Cell::shared(user);
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
    let cell = Cell::shared(user);
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
    let mut documented = documented(include_str!("../docs/man/cg-stat.txt"), "# JSON");
    if cell.folder_v2().is_err() {
        documented.retain(|key| !key.starts_with("some_") && !key.starts_with("full_"));
    }
    assert_eq!(keys(row), documented);
    end(running);
}

/// The keys of an object, and of those in it.
fn keys(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in value.as_object().into_iter().flatten() {
        found.insert(key.clone());
        // Of a resource in `pressure`, only what its object has.
        let inner = value.as_object().into_iter().flatten();
        found.extend(inner.flat_map(|(_, value)| keys(value)));
    }
    found
}

/// The keys that a manual names in one of its sections.
fn documented(manual: &str, section: &str) -> BTreeSet<String> {
    let text = manual.split_once(section).expect("the section").1;
    let text = text.split("\n# ").next().unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    lines.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn a_tree_goes_to_the_leaves(user: User) {
    let cell = Cell::shared(user);
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
    let cell = Cell::shared(user);
    let running = start(user, &cell, "cg-enter --name web -- {probe} hold");
    let watch = |interval: &str| {
        let chain = Chain::new(user, &format!("cg-stat --watch={interval}"));
        chain.in_cell(&cell).leaves_processes().start()
    };
    let mut rare = watch("1000");
    rare.wait_for("\n");
    let mut often = watch("0.1");
    for _ in 0..3 {
        let before = often.stdout();
        often.wait_for_after(&before, "\n");
    }
    let [text, once] = [often, rare].map(|watch| {
        watch.signal(Signal::SIGTERM);
        watch.finish().stdout
    });
    assert_eq!(once.lines().count(), 1, "{once}");
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(value["cgroups"][0]["name"], "web");
    }
    end(running);
}

fn a_watch_on_a_terminal_is_redrawn(user: User) {
    let mut terminal = need!(Terminal::new());
    let cell = Cell::shared(user);
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
    let cell = Cell::shared(user);
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

/// Their own parser, and the figures that it finds.
fn the_client_of_prometheus_reads_the_same(user: User) {
    let python = need!(program("python3"));
    let script = "import sys\n\
        from prometheus_client.parser import text_string_to_metric_families as parse\n\
        for family in parse(sys.stdin.read()):\n\
        \x20   assert family.documentation and family.samples, family\n\
        \x20   for sample in family.samples:\n\
        \x20       print(family.type, sample.name, sorted(sample.labels.items()), sample.value)\n";
    need!(has_module(&python, "prometheus_client"));
    let cell = Cell::shared(user);
    let running = start(user, &cell, "cg-enter --name web -- {probe} hold");
    let text = stat(user, &cell, "--prometheus");
    let parse = Chain::new(user, "").arg(&python).args(["-c", script]).stdin(text.as_str());
    let outcome = parse.run();
    outcome.expect(0, like("*\n"), "");
    let found = outcome.stdout;
    assert!(found.contains("gauge catena_cgroup_pids [('cgroup', 'web')] 1.0\n"), "{found}");
    let count = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(count(&found), count(&text), "{found}");
    // It doesn't take everything.
    let broken = text.replace("\"} ", "} ");
    let outcome = Chain::new(user, "").arg(&python).args(["-c", script]).stdin(broken).run();
    outcome.expect(1, any(), any());
    end(running);
}

fn has_module(python: &Path, name: &str) -> Result<(), String> {
    let found = Command::new(python).arg("-c").arg(format!("import {name}")).output();
    match found.is_ok_and(|output| output.status.success()) {
        true => Ok(()),
        false => Err(format!("python3 has no module '{name}'")),
    }
}

/// Its time is that of its system calls: the fewest that show what the columns hold.
fn a_look_costs_few_calls(user: User) {
    need!(program("strace"));
    let cell = Cell::shared(user);
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

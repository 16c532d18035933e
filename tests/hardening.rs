//! docs/hardening.md: what it says of each chain is what `priv-drop --report` says in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use catena_tests::pivot::{can_pivot, rootfs};
use catena_tests::{Cell, Chain, User, each_user, need};
use nix::sys::resource::{Resource, getrlimit};
use serde_json::Value;

each_user![if can_pivot;
    the_tables_are_true,
    the_tightest_chain_starts,
];

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hardening.md");
    fs::read_to_string(path).expect("docs/hardening.md")
}

/// The part of the document that is about this user.
fn section(user: User) -> String {
    let title = if user.is_root() { "## As root\n" } else { "## As an ordinary user\n" };
    let text = document();
    let (_, rest) = text.split_once(title).expect("a section for each user");
    rest.split("\n## ").next().unwrap_or_default().to_owned()
}

/// The chains of a section: `1. \`ns-unshare -- app\``.
fn chains(section: &str) -> Vec<String> {
    let chain = |line: &str| {
        let (number, rest) = line.split_once(". `")?;
        number.parse::<usize>().ok()?;
        Some(rest.strip_suffix('`')?.to_owned())
    };
    section.lines().filter_map(chain).collect()
}

/// The verdicts, by what they are about: one for each chain.
fn table(section: &str) -> BTreeMap<String, Vec<String>> {
    let row = |line: &str| {
        let mut cells: Vec<_> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        (cells.remove(0), cells)
    };
    section.lines().filter(|line| line.starts_with('|')).skip(2).map(row).collect()
}

fn report(user: User, chain: &str, root: &str) -> BTreeMap<String, String> {
    let line = chain.replace("ROOT", root);
    let line = line.strip_suffix("app").expect("the app stands last");
    let outcome = Chain::new(user, &format!("{line} priv-drop --report --json")).run();
    let report: Value =
        serde_json::from_str(&outcome.stdout).unwrap_or_else(|_| panic!("{outcome}"));
    let text = |line: &Value, field: &str| line[field].as_str().expect("text").to_owned();
    let lines = report["report"].as_array().expect("lines");
    lines.iter().map(|line| (text(line, "what"), text(line, "verdict"))).collect()
}

fn the_tables_are_true(user: User) {
    let (section, root) = (section(user), rootfs(user));
    let (chains, table) = (chains(&section), table(&section));
    assert_eq!(chains.len(), 4);
    // Where the caller allows none, there are none anyway.
    let (_, core) = getrlimit(Resource::RLIMIT_CORE).expect("getrlimit");
    let mut measured: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for chain in &chains {
        for (what, verdict) in report(user, chain, &root.to_string()) {
            measured.entry(what).or_default().push(verdict);
        }
    }
    let rows: String =
        measured.iter().map(|(what, all)| format!("| {what} | {} |\n", all.join(" | "))).collect();
    let told = |what: &String| core > 0 || what != "core dumps";
    assert_eq!(measured.keys().collect::<Vec<_>>(), table.keys().collect::<Vec<_>>(), "\n{rows}");
    for (what, verdicts) in measured.iter().filter(|(what, _)| told(what)) {
        assert_eq!(Some(verdicts), table.get(what), "{what}\n{rows}");
    }
}

fn the_tightest_chain_starts(user: User) {
    for controller in ["memory", "pids"] {
        need!(Cell::with(user, controller));
    }
    let (text, root) = (document(), rootfs(user));
    let line = text.lines().find(|line| line.starts_with("    cg-enter")).expect("the chain");
    let line = line.trim().replace("ROOT", &root.to_string());
    let line = line.strip_suffix("app").expect("the app stands last");
    let script = "echo x >/tmp/x && cat /tmp/x; echo x >/run/x; mkdir /x; env";
    let outcome = Chain::new(user, line).args(["/bin/sh", "-c", script]).run();
    let refused = |line: &str| line.contains("Read-only") || line.contains("Permission denied");
    assert!(
        outcome.stderr.lines().count() == 2 && outcome.stderr.lines().all(refused),
        "{outcome}"
    );
    assert!(outcome.stdout.starts_with("x\n") && !outcome.stdout.contains("HOME="), "{outcome}");
}

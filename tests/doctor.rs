//! chain-doctor: what it says of this host is what the tools do here.

use std::time::Duration;

use catena_tests::{Chain, Ended, User, any, each_user, like, need};
use serde_json::Value;

each_user![
    json_and_table_say_the_same,
    a_check_says_what_its_chain_does,
    the_status_is_that_of_the_main_job,
    a_failure_names_the_knob,
    what_is_found_is_there,
    a_forbidden_pidfd_is_seen,
];

fn findings(user: User) -> (Value, bool) {
    let outcome = Chain::new(user, "chain-doctor --json").run();
    let works = outcome.ended == Some(Ended::Exit(0));
    outcome.expect(if works { 0 } else { 1 }, any(), "");
    (serde_json::from_str(&outcome.stdout).expect("JSON"), works)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn json_and_table_say_the_same(user: User) {
    let (json, works) = findings(user);
    let table = Chain::new(user, "chain-doctor").run();
    table.expect(if works { 0 } else { 1 }, any(), "");
    for check in json["checks"].as_array().expect("checks") {
        let answer = if check["works"] == true { "works" } else { "no" };
        let line = format!("{:<17} {answer}\n", text(check, "name"));
        assert!(table.stdout.contains(&line), "{line:?} in {}", table.stdout);
    }
    assert_eq!(json["user"], user.uid());
    let keys: Vec<&str> = json.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(keys, ["checks", "kernel", "machine", "probes", "settings", "user", "works"]);
}

fn a_check_says_what_its_chain_does(user: User) {
    let (json, _) = findings(user);
    for check in json["checks"].as_array().expect("checks") {
        let chain = text(check, "tried");
        if chain.contains('|') {
            continue;
        }
        let outcome = Chain::new(user, chain).run();
        let works = outcome.ended == Some(Ended::Exit(0));
        assert_eq!(check["works"], works, "{check}: {outcome:?}");
        if !works {
            // A cgroup without a name has another one each time.
            let reason = text(check, "reason").split(" '").next().unwrap_or_default();
            assert!(outcome.stderr.contains(reason), "{check}: {outcome:?}");
        }
    }
}

fn the_status_is_that_of_the_main_job(user: User) {
    let (json, works) = findings(user);
    assert_eq!(json["works"], works);
    let checks = json["checks"].as_array().expect("checks");
    let main = checks.iter().find(|check| check["name"] == "container").expect("container");
    assert_eq!(main["works"], works);
}

/// In a user namespace whose limit of mount namespaces is 0, containers don't work, and the reason
/// is that knob.
fn a_failure_names_the_knob(user: User) {
    need!(user.can_isolate());
    let line = "ns-unshare --user --map-root --keep-groups -- sh -c";
    let script = "echo 0 >/proc/sys/user/max_mnt_namespaces && exec chain-doctor";
    let outcome = Chain::new(user, line).arg(script).run();
    let said = like("*container         no\n*hint: *max_mnt_namespaces*");
    outcome.expect(1, said, "");
}

fn probe(json: &Value, name: &str) -> Value {
    let probes = json["probes"].as_array().expect("probes");
    probes.iter().find(|probe| probe["name"] == name).unwrap_or_else(|| panic!("{name}")).clone()
}

/// Files that others made say the same.
fn what_is_found_is_there(user: User) {
    let (json, _) = findings(user);
    let granted = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let name = if user.is_root() { "root:".to_owned() } else { format!("{}:", user.uid()) };
        text.lines().any(|line| line.starts_with(&name))
    };
    if user.is_root() {
        let both = granted("/etc/subuid") && granted("/etc/subgid");
        assert_eq!(probe(&json, "subordinate-ids")["works"], both);
    }
    let helpers = need::program("newuidmap").is_ok() && need::program("newgidmap").is_ok();
    assert_eq!(probe(&json, "id-helpers")["works"], helpers);
    let runs = std::path::Path::new("/run/systemd/system").is_dir();
    assert_eq!(probe(&json, "systemd")["works"], runs);
    let landlock = json["checks"].as_array().expect("checks").iter();
    let landlock = landlock.clone().find(|check| check["name"] == "landlock").expect("landlock");
    assert_eq!(probe(&json, "landlock-version")["works"], landlock["works"]);
    for probe in json["probes"].as_array().expect("probes") {
        let hinted = probe["hint"].as_str().is_some_and(|hint| !hint.is_empty());
        assert_eq!(probe["works"] == false, hinted, "{probe}");
    }
}

/// Where a filter refuses the call, the line says so.
fn a_forbidden_pidfd_is_seen(user: User) {
    need!(need::program("strace"));
    let strace =
        "strace -f -qq -o /dev/null -e trace=pidfd_getfd -e inject=pidfd_getfd:error=EPERM";
    let doctor = catena_tests::toolbox::tool("chain-doctor");
    let chain = Chain::new(user, strace).arg(doctor).arg("--json");
    // strace stops every system call of everything that it tries.
    let outcome = chain.deadline(Duration::from_secs(120)).run();
    let json: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    assert_eq!(probe(&json, "pidfd")["works"], false, "{outcome}");
    assert_eq!(probe(&findings(user).0, "pidfd")["works"], true);
}

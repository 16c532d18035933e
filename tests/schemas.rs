//! What the tools print as JSON fits its schema in docs/schemas, and the schemas refuse other things.

use std::process::Command;

use catena_tests::{Chain, Ended, Rootfs, Scratch, User, any, each_user, need};

each_user![
    chain_doctor,
    cg_stat,
    the_end_of_a_cgroup,
    the_start_and_the_end_of_an_app,
    a_report_of_privileges,
];

/// Python's jsonschema, by Debian's own interpreter: a line for each text, empty where it fits.
const VALIDATE: &str = "import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
for text in sys.argv[2:]:
    errors = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(text))
    print('; '.join(error.message.replace('\\n', ' ') for error in errors))";

fn python() -> Result<(), String> {
    let tried = Command::new("/usr/bin/python3").args(["-c", "import jsonschema"]).output();
    match tried.is_ok_and(|output| output.status.success()) {
        true => Ok(()),
        false => Err("python3-jsonschema is not installed".to_owned()),
    }
}

/// What the schema `name` has against each of `texts`.
fn objections(name: &str, texts: [&str; 3]) -> Vec<String> {
    let schema = format!("{}/../docs/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new("/usr/bin/python3");
    let validated = python.args(["-c", VALIDATE, &schema]).args(texts).output().expect("python3");
    assert!(validated.status.success(), "{}", String::from_utf8_lossy(&validated.stderr));
    let said = String::from_utf8(validated.stdout).expect("UTF-8");
    said.lines().map(str::to_owned).collect()
}

/// `text` fits, and does not with one more member, or without `member`.
fn check(name: &str, text: &str, member: &str) {
    let mut value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let object = value.as_object_mut().expect("an object");
    object.insert("other".into(), 1.into());
    let with_more = serde_json::to_string(object).expect("JSON");
    object.remove("other");
    object.remove(member).unwrap_or_else(|| panic!("{member} in {text}"));
    let with_less = serde_json::to_string(object).expect("JSON");
    let said = objections(name, [text, &with_more, &with_less]);
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[0], "", "{name}: {text}");
    assert_ne!(said[1], "", "{name}: {with_more}");
    assert_ne!(said[2], "", "{name}: {with_less}");
}

fn chain_doctor(user: User) {
    need!(python());
    let outcome = Chain::new(user, "chain-doctor --json").run();
    check("chain-doctor", &outcome.stdout, "probes");
}

fn cg_stat(user: User) {
    need!(python());
    let outcome = Chain::new(user, "cg-enter -- cg-stat --parent / --json").run();
    if outcome.ended == Some(Ended::Exit(0)) {
        return check("cg-stat", &outcome.stdout, "cgroups");
    }
    let outcome = Chain::new(user, "cg-stat --json").run();
    outcome.expect(0, any(), "");
    check("cg-stat", &outcome.stdout, "cgroups");
}

fn the_end_of_a_cgroup(user: User) {
    need!(python());
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    let works = Chain::new(user, "cg-enter -- true").run();
    if works.ended != Some(Ended::Exit(0)) {
        return need::skip(&works.stderr);
    }
    for app in ["true", "sh -c kill${IFS}-9${IFS}$$"] {
        let line = format!("cg-enter --status-file status -- {app}");
        Chain::new(user, &line).directory(scratch.path()).run();
        let text = std::fs::read_to_string(scratch.path().join("status")).expect("a status");
        check("cg-enter-status", &text, "exit");
    }
}

fn the_start_and_the_end_of_an_app(user: User) {
    need!(python());
    for app in ["true", "sh -c kill${IFS}-9${IFS}$$"] {
        let line = format!("mini-init --subreaper --status-fd 1 -- {app}");
        let outcome = Chain::new(user, &line).run();
        let lines: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!(lines.len(), 2, "{outcome}");
        check("mini-init-status", lines[0], "pid");
        check("mini-init-status", lines[1], "status");
    }
}

fn a_report_of_privileges(user: User) {
    need!(python());
    need!(user.can_isolate());
    // A small root has few files to look at.
    let root = need!(Rootfs::new(user));
    let line = format!(
        "ns-unshare --keep-groups -- fs-pivot {root} -- priv-drop --keep-groups --report --json -- true"
    );
    let outcome = Chain::new(user, &line).run();
    outcome.expect(0, "", any());
    check("priv-drop-report", &outcome.stderr, "worst");
}

//! Plans as data: the text, its limits, its schema, and that a pipeline is the same container as
//! the exec chain.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use catena_tests::shell::script;
use catena_tests::{Cell, Chain, Outcome, Scratch, Seen, User, each_user, like, need, toolbox};
use chain::plan::{Line, MOST_BYTES, MOST_STAGES, Plan};
use serde_json::Value;

each_user![
    both_spellings_are_the_same,
    a_thousand_stages_through_a_pipe,
    a_mebibyte_of_words_through_a_pipe,
    absolute_paths,
    a_program_between_two_stages_of_a_plan,
];

/// A small generator of numbers (xorshift), so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn of<'a, T>(&mut self, choice: &'a [T]) -> &'a T {
        &choice[self.below(choice.len())]
    }

    /// A word of any bytes but NUL.
    fn word(&mut self) -> OsString {
        let length = self.below(12);
        let any = |random: &mut Self| 1 + random.below(255) as u8;
        let plain = |random: &mut Self| *random.of(b"aZ0 \"\\\n\t{}:,-\x7f");
        let ascii = self.below(2) == 0;
        let bytes = (0..length).map(|_| if ascii { plain(self) } else { any(self) }).collect();
        OsString::from_vec(bytes)
    }

    fn plan(&mut self) -> Plan {
        let mut plan = Plan::default();
        for _ in 0..self.below(6) {
            let mut words: Vec<OsString> = (0..self.below(5)).map(|_| self.word()).collect();
            words.retain(|word| word != "--");
            let line = if self.below(3) == 0 {
                words.insert(0, "nice".into());
                Line::Chain(words)
            } else {
                words.insert(0, self.of(chain::names::TOOLS).into());
                Line::Stage(words)
            };
            plan.push(line).expect("within the limits");
        }
        plan
    }
}

#[test]
fn what_is_printed_is_what_is_read() {
    let mut random = Random(0x5eed_0001);
    let schema = schema();
    for _ in 0..2000 {
        let plan = random.plan();
        let text = plan.print();
        assert_eq!(Plan::parse(text.as_bytes()), Ok(plan));
        for line in text.lines() {
            let value = serde_json::from_str(line).expect("JSON");
            assert!(fits(&value, &schema, &schema), "{line}");
        }
    }
}

/// What the fuzzer starts from.
#[test]
fn the_corpus() {
    let schema = schema();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/plan");
    let mut good = 0;
    for entry in fs::read_dir(folder).expect("the corpus").flatten() {
        let text = fs::read(entry.path()).expect("read");
        let Ok(plan) = Plan::parse(&text) else { continue };
        good += 1;
        assert_eq!(Plan::parse(plan.print().as_bytes()), Ok(plan), "{entry:?}");
        for line in String::from_utf8(text).expect("UTF-8").lines().filter(|line| !line.is_empty())
        {
            let value = serde_json::from_str(line).expect("JSON");
            assert!(fits(&value, &schema, &schema), "{entry:?}: {line}");
        }
    }
    assert_eq!(good, 5);
}

/// What the schema refuses, the parser refuses.
#[test]
fn the_schema_is_as_strict_as_it_can_be() {
    let schema = schema();
    for line in [
        r#"{"catena":2,"stage":["cg-enter"]}"#,
        r#"{"catena":1,"stage":["cg-enter"],"x":1}"#,
        r#"{"catena":1,"stage":["cg-enter"],"chain":["nice"]}"#,
        r#"{"catena":1,"stage":[]}"#,
        r#"{"catena":1,"stage":"cg-enter"}"#,
        r#"{"catena":1,"stage":["cg-enter",1]}"#,
        r#"{"catena":1,"stage":["cg-enter",{"bytes":"f"}]}"#,
        r#"{"catena":1,"stage":["cg-enter",{"bytes":"FF"}]}"#,
        r#"{"catena":1,"end":-1}"#,
        r#"{"catena":1}"#,
        r#"{"stage":["cg-enter"]}"#,
    ] {
        let value = serde_json::from_str(line).expect("JSON");
        assert!(!fits(&value, &schema, &schema), "{line}");
        let text = format!("{line}\n{{\"catena\":1,\"end\":1}}\n");
        assert!(Plan::parse(text.as_bytes()).is_err(), "{line}");
    }
}

fn schema() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas/plan.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the schema")).expect("JSON")
}

/// Whether `value` fits `schema`, a part of `whole`: the few words of JSON Schema that ours uses.
fn fits(value: &Value, schema: &Value, whole: &Value) -> bool {
    let part = |schema: &Value| fits(value, schema, whole);
    let number = |rule: &Value| rule.as_u64().expect("a number");
    let items = || value.as_array().map(Vec::as_slice).unwrap_or_default();
    schema.as_object().expect("a schema is an object").iter().all(|(word, rule)| {
        match word.as_str() {
            "$schema" | "$defs" | "title" => true,
            "$ref" => part(whole.pointer(&rule.as_str().expect("text")[1..]).expect("a part")),
            "oneOf" => {
                rule.as_array().expect("a list").iter().filter(|rule| part(rule)).count() == 1
            }
            "const" => value == rule,
            "type" => match rule.as_str().expect("text") {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("{other}"),
            },
            "items" => items().iter().all(|item| fits(item, rule, whole)),
            "minItems" => items().len() as u64 >= number(rule),
            "maxItems" => items().len() as u64 <= number(rule),
            "minimum" => value.as_u64().is_some_and(|value| value >= number(rule)),
            "maximum" => value.as_u64().is_none_or(|value| value <= number(rule)),
            "required" => rule
                .as_array()
                .expect("a list")
                .iter()
                .all(|key| value.get(key.as_str().expect("text")).is_some()),
            "properties" => rule
                .as_object()
                .expect("an object")
                .iter()
                .all(|(key, rule)| value.get(key).is_none_or(|value| fits(value, rule, whole))),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                object.keys().all(|key| schema["properties"].get(key).is_some())
            }),
            "pattern" => value.as_str().is_none_or(|text| {
                assert_eq!(rule, "^([0-9a-f]{2})+$");
                let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                !text.is_empty() && text.len() % 2 == 0 && text.bytes().all(is_digit)
            }),
            other => panic!("the checker doesn't know {other}"),
        }
    })
}

/// What an app sees, but for what differs from one run to the next.
fn without_numbers(mut seen: Seen) -> Seen {
    seen.namespaces.clear();
    seen.cgroups.clear();
    seen.descriptors.iter_mut().for_each(|descriptor| {
        if descriptor.target.starts_with("pipe:") {
            descriptor.target = "pipe".to_owned();
        }
    });
    seen.mounts.iter_mut().for_each(|mount| mount.propagation.clear());
    (seen.processes, seen.pgid, seen.sid) = Default::default();
    if seen.ppid != 1 {
        (seen.pid, seen.ppid) = (0, 0);
    }
    seen
}

fn both_spellings_are_the_same(user: User) {
    need!(user.can_isolate());
    need!(Cell::new(user));
    let choices: [&[&str]; 4] = [
        &["cg-enter", "cg-enter --name {name}", "cg-enter --memory-max 64M"],
        &["ns-unshare", "ns-unshare --hostname blue", "ns-unshare --share=net"],
        &[
            "priv-drop",
            "priv-drop --umask 077",
            "priv-drop --rlimit nofile=64:128",
            "priv-drop --oom-score-adj 500",
        ],
        &[
            "mini-init",
            "mini-init --env COLOUR=blue",
            "mini-init --chdir /usr",
            "mini-init --subreaper",
        ],
    ];
    let mut random = Random(0x5eed_0002 + u64::from(user.uid()));
    let probe = toolbox::probe().display();
    let mut started = 0;
    for number in 0..25 {
        let mut stages: Vec<String> = Vec::new();
        for choice in choices {
            if random.below(4) > 0 {
                stages.push(random.of(choice).replace("{name}", &format!("n{number}")));
            }
        }
        if stages.len() < 2 {
            continue;
        }
        let run = |line: String| script(user, "sh -c", format!("{line}; exit $?")).run();
        let chain = run(format!("{} -- {probe}", stages.join(" -- ")));
        let pipe = run(format!("{} -- {probe}", stages.join(" | ")));
        assert_eq!(chain.stderr, pipe.stderr);
        if chain.ended == Some(0.into()) {
            let seen = |outcome: &Outcome| {
                without_numbers(serde_json::from_str(&outcome.stdout).expect("a report"))
            };
            assert_eq!(seen(&chain), seen(&pipe), "{stages:?}");
            started += 1;
        } else {
            assert_eq!(chain.ended, pipe.ended, "{pipe}");
        }
    }
    assert!(started > 5, "{started} started");
}

fn a_thousand_stages_through_a_pipe(user: User) {
    let scratch = Scratch::new(user);
    let lines: String = (1..MOST_STAGES).map(|_| "{\"catena\":1,\"chain\":[\"env\"]}\n").collect();
    scratch.file("plan", &format!("{lines}{{\"catena\":1,\"end\":{}}}\n", MOST_STAGES - 1));
    let run = |text: &str| script(user, "sh -c", text).directory(scratch.path()).run();
    run("priv-drop --plan plan --print true | wc -w").expect(
        0,
        format!("{}\n", MOST_STAGES + 2),
        "",
    );
    run("priv-drop --plan plan | env cat | tail -n 1").expect(
        0,
        "{\"catena\":1,\"end\":1000}\n",
        "",
    );
    run("priv-drop --plan plan | mini-init true").expect(
        125,
        "",
        "mini-init: can't add this stage to the plan: more than 1000 stages\n",
    );
}

fn a_mebibyte_of_words_through_a_pipe(user: User) {
    let scratch = Scratch::new(user);
    let word = "x".repeat(100_000);
    let count = MOST_BYTES / word.len();
    let line = |count: usize| {
        let words = vec![format!("\"{word}\""); count].join(",");
        format!("{{\"catena\":1,\"chain\":[\"env\",{words}]}}\n{{\"catena\":1,\"end\":1}}\n")
    };
    scratch.file("plan", &line(count));
    scratch.file("more", &line(count + 1));
    let run = |text: &str| script(user, "sh -c", text).directory(scratch.path()).run();
    let size =
        format!("{}\n", count * (word.len() + 1) + "env priv-drop -- mini-init -- true\n".len());
    run("priv-drop --plan plan | mini-init --print true | wc -c").expect(0, size, "");
    run("priv-drop --plan more | mini-init --print true").expect(
        125,
        "",
        like(
            "*priv-drop: can't read the plan: 'more': line 1: more than 1048576 bytes of words\n*",
        ),
    );
}

fn absolute_paths(user: User) {
    let scratch = Scratch::new(user);
    let folder = scratch.folder("here", user);
    let here = folder.display();
    let run = |line: &str| {
        let text = format!("{line} --print true");
        script(user, "sh -c", text).directory(&folder).run()
    };
    for (line, absolute) in [
        ("fs-pivot root", format!("fs-pivot {here}/root")),
        (
            "fs-pivot a:b --bind x:/y --ro-bind=v:/w:ro",
            format!("fs-pivot {here}/a:b --bind {here}/x:/y --ro-bind={here}/v:/w:ro"),
        ),
        (
            "fs-pivot --overlay a:b --upper u --work=w",
            format!("fs-pivot --overlay {here}/a:{here}/b --upper {here}/u --work={here}/w"),
        ),
        ("fs-pivot / --copy-up f:/g", format!("fs-pivot / --copy-up {here}/f:/g")),
        ("cg-enter --status-file s", format!("cg-enter --status-file {here}/s")),
        (
            "priv-drop --seccomp default --seccomp-bpf f",
            format!("priv-drop --seccomp default --seccomp-bpf {here}/f"),
        ),
        ("priv-drop --seccomp=f", format!("priv-drop --seccomp={here}/f")),
    ] {
        run(line).expect(0, format!("{line} -- true\n"), "");
        run(&format!("{line} --absolute | mini-init")).expect(
            0,
            format!("{absolute} -- mini-init -- true\n"),
            "",
        );
    }
}

fn a_program_between_two_stages_of_a_plan(user: User) {
    need!(user.can_isolate());
    need!(need::program("jq"));
    let edit =
        r#"jq -c 'if .end then {"catena":1,"chain":["nice","-n","5"]}, (.end += 1) else . end'"#;
    let text = format!("ns-unshare | {edit} | mini-init --plan - -- nice");
    let plain = Chain::new(user, "nice").run().stdout.trim().parse::<i32>().expect("a number");
    script(user, "sh -c", text).run().expect(0, format!("{}\n", plain + 5), "");
}

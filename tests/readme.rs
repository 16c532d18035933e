//! Each block of README.md that is marked as shell works when it is copied.

use std::path::Path;

use catena_tests::{Chain, Ended, Rootfs, Scratch, User, each_user, like, need};

each_user![
    every_recipe_works,
    the_recipe_with_limits_works,
    the_other_commands_work_too,
    recipes_do_what_is_said,
];

/// The blocks that are marked as shell.
fn recipes() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(path).expect("README.md");
    let blocks = text.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().expect("an end").to_owned()).collect()
}

/// A folder with what the recipes speak of: a Makefile and ./rootfs.
fn place(user: User, rootfs: &Rootfs) -> Scratch {
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    let makefile = "all:\n\t@ls /sys/class/net >made; touch /tmp/catena-left; echo $@\ntest:\n";
    std::fs::write(scratch.path().join("Makefile"), makefile).expect("write a Makefile");
    std::os::unix::fs::symlink(rootfs.path(), scratch.path().join("rootfs")).expect("symlink");
    catena_tests::scratch::give(&scratch.path().join("rootfs"), user);
    scratch
}

fn run(user: User, script: &str, scratch: &Scratch) -> catena_tests::Outcome {
    Chain::new(user, "bash -euc").arg(script).directory(scratch.path()).run()
}

fn every_recipe_works(user: User) {
    need!(user.can_isolate());
    need!(need::program("make"));
    let rootfs = need!(Rootfs::new(user));
    let scratch = place(user, &rootfs);
    assert_eq!(recipes().len(), 4);
    for recipe in recipes().into_iter().filter(|recipe| !recipe.contains("cg-enter")) {
        let outcome = run(user, &recipe, &scratch);
        assert_eq!(outcome.ended, Some(Ended::Exit(0)), "{recipe}{outcome}");
        assert_eq!(outcome.stderr, "", "{recipe}{outcome}");
    }
}

/// Apart, since a host may give an ordinary user no cgroup.
fn the_recipe_with_limits_works(user: User) {
    need!(user.can_isolate());
    need!(need::program("make"));
    need!(can_limit(user));
    let rootfs = need!(Rootfs::new(user));
    let scratch = place(user, &rootfs);
    let limited: Vec<String> =
        recipes().into_iter().filter(|recipe| recipe.contains("cg-enter")).collect();
    assert_eq!(limited.len(), 1);
    run(user, &limited[0], &scratch).expect(0, like("make: *\n"), "");
}

/// Whether cg-enter's own test program can limit memory here.
fn can_limit(user: User) -> Result<(), String> {
    let tried = Chain::new(user, "cg-enter --memory-max 256M --pids-max 64 -- true").run();
    match tried.ended {
        Some(Ended::Exit(0)) => Ok(()),
        _ => Err(tried.stderr),
    }
}

/// The commands that are no recipes: those of a plan, of an explanation, of the doctor.
fn the_other_commands_work_too(user: User) {
    need!(user.can_isolate());
    let rootfs = need!(Rootfs::new(user));
    let scratch = place(user, &rootfs);
    // The folder and the app of the text, here.
    let here = |text: &str| {
        text.replace("/srv/web", &rootfs.path().display().to_string())
            .replace("/usr/bin/web", "/bin/true")
    };
    let limits = can_limit(user);
    let mut tried = 0;
    for block in indented().iter().filter(|block| block.contains("web")) {
        if block.contains("cg-enter") && !block.contains("--explain") {
            need!(limits.clone());
        }
        let outcome = run(user, &here(block), &scratch);
        assert_eq!(outcome.ended, Some(Ended::Exit(0)), "{block}{outcome}");
        assert_eq!(outcome.stderr, "", "{block}{outcome}");
        tried += 1;
    }
    assert_eq!(tried, 2);
    // The two lines that the README begins with are one chain.
    let both: Vec<String> = indented()
        .into_iter()
        .filter(|block| block.starts_with("cg-enter --memory-max 256M") && !block.contains("web"))
        .collect();
    assert_eq!(both.len(), 2, "{both:?}");
    let explained = both.iter().map(|block| {
        let with = match block.contains(" | ") {
            true => block.replace("mini-init", "mini-init --explain"),
            false => block.replacen("cg-enter", "cg-enter --explain", 1),
        };
        run(user, &with, &scratch)
    });
    let texts: Vec<String> = explained
        .map(|outcome| {
            outcome.expect(0, like("*app: executes app: found by PATH in the new root\n"), "");
            // Each run has a cgroup of its own around it.
            let lines = outcome.stdout.lines().filter(|line| !line.starts_with("cg-enter: "));
            lines.map(|line| format!("{line}\n")).collect()
        })
        .collect();
    assert_eq!(texts[0], texts[1]);
}

/// The blocks that are indented: commands, a picture, what `make` is told.
fn indented() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = std::fs::read_to_string(path).expect("README.md");
    let mut blocks = vec![String::new()];
    for line in text.lines() {
        match line.strip_prefix("    ") {
            Some(line) => *blocks.last_mut().expect("one") += &format!("{line}\n"),
            None if !blocks.last().is_some_and(String::is_empty) => blocks.push(String::new()),
            None => {}
        }
    }
    blocks
}

fn recipes_do_what_is_said(user: User) {
    need!(user.can_isolate());
    need!(need::program("make"));
    let rootfs = need!(Rootfs::new(user));
    let scratch = place(user, &rootfs);
    let build = recipes().into_iter().find(|recipe| recipe.contains("--read-only")).expect("one");
    run(user, &build, &scratch).expect(0, "all\n", "");
    let made = std::fs::read_to_string(scratch.path().join("made")).expect("what was made");
    assert_eq!(made, "lo\n");
    assert!(!Path::new("/tmp/catena-left").exists());
}

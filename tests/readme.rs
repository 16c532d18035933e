//! Each block of README.md that is marked as shell works when it is copied.

use std::path::Path;

use catena_tests::{Chain, Ended, Rootfs, Scratch, User, each_user, need};

each_user![every_recipe_works, recipes_do_what_is_said];

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
    for recipe in recipes() {
        if recipe.contains("cg-enter") {
            let allowed = Chain::new(user, "cg-enter --memory-max 256M -- true").run();
            if allowed.ended != Some(Ended::Exit(0)) {
                continue;
            }
        }
        let outcome = run(user, &recipe, &scratch);
        assert_eq!(outcome.ended, Some(Ended::Exit(0)), "{recipe}{outcome}");
        assert_eq!(outcome.stderr, "", "{recipe}{outcome}");
    }
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

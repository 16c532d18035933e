//! The examples do what their first lines say.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use catena_tests::scratch::copy_program;
use catena_tests::{Chain, Scratch, User, any, each_user, like, need};

each_user![
    make_builds_in_containers,
    a_recipe_can_not_write_its_sources,
    a_throw_away_shell_leaves_nothing,
    a_test_runner_gives_the_status,
    a_command_is_mapped_over_files,
    chroot_is_replaced,
    a_pod_shares_network_and_nothing_else,
    an_oci_layout_becomes_a_root,
    what_umoci_and_skopeo_write_becomes_a_root,
    a_squashfs_is_run,
];

/// A copy of an example folder that the user owns.
fn example(scratch: &Scratch, user: User, folder: &str) -> PathBuf {
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(folder);
    let copy = scratch.folder(folder, user);
    for entry in std::fs::read_dir(&source).expect("an example") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            copy_program(&path, &copy.join(path.file_name().expect("a name")));
        }
    }
    copy
}

fn sources(scratch: &Scratch, user: User) -> PathBuf {
    let folder = scratch.folder("src", user);
    for name in ["one", "two"] {
        std::fs::write(folder.join(format!("{name}.txt")), name).expect("write a source");
    }
    folder
}

fn make(scratch: &Scratch, user: User) -> Chain {
    let folder = example(scratch, user, "make");
    let assign = |name: &str, path: PathBuf| format!("{name}={}", path.display());
    Chain::new(user, "make -s -j2 -C")
        .arg(folder)
        .arg(assign("SRC", scratch.path().join("src")))
        .arg(assign("OUT", scratch.path().join("src-out")))
        .arg(assign("CACHE", scratch.path().join("src-cache")))
}

/// A scratch folder that its user may write to.
fn place(user: User) -> Scratch {
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    scratch
}

fn make_builds_in_containers(user: User) {
    need!(need::program("make"));
    need!(user.can_isolate());
    let scratch = place(user);
    sources(&scratch, user);
    make(&scratch, user).run().expect(0, "", "");
    for name in ["one", "two"] {
        for folder in ["src-out", "src-cache"] {
            let sum = scratch.path().join(folder).join(format!("{name}.sum"));
            let sum = std::fs::read_to_string(&sum).expect("a result");
            assert!(sum.ends_with(" 3\n"), "{sum}");
        }
    }
}

fn a_recipe_can_not_write_its_sources(user: User) {
    need!(need::program("make"));
    need!(user.can_isolate());
    let scratch = place(user);
    let source = sources(&scratch, user).join("one.txt");
    std::fs::write(scratch.path().join("more.mk"), "\
try:\n\t$(CONTAINER) sh -c 'echo x >$(SRC)/one.txt; echo y >/tmp/left; ls /sys/class/net >$(OUT)/net'\n")
        .expect("write a makefile");
    let folder = scratch.path().join("make/Makefile");
    let more = scratch.path().join("more.mk");
    let outcome = make(&scratch, user).arg("-f").arg(folder).arg("-f").arg(more).arg("try").run();
    outcome.expect(0, "", like("*one.txt: Read-only file system\n"));
    assert_eq!(std::fs::read_to_string(source).expect("the source"), "one");
    assert!(!PathBuf::from("/tmp/left").exists());
    let net = std::fs::read_to_string(scratch.path().join("src-out/net")).expect("a list");
    assert_eq!(net, "lo\n");
}

/// A copy of an example script, which the user can read wherever the checkout is.
fn copy_of(name: &str) -> PathBuf {
    let (folder, file) = name.split_once('/').expect("a folder and a file");
    static COPIES: AtomicUsize = AtomicUsize::new(0);
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    let scratch = catena_tests::scratch::whole().join(format!("{number}-{file}"));
    let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(folder);
    copy_program(&source.join(file), &scratch);
    scratch
}

fn a_throw_away_shell_leaves_nothing(user: User) {
    need!(user.can_isolate());
    let scratch = place(user);
    let left = scratch.path().file_name().expect("a name").to_string_lossy().into_owned();
    let run = |keep: &[&str], folder: &Path, inside: &str| {
        let words = [keep, &["sh", "-c", inside]].concat();
        let shell = Chain::new(user, "sh").arg(copy_of("shell/dev-shell")).args(words);
        shell.directory(folder).run()
    };
    let inside = format!("echo in >/tmp/left-{left}; cat /tmp/left-{left}; uname -n");
    run(&[], Path::new("/usr"), &inside).expect(0, "in\nthrow-away\n", "");
    assert!(!Path::new("/tmp").join(format!("left-{left}")).exists());
    run(&["--keep"], scratch.path(), "echo kept >file").expect(0, "", "");
    let kept = std::fs::read_to_string(scratch.path().join("file"));
    assert_eq!(kept.expect("a file"), "kept\n");
    if user.is_root() {
        run(&[], Path::new("/"), "echo x >/etc/catena-left; cat /etc/catena-left")
            .expect(0, "x\n", "");
        assert!(!Path::new("/etc/catena-left").exists());
    }
}

fn a_test_runner_gives_the_status(user: User) {
    need!(user.can_isolate());
    let run = |script: &str| {
        Chain::new(user, "sh")
            .arg(copy_of("shell/ci-runner.sh"))
            .args(["/usr", "sh", "-c", script])
            .run()
    };
    let note = any;
    run("pwd; ls /sys/class/net; touch /tmp/x; exit 7").expect(7, "/usr\nlo\n", note());
    run("kill -9 $$").expect(137, "", note());
    let usage = Chain::new(user, "sh").arg(copy_of("shell/ci-runner.sh")).run();
    usage.expect(125, "", like("usage: *ci-runner.sh FOLDER COMMAND [ARG...]\n"));
}

fn a_command_is_mapped_over_files(user: User) {
    need!(user.can_isolate());
    let scratch = place(user);
    let folder = sources(&scratch, user);
    let files = ["one.txt", "two.txt"].map(|name| folder.join(name));
    let outcome = Chain::new(user, "sh")
        .arg(copy_of("shell/parallel-map"))
        .args(["2", "tr a-z A-Z; ls /sys/class/net", "--"])
        .args(files)
        .directory(scratch.path())
        .run();
    outcome.expect(0, "", "");
    for (name, text) in [("one.txt.out", "ONElo\n"), ("two.txt.out", "TWOlo\n")] {
        let result = std::fs::read_to_string(scratch.path().join(name)).expect("a result");
        assert_eq!(result, text);
    }
}

fn chroot_is_replaced(user: User) {
    need!(user.can_isolate());
    let root = need!(catena_tests::Rootfs::new(user));
    root.file("mark", "inside\n");
    let outcome = Chain::new(user, "sh")
        .arg(copy_of("shell/chroot-instead"))
        .arg(root.path())
        .args(["cat", "/mark"])
        .run();
    outcome.expect(0, "inside\n", "");
}

fn a_pod_shares_network_and_nothing_else(user: User) {
    need!(user.can_isolate());
    need!(need::program("python3"));
    let pod = copy_of("pod/pod");
    let server = "python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 4711))\n\
                  while True: s.accept()[0].sendall(b\"hello\\n\")'";
    let client = "python3 -c 'import os, socket, time\n\
                  for turn in range(200):\n  try: s = socket.create_connection((\"127.0.0.1\", 4711)); break\n\
                  \u{20} except ConnectionRefusedError: time.sleep(0.05)\n\
                  print(s.recv(9).decode(), end=\"\")\n\
                  print(sum(name.isdigit() for name in os.listdir(\"/proc\")) < 5)'";
    Chain::new(user, "sh").arg(pod).arg(server).arg(client).run().expect(0, "hello\nTrue\n", "");
}

fn an_oci_layout_becomes_a_root(user: User) {
    need!(user.can_isolate());
    need!(need::program("jq"));
    let scratch = place(user);
    let script = r#"
        set -eu
        mkdir -p a/etc a/gone l/blobs/sha256 b/etc
        echo base >a/etc/name; echo x >a/gone/x; echo y >a/etc/away
        echo top >b/etc/name; : >b/.wh.gone; : >b/etc/.wh.away
        blob() { sum=$(sha256sum <"$1"); cp "$1" "l/blobs/sha256/${sum%% *}"; echo "sha256:${sum%% *}"; }
        tar -cf a.tar -C a . ; tar -cf b.tar -C b .
        printf '{"layers":[{"digest":"%s"},{"digest":"%s"}]}' "$(blob a.tar)" "$(blob b.tar)" >m
        printf '{"manifests":[{"digest":"%s"}]}' "$(blob m)" >l/index.json
    "#;
    Chain::new(user, "sh -c").arg(script).directory(scratch.path()).run().expect(0, "", "");
    let program = copy_of("images/from-oci");
    let outcome =
        Chain::new(user, "sh").arg(program).args(["l", "root"]).directory(scratch.path()).run();
    outcome.expect(0, "", "");
    let list = Chain::new(user, "find root -type f").directory(scratch.path()).run();
    list.expect(0, "root/etc/name\n", "");
    let name = std::fs::read_to_string(scratch.path().join("root/etc/name")).expect("a file");
    assert_eq!(name, "top\n");
}

/// A layout as the programs make it that people use, its layers compressed.
fn what_umoci_and_skopeo_write_becomes_a_root(user: User) {
    need!(user.can_isolate());
    for name in ["jq", "umoci", "skopeo"] {
        need!(need::program(name));
    }
    let scratch = place(user);
    let rootless = if user.is_root() { "" } else { "--rootless" };
    let script = format!(
        "set -eu; export HOME=$PWD XDG_RUNTIME_DIR=$PWD
        umoci init --layout a; umoci new --image a:app
        layer() {{ umoci unpack {rootless} --image a:app $1; }}
        layer one; cd one/rootfs; mkdir etc gone; echo base >etc/name; echo x >gone/x; cd ../..
        umoci repack --image a:app one
        layer two; rm -r two/rootfs/gone; echo top >two/rootfs/etc/name
        umoci repack --image a:app two
        skopeo --insecure-policy --tmpdir $PWD copy -q oci:a:app oci:layout:app"
    );
    let made = Chain::new(user, "sh -c").arg(script).directory(scratch.path()).run();
    made.expect(0, any(), any());
    let program = copy_of("images/from-oci");
    let words = ["layout", "root"];
    let outcome = Chain::new(user, "sh").arg(program).args(words).directory(scratch.path()).run();
    outcome.expect(0, "", "");
    let run = format!("sh {} root", copy_of("shell/chroot-instead").display());
    let list = Chain::new(user, "find root -type f").directory(scratch.path()).run();
    list.expect(0, "root/etc/name\n", "");
    let name = std::fs::read_to_string(scratch.path().join("root/etc/name")).expect("a file");
    assert_eq!(name, "top\n");
    // There is no program in it: the chain gets as far as that.
    let outcome = Chain::new(user, &run).arg("app").directory(scratch.path()).run();
    outcome.expect(127, "", like("mini-init: *'app'*"));
}

fn a_squashfs_is_run(user: User) {
    need!(user.can_isolate());
    need!(need::program("mksquashfs"));
    let root = need!(catena_tests::Rootfs::new(user));
    root.file("mark", "inside\n");
    let scratch = place(user);
    let make = format!("mksquashfs {root} image -quiet -no-progress");
    Chain::new(user, &make).directory(scratch.path()).run().expect(0, any(), any());
    let program = copy_of("images/run-squashfs");
    let run = |script: &str| {
        let words = ["image", "/bin/sh", "-c", script];
        Chain::new(user, "sh").arg(&program).args(words).directory(scratch.path()).run()
    };
    run("cat /mark; echo x >/mark; cat /mark; exit 7").expect(7, "inside\nx\n", "");
    run("cat /mark").expect(0, "inside\n", "");
}

//! fs-pivot's options beyond the usual, and what becomes of the image: nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use catena_tests::pivot::{can_pivot, pivot, rootfs};
use catena_tests::scratch::copy_program;
use catena_tests::tree::Tree;
use catena_tests::{Chain, Scratch, User, each_user, like};

each_user![if can_pivot;
    the_image_is_the_same_after_any_run,
    missing_mountpoints_are_scaffolded,
    a_root_of_one_program_suffices,
    too_many_entries_are_an_error,
    a_dangling_link_leads_to_a_place_inside,
    each_default_can_be_chosen,
    files_of_its_own,
    a_second_pivot,
];

/// Whatever is asked for, and whatever the app tries.
fn the_image_is_the_same_after_any_run(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user).display().to_string();
    for (name, time) in
        [("etc/old", "200001010000"), ("var", "200101010000"), ("mnt", "200201010000")]
    {
        if name.contains('/') {
            root.file(name, "old\n");
        }
        let touched = Command::new("touch").args(["-t", time]).arg(root.join(name)).status();
        assert!(touched.expect("touch").success());
    }
    let name = if user.is_root() { "trusted.catena" } else { "user.catena" };
    rustix::fs::setxattr(root.join("etc/old"), name, b"value", rustix::fs::XattrFlags::empty())
        .expect("setxattr");
    let image = Tree::of(root.path());
    let extras = format!(
        "--bind {data}:/etc/new/deep --ro-bind {data}:/mnt --tmpfs /var/new --tmpfs /home \
         --mqueue /queues --dev-node /dev/fuse --copy-up /etc/passwd --mask /etc/old \
         --read-only-path /var --etc-hosts --machine-id --chdir /var"
    );
    let layer = format!("--upper {data}/upper --work {data}/work");
    for name in ["data/upper", "data/work"] {
        scratch.folder(name, user);
    }
    let script = "for place in / /etc /etc/old /var /mnt /home /bin/sh /dev /dev/null; do \
                  touch $place $place/new; chmod 700 $place; rm -r $place/old; done; exit 0";
    for options in ["--read-only", "--ephemeral", "--overlay", "--no-defaults --read-only", &layer]
    {
        for with in ["", &extras] {
            // A start may be refused; it may not be half done.
            let options = format!("{options} {with}");
            let outcome = pivot(user, &options, &root).args(["sh", "-c", script]).run();
            let refused = outcome.ended == Some(125.into());
            assert!(refused || outcome.ended == Some(0.into()), "{outcome}");
            image.is_unchanged();
        }
    }
    // Where the root itself is shown, the app may change it; fs-pivot doesn't.
    for options in ["", &extras, "--dev=none --proc=none --sys=none", "--dev=host --proc=bind"] {
        pivot(user, options, &root).arg("/bin/true").run().expect(0, "", "");
        image.is_unchanged();
    }
    pivot(user, "", &root).args(["touch", "/etc/other"]).run().expect(0, "", "");
    assert!(std::panic::catch_unwind(|| image.is_unchanged()).is_err(), "nothing was noticed");
}

fn missing_mountpoints_are_scaffolded(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user);
    scratch.file("data/file", "data\n");
    root.file("etc/config", "config\n");
    symlink("config", root.join("etc/link")).expect("symlink");
    let image = Tree::of(root.path());
    let options = format!(
        "--bind {data}:/etc/new/deep --ro-bind {data}/file:/etc/file --tmpfs /var/a/b --bind \
         {data}:/top",
        data = data.display()
    );
    let script = "cat /etc/new/deep/file /etc/file /etc/link /top/file && ls /etc && \
                  touch /etc/new/deep/x /var/a/b/x && touch /etc/x";
    let outcome = pivot(user, &options, root.path()).args(["sh", "-c", script]).run();
    let list = "data\ndata\nconfig\ndata\nconfig\nfile\ngroup\nlink\nnew\npasswd\n";
    outcome.expect(1, list, like("touch: /etc/x: Read-only file system\n"));
    image.is_unchanged();
    assert!(data.join("x").exists());
}

fn a_root_of_one_program_suffices(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let bare = scratch.folder("bare", user);
    copy_program(&root.join("bin/busybox"), &bare.join("busybox"));
    let image = Tree::of(&bare);
    let script = "/busybox ls / && /busybox touch /tmp/x /run/x && /busybox touch /x";
    let outcome = pivot(user, "", &bare).args(["/busybox", "sh", "-c", script]).run();
    outcome.expect(1, "busybox\ndev\nproc\nrun\nsys\ntmp\n", like("touch: /x: Read-only*"));
    for options in ["--ephemeral", "--overlay", "--read-only"] {
        pivot(user, options, &bare).args(["/busybox", "true"]).run().expect(0, "", "");
    }
    image.is_unchanged();
}

fn too_many_entries_are_an_error(user: User) {
    let root = rootfs(user);
    for number in 0..300 {
        root.file(&format!("etc/{number}"), "");
    }
    let start = |options: &str| pivot(user, options, root.path()).arg("true").run();
    start("").expect(0, "", "");
    let refused = "fs-pivot: can't make a mountpoint: *over 256 entries\nhint: *--ephemeral\n";
    start("--tmpfs /etc/new").expect(125, "", like(refused));
    start("--ephemeral --tmpfs /etc/new").expect(0, "", "");
}

fn a_dangling_link_leads_to_a_place_inside(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let file = scratch.file("file", "nameserver ::1\n");
    // As systemd-resolved leaves it; the new /run is empty.
    symlink("../run/resolve/stub.conf", root.join("etc/resolv.conf")).expect("symlink");
    let bind = format!("--ro-bind {}:/etc/resolv.conf", file.display());
    let outcome = pivot(user, &bind, root.path()).args(["cat", "/etc/resolv.conf"]).run();
    outcome.expect(0, "nameserver ::1\n", "");
}

fn each_default_can_be_chosen(user: User) {
    let root = rootfs(user);
    let kinds = |options: &str| {
        let seen = pivot(user, options, root.path()).arg("/bin/probe").see();
        let mut tops: Vec<_> = seen
            .mounts
            .iter()
            .filter(|mount| {
                ["/proc", "/sys", "/dev", "/run", "/tmp"].contains(&mount.point.as_str())
            })
            .map(|mount| format!("{}:{}", mount.point, mount.kind))
            .collect();
        tops.sort();
        tops.join(" ")
    };
    assert_eq!(kinds(""), "/dev:tmpfs /proc:proc /run:tmpfs /sys:sysfs /tmp:tmpfs");
    assert_eq!(kinds("--no-defaults --proc=new"), "/proc:proc");
    assert_eq!(kinds("--sys=none --dev=none"), "/proc:proc /run:tmpfs /tmp:tmpfs");
    assert!(kinds("--dev=host").starts_with("/dev:"));
    assert_eq!(kinds("--proc=bind --sys=bind"), kinds(""));
    let list = pivot(user, "--proc=none", root.path()).args(["ls", "/proc"]).run();
    list.expect(0, "", "");
}

fn files_of_its_own(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let file = scratch.file("conf", "of the host\n");
    let image = Tree::of(root.path());
    let copy = format!("--copy-up {}:/etc/conf", file.display());
    let script = "cat /etc/conf && echo changed >/etc/conf && cat /etc/conf";
    let outcome = pivot(user, &copy, root.path()).args(["sh", "-c", script]).run();
    outcome.expect(0, "of the host\nchanged\n", "");
    assert_eq!(fs::read_to_string(&file).expect("read"), "of the host\n");
    let line =
        format!("ns-unshare --hostname box -- fs-pivot --etc-hosts {root} -- cat /etc/hosts");
    let hosts = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 box\n";
    Chain::new(user, &line).run().expect(0, hosts, "");
    let id = || pivot(user, "--machine-id", root.path()).args(["cat", "/etc/machine-id"]).run();
    let (one, other) = (id(), id());
    assert!(one.stdout.len() == 33 && one.stdout != other.stdout, "{one}\n{other}");
    image.is_unchanged();
    let endless = pivot(user, "--copy-up /dev/zero:/etc/x", root.path()).arg("true").run();
    endless.expect(125, "", "fs-pivot: can't copy: '/dev/zero': not a regular file\n");
}

fn a_second_pivot(user: User) {
    let (root, other) = (rootfs(user), rootfs(user));
    other.file("other", "other\n");
    let line = format!(
        "ns-unshare -- fs-pivot --bind {other}:/mnt {root} -- fs-pivot /mnt -- priv-drop -- \
         mini-init -- cat /other"
    );
    Chain::new(user, &line).run().expect(0, "other\n", "");
}

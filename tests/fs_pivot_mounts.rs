//! fs-pivot's options that mount something.

use std::fs;

use catena_tests::pivot::{can_pivot, pivot, rootfs};
use catena_tests::{Chain, Rootfs, Scratch, Seen, User, any, each_user, like};

each_user![if can_pivot;
    a_folder_is_bound,
    a_file_is_bound,
    a_read_only_bind_is_read_only_below_too,
    a_tmpfs,
    nothing_is_made_in_a_bound_folder,
    mounts_lie_in_the_order_of_the_command_line,
    a_mask_and_a_read_only_path,
    a_device_is_shown,
    a_mount_is_given_as_a_descriptor,
    owners_are_mapped_by_root_only,
];

fn see(user: User, options: &str, root: &Rootfs) -> Seen {
    pivot(user, options, root).arg("/bin/probe").see()
}

fn a_folder_is_bound(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let folder = scratch.folder("data", user);
    let bind = format!("--bind {}:/mnt", folder.display());
    let write = pivot(user, &bind, &root).args(["/bin/probe", "write", "/mnt/new", "text"]).run();
    write.expect(0, "ok\n", "");
    assert_eq!(fs::read_to_string(folder.join("new")).expect("read"), "text");
    assert_eq!(see(user, "", &root).mounts.iter().filter(|mount| mount.point == "/mnt").count(), 0);
    assert!(see(user, &bind, &root).mount("/mnt").has(&["nosuid", "nodev"]));
    let bind = format!("--ro-bind {}:/mnt", folder.display());
    let write = pivot(user, &bind, &root).args(["/bin/probe", "write", "/mnt/again", "text"]).run();
    write.expect(0, "EROFS\n", "");
    let bind = format!("--bind {}:/mnt:ro", folder.display());
    let write = pivot(user, &bind, &root).args(["/bin/probe", "write", "/mnt/again", "text"]).run();
    write.expect(0, "EROFS\n", "");
}

fn a_file_is_bound(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let file = scratch.file("passwd", "somebody else\n");
    let bind = format!("--ro-bind {}:/etc/passwd", file.display());
    pivot(user, &bind, &root).args(["cat", "/etc/passwd"]).run().expect(0, "somebody else\n", "");
}

fn a_read_only_bind_is_read_only_below_too(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let folder = scratch.folder("data", user);
    let below = scratch.folder("data/below", user);
    // A mount that can be written to, below the folder that is bound.
    let write = |option: &str| {
        let script = format!(
            "mount -t tmpfs none {} && exec ns-unshare -m -p -- fs-pivot {option} {}:/mnt {root} -- \
             /bin/probe write /mnt/below/new text",
            below.display(),
            folder.display()
        );
        Chain::new(user, "unshare -r -m sh -c").arg(script).run()
    };
    write("--ro-bind").expect(0, "EROFS\n", "");
    write("--bind").expect(0, "ok\n", "");
}

fn a_tmpfs(user: User) {
    let root = rootfs(user);
    let seen = see(user, "--tmpfs /mnt:size=1M", &root);
    let mount = seen.mount("/mnt");
    assert_eq!(mount.kind, "tmpfs");
    assert!(mount.super_options.contains("size=1024k"), "{mount:?}");
    assert!(mount.has(&["nosuid", "nodev"]), "{mount:?}");
    let fill = ["sh", "-c", "head -c 2000000 /dev/zero >/mnt/file"];
    pivot(user, "--tmpfs /mnt:size=1M", &root).args(fill).run().expect(1, "", any());
    pivot(user, "--tmpfs /mnt:size=4M", &root).args(fill).run().expect(0, "", "");
}

fn nothing_is_made_in_a_bound_folder(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user);
    let bind = format!("--bind {0}:/mnt --bind {0}:/mnt/below", data.display());
    let outcome = pivot(user, &bind, root.path()).arg("true").run();
    outcome.expect(125, "", like("fs-pivot: can't make a mountpoint: '/mnt/below': *\nhint: *\n"));
    assert_eq!(fs::read_dir(&data).expect("list").count(), 0);
}

fn mounts_lie_in_the_order_of_the_command_line(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let file = scratch.file("file", "text\n");
    let bind = format!("--ro-bind {}:/mnt/file", file.display());
    let look = |options: &str| pivot(user, options, root.path()).args(["ls", "/mnt"]).run();
    look(&format!("--tmpfs /mnt {bind}")).expect(0, "file\n", "");
    look(&format!("{bind} --tmpfs /mnt")).expect(0, "", "");
}

fn a_mask_and_a_read_only_path(user: User) {
    let root = rootfs(user);
    root.file("etc/secret", "secret\n");
    let options = "--mask /home --mask /etc/secret --read-only-path /var";
    let script = "ls /home && cat /etc/secret && touch /etc/x && touch /var/x";
    fs::write(root.join("home/file"), "").expect("write");
    let outcome = pivot(user, options, root.path()).args(["sh", "-c", script]).run();
    outcome.expect(1, "", like("touch: /var/x: Read-only file system\n"));
    let missing = pivot(user, "--mask /none", root.path()).arg("true").run();
    missing.expect(125, "", like("fs-pivot: *'/none': No such file or directory\n"));
}

fn a_device_is_shown(user: User) {
    let root = rootfs(user);
    let script = "stat -c %t:%T /dev/ptmx-of-the-host /dev/kmsg; chmod 777 /dev/kmsg";
    let outcome = pivot(user, "--dev-node /dev/kmsg", root.path()).args(["sh", "-c", script]).run();
    outcome.expect(1, "1:b\n", like("stat: *\nchmod: *Read-only file system\n"));
    let file = pivot(user, "--dev-node /etc/passwd", root.path()).arg("true").run();
    file.expect(125, "", "fs-pivot: refused: '/etc/passwd': it is not a device node\n");
}

fn a_mount_is_given_as_a_descriptor(user: User) {
    let root = rootfs(user);
    let line = format!("unshare -r -m -p -f fs-pivot --mount-fd 9:/mnt {root} -- true");
    let folder = fs::File::open(root.path()).expect("open");
    let outcome = Chain::new(user, &line).descriptor(9, folder).run();
    outcome.expect(125, "", like("fs-pivot: *\nhint: --mount-fd takes the root of a mount*\n"));
    let closed = Chain::new(user, &line).run();
    closed.expect(125, "", like("fs-pivot: can't mount the descriptor at: '/mnt': *\n"));
}

fn owners_are_mapped_by_root_only(user: User) {
    let root = rootfs(user);
    let only_root = pivot(user, "--idmap 0-5000-10", root.path()).arg("true").run();
    only_root.expect(125, "", like("fs-pivot: *Operation not permitted\nhint: only root may*\n"));
    if user.is_root() {
        let options = "--idmap 0-5000-10 --proc=bind";
        let line = format!("ns-unshare --mount -- fs-pivot {options} {root} -- stat -c %u:%g /etc");
        let outcome = Chain::new(user, &line).run();
        // Not every file system can.
        match outcome.stdout.as_str() {
            "" => outcome.expect(125, "", like("*this file system*can't do it\n")),
            _ => outcome.expect(0, "5000:5000\n", ""),
        };
    }
}

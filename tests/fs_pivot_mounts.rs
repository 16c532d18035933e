//! fs-pivot's options that mount something.

use std::fs;

use catena_tests::pivot::{can_pivot, hosts, isolations, pivot, rootfs};
use catena_tests::terminal::Terminal;
use catena_tests::{Chain, Rootfs, Scratch, Seen, User, any, each_user, like, need};

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
    what_the_chain_itself_holds_is_no_mount,
    owners_are_mapped_by_root_only,
    owners_of_a_bind_are_mapped,
    attributes_of_a_bind,
    the_message_queues,
    mounts_of_the_host_propagate_if_asked,
    a_detached_mount_is_attached,
    a_detached_mount_passes_through_the_chain,
    on_rootfs_is_for_the_initramfs,
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

/// Its first descriptor is the terminal, where it has one.
fn what_the_chain_itself_holds_is_no_mount(user: User) {
    let mut terminal = need!(Terminal::new());
    let root = rootfs(user);
    let line = format!("unshare -r -m -p -f fs-pivot --mount-fd 3:/mnt {root} -- true");
    let outcome = Chain::new(user, &line).start_on(&mut terminal).finish();
    let said = "fs-pivot: can't use descriptor: '3': it has another use in this chain\r\n";
    outcome.expect(125, said, "");
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

fn owners_of_a_bind_are_mapped(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user).display().to_string();
    let bind = format!("--bind {data}:/mnt:idmap=0-5000-10+{0}-6000-1", user.uid().max(10));
    let refused = like("fs-pivot: *Operation not permitted\nhint: only root may*\n");
    pivot(user, &bind, &root).arg("true").run().expect(125, "", refused);
    if user.is_root() {
        let line = format!("ns-unshare --mount -- fs-pivot {bind} --proc=bind {root} --");
        let outcome = Chain::new(user, &line).args(["stat", "-c", "%u:%g", "/mnt", "/etc"]).run();
        match outcome.stdout.as_str() {
            "" => outcome.expect(125, "", like("*this file system*can't do it\n")),
            _ => outcome.expect(0, "5000:5000\n0:0\n", ""),
        };
    }
}

fn attributes_of_a_bind(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user).display().to_string();
    scratch.folder("data/below", user);
    // A host of our own, with a mount below the folder, on which nothing is forbidden.
    let seen = |options: &str| {
        let script = format!(
            "mount -t tmpfs none {data} && mkdir {data}/below && mount -t tmpfs none {data}/below && \
             exec ns-unshare -m -p -- fs-pivot --bind {data}:/mnt{options} {root} -- /bin/probe"
        );
        Chain::new(user, "unshare -r -m sh -c").arg(script).see()
    };
    let both = ["/mnt", "/mnt/below"];
    for (options, has, lacks) in [
        ("", &["nosuid", "nodev", "rw"][..], &["noexec", "ro"][..]),
        (":suid,dev", &["rw"], &["nosuid", "nodev"]),
        (":suid,nosuid,dev,nodev", &["nosuid", "nodev"], &[]),
        (":noexec", &["noexec", "nosuid", "nodev"], &["ro"]),
        (":ro,rec", &["ro", "nosuid", "nodev"], &["noexec"]),
    ] {
        let seen = seen(options);
        for mount in both.map(|point| seen.mount(point)) {
            assert!(mount.has(has), "{options}: {mount:?}");
            assert!(!lacks.iter().any(|option| mount.has(&[option])), "{options}: {mount:?}");
        }
    }
    let points = |seen: &Seen| both.map(|top| seen.mounts.iter().any(|mount| mount.point == top));
    assert_eq!(points(&seen(":norec")), [true, false]);
    assert_eq!(points(&seen("")), [true, true]);
}

fn the_message_queues(user: User) {
    let root = rootfs(user);
    let seen = see(user, "--mqueue /mnt", &root);
    for point in ["/mnt", "/dev/mqueue"] {
        let mount = seen.mount(point);
        assert!(mount.kind == "mqueue" && mount.has(&["nosuid", "nodev", "noexec"]), "{mount:?}");
    }
    if !user.is_root() {
        // Those of the host are not his: by default there are none then, asked for that is an error.
        let share = |options: &str| {
            let line = format!("ns-unshare --share=ipc -- fs-pivot {options} {root} -- ls /dev");
            Chain::new(user, &line).run()
        };
        let list = share("");
        assert!(list.ended == Some(0.into()) && !list.stdout.contains("mqueue"), "{list}");
        let hint = "hint: it takes an IPC namespace of one's own";
        share("--mqueue /mnt").expect(125, "", like(format!("fs-pivot: *not permitted\n{hint}\n")));
    }
}

fn mounts_of_the_host_propagate_if_asked(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user).display().to_string();
    // The host mounts something below the folder once the container is there, and says so in it.
    let look = |options: &str| {
        let script = format!(
            "mount -t tmpfs none {data} && mount --make-shared {data} && mkdir {data}/below; \
             ns-unshare -m -p --propagation slave -- fs-pivot {options} --bind {data}:/mnt {root} \
             -- sh -c '\
             echo >/mnt/ready; until [ -e /mnt/done ]; do :; done; ls /mnt/below' & \
             until [ -e {data}/ready ]; do :; done; mount -t tmpfs none {data}/below && \
             echo >{data}/below/file && echo >{data}/done; wait $!"
        );
        Chain::new(user, "unshare -r -m --propagation shared sh -c").arg(script).run()
    };
    look("").expect(0, "", "");
    look("--propagation=private").expect(0, "", "");
    look("--propagation=slave").expect(0, "file\n", "");
}

fn a_detached_mount_is_attached(user: User) {
    use rustix::mount::{OpenTreeFlags, open_tree};
    // Only who may mount on the host has one to give.
    if !user.is_root() {
        return;
    }
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    scratch.folder("data", user);
    scratch.file("data/file", "data\n");
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(rustix::fs::CWD, scratch.join("data"), flags).expect("open_tree");
    // A PID 1 whose mount namespace can be seen to be another one.
    let chain = "unshare --fork --pid --mount-proc sh -c";
    let line = format!(
        "unshare -m fs-pivot --mount-fd 9:/mnt --proc=bind {root} -- cat /mnt/file; exit $?"
    );
    let start = |mount| Chain::new(user, chain).arg(&line).descriptor(9, mount).run();
    start(fs::File::from(mount)).expect(0, "data\n", "");
    // A folder is no mount.
    let folder = fs::File::open(scratch.join("data")).expect("open");
    start(folder).expect(
        125,
        "",
        like("fs-pivot: *\nhint: --mount-fd takes the root of a mount*\n"),
    );
}

fn a_detached_mount_passes_through_the_chain(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    scratch.folder("data", user);
    scratch.file("data/file", "data\n");
    let data = scratch.join("data").display().to_string();
    for host in hosts(user) {
        for isolation in isolations(user) {
            let first = format!("{host} {{probe}} detached {data} 9");
            let start = |keep: &str, between: &str, rest: &str| {
                let own = isolation.replace("ns-unshare", &format!("ns-unshare {keep}"));
                let pivot = format!("fs-pivot --mount-fd 9:/mnt {root}");
                Chain::new(user, &format!("{first} {own} {between} {pivot} -- {rest}"))
            };
            let seen = start("--keep-fd 9", "", "priv-drop -- mini-init -- /bin/probe").see();
            assert!(seen.mount("/mnt").has(&["nosuid", "nodev"]), "{:?}", seen.mounts);
            // It is the mount's, and nobody's else.
            assert_eq!(seen.numbers(), [0, 1, 2]);
            start("--keep-fd 9", "", "cat /mnt/file").run().expect(0, "data\n", "");
            let lost = "fs-pivot: can't mount the descriptor at: '/mnt': *\n";
            start("", "", "cat /mnt/file").run().expect(125, "", like(lost));
            // A program that is not ours never has it.
            let refused = "ns-unshare: can't keep descriptor: '9': it is a directory*\n";
            start("--keep-fd 9", "env", "cat /mnt/file").run().expect(125, "", like(refused));
        }
    }
}

fn on_rootfs_is_for_the_initramfs(user: User) {
    let outcome = pivot(user, "--on-rootfs", rootfs(user)).arg("true").run();
    outcome.expect(125, "", "fs-pivot: refused: --on-rootfs: the current root is no initramfs\n");
}

//! fs-pivot: the mount tree of the container becomes its root, and nothing else is left.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use catena_tests::pivot::{can_pivot, hosts, pivot, pivots, rootfs};
use catena_tests::scratch::copy_program;
use catena_tests::{Chain, Rootfs, Scratch, Seen, User, any, each_user, host, like};

each_user![if can_pivot;
    the_root_is_the_one_named,
    the_default_mounts,
    the_default_devices,
    no_mount_of_the_host_is_left,
    defaults_can_be_left_out,
    what_is_written_stays_in_a_bound_root,
    a_read_only_root,
    the_working_directory,
    f8_the_old_root_cannot_be_climbed_to,
    f1_an_image_cannot_stand_in_for_a_tool,
    a_mount_point_in_the_image_leads_nowhere,
    a_missing_root_is_an_error,
    a_bad_mount_is_an_error,
    the_host_is_not_touched_without_a_mount_namespace,
    nosuid_programs_give_nothing,
];

fn see(user: User, options: &str, root: &Rootfs) -> Seen {
    pivot(user, options, root).arg("/bin/probe").see()
}

fn the_root_is_the_one_named(user: User) {
    let root = rootfs(user);
    root.file("only-here", "hello\n");
    pivot(user, "", &root).args(["cat", "/only-here"]).run().expect(0, "hello\n", "");
    let list = "bin\ndev\netc\nhome\nmnt\nonly-here\nproc\nrun\nsys\ntmp\nvar\n";
    pivot(user, "", &root).args(["ls", "/"]).run().expect(0, list, "");
    Chain::new(user, "test -e /only-here").run().expect(1, "", "");
}

fn the_default_mounts(user: User) {
    let seen = see(user, "", &rootfs(user));
    let kinds = [
        ("/proc", "proc", &["nosuid", "nodev", "noexec"][..]),
        ("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
        ("/dev", "tmpfs", &["nosuid", "noexec"]),
        ("/dev/pts", "devpts", &["nosuid", "noexec"]),
        ("/dev/shm", "tmpfs", &["nosuid", "nodev", "noexec"]),
        ("/run", "tmpfs", &["nosuid", "nodev"]),
        ("/tmp", "tmpfs", &["nosuid", "nodev"]),
    ];
    for (point, kind, options) in kinds {
        let mount = seen.mount(point);
        assert_eq!(mount.kind, kind, "{mount:?}");
        assert!(mount.has(options), "{mount:?}");
    }
    assert!(seen.mount("/").has(&["nosuid", "nodev"]), "{:?}", seen.mount("/"));
    for mount in &seen.mounts {
        assert!(mount.propagation.is_empty(), "{mount:?}");
    }
}

fn the_default_devices(user: User) {
    let root = rootfs(user);
    let list = pivot(user, "", &root).args(["ls", "/dev"]).run();
    list.expect(0, any(), "");
    let present: BTreeSet<_> = list.stdout.lines().collect();
    for name in [
        "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
        "urandom", "zero",
    ] {
        assert!(present.contains(name), "no /dev/{name}: {present:?}");
    }
    for name in ["mem", "kmsg", "sda", "vda", "console", "loop0", "fuse"] {
        assert!(!present.contains(name), "/dev/{name} is there");
    }
    let numbers = "1:3\n1:5\n1:7\n1:8\n1:9\n5:0\n";
    let devices =
        ["null", "zero", "full", "random", "urandom", "tty"].map(|name| format!("/dev/{name}"));
    let stat = pivot(user, "", &root).args(["stat", "-c", "%t:%T"]).args(devices).run();
    stat.expect(0, numbers, "");
    let script = "echo x >/dev/null && head -c 3 /dev/zero >/dev/shm/zeroes && cat </dev/null";
    pivot(user, "", &root).args(["sh", "-c", script]).run().expect(0, "", "");
}

fn no_mount_of_the_host_is_left(user: User) {
    let allowed = ["/", "/dev", "/proc", "/run", "/sys", "/tmp"];
    let seen = see(user, "", &rootfs(user));
    for mount in &seen.mounts {
        let fine = allowed.iter().any(|top| {
            mount.point == *top || *top != "/" && mount.point.starts_with(&format!("{top}/"))
        });
        assert!(fine, "{mount:?}");
    }
    let roots = seen.mounts.iter().filter(|mount| mount.point == "/").count();
    assert_eq!(roots, 1, "the old root lies below: {:#?}", seen.mounts);
    assert_eq!(seen.numbers(), [0, 1, 2]);
}

fn defaults_can_be_left_out(user: User) {
    let root = rootfs(user);
    let list =
        |options: &str| pivot(user, options, &root).args(["ls", "/proc", "/sys", "/dev"]).run();
    list("--no-defaults").expect(0, "/dev:\n\n/proc:\n\n/sys:\n", "");
    list("").expect(0, like("*self*"), "");
}

fn what_is_written_stays_in_a_bound_root(user: User) {
    let root = rootfs(user);
    let write = pivot(user, "", &root).args(["/bin/probe", "write", "/var/new", "text"]).run();
    write.expect(0, "ok\n", "");
    assert_eq!(fs::read_to_string(root.join("var/new")).expect("read"), "text");
    // /tmp and /run are the container's own.
    let write = pivot(user, "", &root).args(["/bin/probe", "write", "/tmp/new", "text"]).run();
    write.expect(0, "ok\n", "");
    assert!(!root.join("tmp/new").exists());
}

fn a_read_only_root(user: User) {
    let root = rootfs(user);
    let write = |path: &str| {
        pivot(user, "--read-only", &root).args(["/bin/probe", "write", path, "text"]).run()
    };
    write("/var/new").expect(0, "EROFS\n", "");
    write("/new").expect(0, "EROFS\n", "");
    write("/tmp/new").expect(0, "ok\n", "");
    assert!(!root.join("var/new").exists());
}

fn the_working_directory(user: User) {
    let root = rootfs(user);
    assert_eq!(see(user, "", &root).directory, "/");
    assert_eq!(see(user, "--chdir /home", &root).directory, "/home");
    let missing = pivot(user, "--chdir /none", &root).arg("/bin/probe").run();
    missing.expect(125, "", "fs-pivot: can't change to: '/none': No such file or directory\n");
    // What the host has there is hidden by the container's own /tmp.
    root.file("tmp/file", "");
    let hidden = pivot(user, "--chdir /tmp/file", &root).arg("/bin/probe").run();
    let hint =
        "hint: a new /tmp hides what ROOT has there: --bind /tmp/file:/tmp/file shows the host's\n";
    let wrong = "fs-pivot: can't change to: '/tmp/file': No such file or directory\n";
    hidden.expect(125, "", format!("{wrong}{hint}"));
    // A folder of the host, by way of a descriptor that was left open.
    let folder = fs::File::open("/usr").expect("open /usr");
    let leak =
        pivot(user, "--chdir /proc/self/fd/9", &root).arg("/bin/probe").descriptor(9, folder).run();
    leak.expect(125, "", like("fs-pivot: *"));
    symlink("/usr", root.join("var/link")).expect("symlink");
    let link = pivot(user, "--chdir /var/link", &root).arg("/bin/probe").run();
    link.expect(125, "", like("fs-pivot: *"));
}

fn f8_the_old_root_cannot_be_climbed_to(user: User) {
    let root = rootfs(user);
    let marker = Scratch::new(user);
    let escape = ["/bin/probe", "escape", marker.path().to_str().expect("a plain path")];
    for chain in pivots(user, "", &root) {
        chain.args(escape).run().expect(0, "ENOENT\n", "");
    }
    // From a chroot the way is open.
    for host in hosts(user) {
        let chroot = Chain::new(user, &format!("{host} chroot {root}"));
        chroot.args(escape).run().expect(0, "ok\n", "");
    }
}

fn f1_an_image_cannot_stand_in_for_a_tool(user: User) {
    let root = rootfs(user);
    for tool in catena_tests::toolbox::TOOLS {
        root.script(&format!("bin/{tool}"), "#!/bin/sh\necho evil\n");
    }
    let start = |chain: Chain, link: &str| {
        let chain = chain.args(link.split(' ')).args(["/bin/probe", "exit", "3"]);
        chain.env("PATH", "/bin").run()
    };
    for chain in pivots(user, "", &root) {
        start(chain, "priv-drop -- mini-init --").expect(3, "", "");
    }
    for chain in pivots(user, "", &root) {
        // A path is a path, though.
        start(chain, "/bin/mini-init").expect(0, "evil\n", "");
    }
}

fn a_mount_point_in_the_image_leads_nowhere(user: User) {
    for name in ["dev", "proc", "sys", "run", "tmp", "mnt"] {
        let (root, scratch) = (rootfs(user), Scratch::new(user));
        let outside = scratch.folder("outside", user);
        let (below, target) = (outside.join("below"), root.join(name));
        fs::create_dir(&below).expect("make a folder");
        fs::remove_dir(&target).expect("remove a folder");
        symlink(&outside, &target).expect("symlink");
        let options = format!("--bind {}:/mnt", scratch.folder("data", user).display());
        let started = pivot(user, &options, &root).args(["ls", "/"]).run();
        // Refused, or resolved inside; never followed to the outside.
        assert_eq!(host::paths(&outside), BTreeSet::from([below]), "{name}\n{started}");
        assert!(started.ended == Some(125.into()) || started.ended == Some(0.into()), "{started}");
    }
}

fn a_missing_root_is_an_error(user: User) {
    let start = |root: &str| {
        Chain::new(
            user,
            &format!("ns-unshare -- fs-pivot {root} -- {{probe}} write /dev/stdout started"),
        )
        .run()
    };
    start("/none").expect(125, "", like("fs-pivot: *'/none': No such file or directory\n"));
    start("/etc/passwd").expect(125, "", like("fs-pivot: *'/etc/passwd': Not a directory\n"));
}

fn a_bad_mount_is_an_error(user: User) {
    let root = rootfs(user);
    for option in [
        "--bind=/none:/mnt",
        "--bind=/usr",
        "--bind=/usr:mnt",
        "--bind=:/mnt",
        "--bind=/usr:/mnt:nonsense",
        "--tmpfs=mnt",
        "--tmpfs=/mnt:size=many",
        "--tmpfs=/mnt:nonsense",
        "--upper=/tmp",
        "--work=/tmp",
    ] {
        let start = pivot(user, option, &root)
            .args(["/bin/probe", "write", "/dev/stdout", "started"])
            .run();
        start.expect(125, "", like("fs-pivot: *"));
    }
}

fn the_host_is_not_touched_without_a_mount_namespace(user: User) {
    let root = rootfs(user);
    let line = format!("fs-pivot {root} -- /bin/probe write /dev/stdout started");
    // Should it go wrong, it goes wrong in a namespace that stands for the host's.
    let script = format!("{line}; status=$?; ls /only-on-the-host; exit $status");
    root.file("only-in-the-image", "");
    let outcome = Chain::new(user, "unshare -r -m --propagation shared sh -c").arg(script).run();
    outcome.expect(125, "", like("fs-pivot: *\nhint: *ns-unshare*\nls: *"));
}

fn nosuid_programs_give_nothing(user: User) {
    if !user.is_root() {
        return;
    }
    let root = rootfs(user);
    copy_program(&root.join("bin/probe"), &root.join("bin/suid"));
    fs::set_permissions(root.join("bin/suid"), PermissionsExt::from_mode(0o4755)).expect("chmod");
    let seen = pivot(user, "", &root).args(["/bin/probe", "become", "1000", "/bin/suid"]).see();
    assert_eq!(seen.uids, [1000; 3]);
    let outside = Chain::new(user, &format!("{{probe}} become 1000 {root}/bin/suid")).see();
    assert_eq!(outside.uids, [1000, 0, 0]);
}

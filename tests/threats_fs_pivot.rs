//! The attacks on fs-pivot that the list of threats names, each by its number.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use catena_tests::pivot::{can_pivot, hosts, isolations, pivot, pivots, rootfs};
use catena_tests::{Chain, Scratch, User, any, each_user, like};

each_user![if can_pivot;
    f4_no_descriptor_leads_out,
    f4_no_kept_folder_leads_out,
    f4_no_working_directory_leads_out,
    f7_a_false_null_device_masks_nothing,
    f7_the_image_has_no_say_in_what_null_is,
    f7_masks_are_there,
    f7_masks_hold_below_a_second_user_namespace,
    f8_nothing_propagates,
    f8_a_mount_namespace_of_others_is_refused,
    h12_a_mount_below_is_as_read_only,
    h12_locked_flags_are_kept,
];

fn f4_no_descriptor_leads_out(user: User) {
    let root = rootfs(user);
    let with_folders = |chain: Chain| {
        (10..210).fold(chain, |chain, number| {
            chain.descriptor(number, fs::File::open("/usr").expect("open /usr"))
        })
    };
    for chain in pivots(user, "", &root) {
        assert_eq!(with_folders(chain.arg("/bin/probe")).see().numbers(), [0, 1, 2]);
    }
    let outside = with_folders(Chain::new(user, "{probe}")).see();
    assert_eq!(outside.numbers().len(), 203);
    // What takes the place of a closed descriptor is the null device.
    for number in 0..2 {
        let script = format!("[ /proc/self/fd/{number} -ef /dev/null ]");
        for chain in pivots(user, "", &root) {
            chain.args(["sh", "-c", &script]).closed(number).run().expect(0, "", "");
        }
        let open = pivot(user, "", &root).args(["sh", "-c", &script]).stdin("text");
        open.run().expect(1, "", "");
    }
}

/// Of a folder that `--keep-fd` names, or the mount of one, each link of ours takes what it is to use
/// and refuses the rest.
fn f4_no_kept_folder_leads_out(user: User) {
    let root = rootfs(user);
    let keep = |isolation: &str| isolation.replace("ns-unshare", "ns-unshare --keep-fd 9");
    for isolation in isolations(user).iter().map(|isolation| keep(isolation)) {
        for (link, rest) in [
            ("ns-unshare", "{probe}".to_owned()),
            ("ns-unshare", "env priv-drop -- {probe}".to_owned()),
            ("priv-drop", "priv-drop -- {probe}".to_owned()),
            ("mini-init", "mini-init -- {probe}".to_owned()),
            ("fs-pivot", format!("fs-pivot {root} -- priv-drop -- mini-init -- /bin/probe")),
        ] {
            let refused = format!("{link}: can't keep descriptor: '9': it is a directory*\n");
            let line = format!("{isolation} {rest}");
            let folder = fs::File::open("/usr").expect("open /usr");
            let outcome = Chain::new(user, &line).descriptor(9, folder).run();
            outcome.expect(125, "", like(refused.as_str()));
            let line = format!("unshare -r -m {{probe}} detached /usr 9 {line}");
            Chain::new(user, &line).run().expect(125, "", like(refused));
        }
    }
    let mut container = Chain::new(user, "ns-unshare -- mini-init -- {probe} hold").start();
    container.wait_for("ready\n");
    let line = format!("ns-enter --no-cgroup --keep-fd 9 {} -- mini-init", container.pid());
    let folder = fs::File::open("/usr").expect("open /usr");
    let refused = "ns-enter: can't keep descriptor: '9': it is a directory*\n";
    Chain::new(user, &line).descriptor(9, folder).run().expect(125, "", like(refused));
    // Before it has looked for the container, and so before it is in there: no process has this number.
    let folder = fs::File::open("/usr").expect("open /usr");
    let nowhere = Chain::new(user, "ns-enter --no-cgroup --keep-fd 9 4194305 -- mini-init");
    nowhere.descriptor(9, folder).run().expect(125, "", like(refused));
    container.signal(nix::sys::signal::Signal::SIGTERM);
    container.finish();
    let without = "unshare -r -m {probe} detached /usr 9 env {probe}";
    assert!(Chain::new(user, without).see().numbers().contains(&9));
}

fn f4_no_working_directory_leads_out(user: User) {
    let root = rootfs(user);
    symlink("/proc/self/cwd", root.join("var/cwd")).expect("symlink");
    symlink("/proc/self/fd/9", root.join("var/nine")).expect("symlink");
    for folder in ["/proc/self/fd/9", "/proc/self/cwd", "/proc/1/cwd", "/var/cwd", "/var/nine"] {
        for chain in pivots(user, &format!("--chdir {folder}"), &root) {
            let leak = fs::File::open("/usr").expect("open /usr");
            let outcome = chain
                .args(["/bin/probe", "write", "/dev/stdout", "started"])
                .descriptor(9, leak)
                .directory("/usr")
                .run();
            outcome.expect(125, "", like("fs-pivot: can't change to: *\n"));
        }
    }
    // Up from the top is the top.
    for chain in pivots(user, "--chdir /../../..", &root) {
        assert_eq!(chain.arg("/bin/probe").see().directory, "/");
    }
}

fn f7_a_false_null_device_masks_nothing(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let masked = scratch.file("masked", "masked\n");
    for host in hosts(user) {
        let start = |device: &str, script: &str| {
            let script = format!("mount --bind {device} /dev/null && {script}");
            Chain::new(user, &format!("{host} sh -c")).arg(script).run()
        };
        let pivot = format!("exec ns-unshare -m -p -- fs-pivot {root} -- echo started");
        let refused = "fs-pivot: refused: '/dev/null': it is not character device 1:3\n";
        start("/dev/zero", &pivot).expect(125, "", refused);
        start("/etc/passwd", &pivot).expect(125, "", refused);
        start("/dev/null", &pivot).expect(0, "started\n", "");
        // Who masks by it all the same shows something.
        let mask = format!("mount --bind /dev/null {0} && head -c 1 {0} | wc -c", masked.display());
        start("/dev/zero", &mask).expect(0, "1\n", "");
        start("/etc/passwd", &mask).expect(0, "1\n", "");
        start("/dev/null", &mask).expect(0, "0\n", "");
    }
}

fn f7_the_image_has_no_say_in_what_null_is(user: User) {
    let root = rootfs(user);
    symlink("/proc/sys/kernel/core_pattern", root.join("dev/null")).expect("symlink");
    symlink("/proc/sys/kernel/core_pattern", root.join("dev/zero")).expect("symlink");
    for options in ["", "--ephemeral"] {
        let stat = ["stat", "-c", "%F %t:%T", "/dev/null", "/proc/kallsyms"];
        for chain in pivots(user, options, &root) {
            chain.args(stat).run().expect(0, "character special file 1:3\n".repeat(2), "");
        }
    }
    // A mask by path is what the image says.
    let masked = root.file("etc/masked", "masked\n");
    let script = format!(
        "mount --bind {root}/dev/null {masked} && cmp {masked} /proc/sys/kernel/core_pattern",
        masked = masked.display()
    );
    for host in hosts(user) {
        Chain::new(user, &format!("{host} sh -c")).arg(&script).run().expect(0, "", "");
    }
}

fn f7_masks_are_there(user: User) {
    let script = "for name in acpi asound interrupts kallsyms kcore keys latency_stats sched_debug \
                  scsi timer_list timer_stats; do head -c 99 /proc/$name 2>/dev/null; ls /proc/$name/ \
                  2>/dev/null; done; ls /sys/firmware";
    let root = rootfs(user);
    for chain in pivots(user, "", &root) {
        chain.args(["sh", "-c", script]).run().expect(0, "", "");
    }
    let outside = Chain::new(user, "sh -c").arg(script).run();
    assert_ne!(outside.stdout, "");
}

fn f7_masks_hold_below_a_second_user_namespace(user: User) {
    let root = rootfs(user);
    let umount = |between: &str, status: i32| {
        for chain in pivots(user, "", &root) {
            let chain = chain.args(between.split_whitespace()).args(["umount", "/proc/kallsyms"]);
            chain.run().expect(status, "", any());
        }
    };
    // With all capabilities in the namespace that made them, masks are no more than a hint.
    umount("", 0);
    umount("ns-unshare -U -m --", 1);
    umount("priv-drop --", 1);
}

fn f8_nothing_propagates(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user).display().to_string();
    // A host of our own, all of whose mounts are shared, and with nobody else.
    let around = |container: &str| {
        format!(
            "mount --make-rshared / && mount -t tmpfs none {data} && cat /proc/self/mountinfo && \
             echo -- && {container} && cat /proc/self/mountinfo"
        )
    };
    let pivot = format!(
        "ns-unshare -m -p -- fs-pivot --bind {data}:/mnt --tmpfs /mnt --tmpfs /var/x {root} -- \
         mount -t tmpfs none /home"
    );
    for host in hosts(user) {
        let before_and_after = |container: &str| {
            let outcome = Chain::new(user, &format!("{host} sh -c")).arg(around(container)).run();
            outcome.expect(0, any(), "");
            let (before, after) = outcome.stdout.split_once("--\n").expect("two parts");
            assert!(before.contains(" shared:"), "{before}");
            [before, after].map(|text| text.lines().map(str::to_owned).collect::<BTreeSet<_>>())
        };
        let [before, after] = before_and_after(&pivot);
        assert_eq!(before, after);
        // What leaves the propagation as it is spreads.
        let spreads = format!("unshare -m --propagation unchanged mount -t tmpfs none {data}");
        let [before, after] = before_and_after(&spreads);
        assert_ne!(before, after);
    }
}

fn f8_a_mount_namespace_of_others_is_refused(user: User) {
    let root = rootfs(user);
    let refused =
        "fs-pivot: refused to change the root of other processes: *\nhint: *ns-unshare*\n";
    let shared = |host| format!("{host} sh -c 'fs-pivot {root} -- echo started; exit $?'");
    let others = [
        format!("fs-pivot {root} -- echo started"),
        format!("ns-unshare -U -p -- fs-pivot {root} -- echo started"),
    ];
    for line in hosts(user).iter().map(shared).chain(others) {
        let outcome = Chain::new(user, "sh -c").arg(line).run();
        outcome.expect(125, "", like(refused));
    }
    // Made by another program, it is as good.
    let line = format!("unshare -r -m -p -f fs-pivot {root} -- echo started");
    Chain::new(user, &line).run().expect(0, "started\n", "");
    if user.is_root() {
        // Without a user namespace of its own it is shown by the PID 1 that it differs from.
        let script = format!("unshare -m fs-pivot --proc=bind {root} -- echo started; exit $?");
        let chain = Chain::new(user, "unshare -f -p --mount-proc sh -c").arg(script);
        chain.run().expect(0, "started\n", "");
    }
}

fn h12_a_mount_below_is_as_read_only(user: User) {
    let root = rootfs(user);
    fs::create_dir(root.join("var/below")).expect("make a folder");
    for host in hosts(user) {
        let start = |below: &str, options: &str| {
            let script = format!(
                "mount -t tmpfs {below} none {root}/var/below && exec ns-unshare -m -p -- fs-pivot \
                 {options} {root} -- \"$@\""
            );
            Chain::new(user, &format!("{host} sh -c")).args([&script, "sh", "/bin/probe"])
        };
        let write =
            |options: &str| start("", options).args(["write", "/var/below/new", "text"]).run();
        write("--read-only").expect(0, "EROFS\n", "");
        write("--overlay").expect(0, "EROFS\n", "");
        write("--ephemeral").expect(0, "EROFS\n", "");
        write("").expect(0, "ok\n", "");
        // The set-user-id bit and device nodes count nowhere below it.
        let seen = start("-o suid,dev", "").see();
        assert!(seen.mount("/var/below").has(&["nosuid", "nodev"]), "{:?}", seen.mounts);
    }
    // A remount by path is of one mount, and leaves what is below it.
    let script = format!(
        "mount -t tmpfs none {root}/var/below && mount --rbind {root} {root} && \
         mount -o remount,bind,ro {root} && echo >{root}/var/below/new && \
         ! sh -c 'echo >{root}/new' 2>/dev/null"
    );
    for host in hosts(user) {
        Chain::new(user, &format!("{host} sh -c")).arg(&script).run().expect(0, "", "");
    }
}

/// Where both are in one user namespace no flag is locked: there is nothing to lift.
fn h12_locked_flags_are_kept(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user);
    for host in hosts(user) {
        // In the inner user namespace the flags of the outer one are locked.
        let see = |options: &str| {
            let script = format!(
                "mount -t tmpfs -o ro,nosuid,nodev,noexec none {data} && exec ns-unshare -- \
                 fs-pivot --bind {data}:/mnt{options} {root} -- /bin/probe",
                data = data.display()
            );
            let seen = Chain::new(user, &format!("{host} sh -c")).arg(script).see();
            seen.mount("/mnt").has(&["ro", "nosuid", "nodev", "noexec"])
        };
        assert!(see(""));
        assert!(see(":ro"));
        assert!(see(":suid,dev"));
    }
}

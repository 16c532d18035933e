//! The attacks on fs-pivot that the list of threats names, each by its number.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use catena_tests::pivot::{can_pivot, pivot, pivots, rootfs};
use catena_tests::{Chain, Scratch, User, any, each_user, like};

each_user![if can_pivot;
    f4_no_descriptor_leads_out,
    f4_no_working_directory_leads_out,
    f7_a_false_null_device_masks_nothing,
    f7_the_image_has_no_say_in_what_null_is,
    f7_masks_are_there,
    f7_masks_hold_below_a_second_user_namespace,
    f8_nothing_propagates,
    f8_a_mount_namespace_of_others_is_refused,
    f9_knobs_of_the_host_are_read_only,
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
        let check = || pivot(user, "", &root).args(["sh", "-c", &script]);
        check().closed(number).run().expect(0, "", "");
        check().stdin("text").run().expect(1, "", "");
    }
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
    let seen = pivot(user, "--chdir /../../..", &root).arg("/bin/probe").see();
    assert_eq!(seen.directory, "/");
}

fn f7_a_false_null_device_masks_nothing(user: User) {
    let root = rootfs(user);
    let start = |device: &str| {
        let script = format!(
            "mount --bind {device} /dev/null && exec ns-unshare -m -p -- fs-pivot {root} -- \
             echo started"
        );
        Chain::new(user, "unshare -r -m sh -c").arg(script).run()
    };
    let refused = "fs-pivot: refused: '/dev/null': it is not character device 1:3\n";
    start("/dev/zero").expect(125, "", refused);
    start("/etc/passwd").expect(125, "", refused);
    start("/dev/null").expect(0, "started\n", "");
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
}

fn f7_masks_are_there(user: User) {
    let script = "for name in acpi asound interrupts kallsyms kcore keys latency_stats sched_debug \
                  scsi timer_list timer_stats; do cat /proc/$name 2>/dev/null; ls /proc/$name/ \
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
    let data = scratch.folder("data", user);
    // A host of our own, all of whose mounts are shared.
    let script = format!(
        "mount -t tmpfs none {data} && mount --make-shared {data} && cat /proc/self/mountinfo && \
         echo -- && ns-unshare -m -p -- fs-pivot --bind {data}:/mnt --tmpfs /mnt --tmpfs /var/x \
         {root} -- mount -t tmpfs none /home && cat /proc/self/mountinfo",
        data = data.display()
    );
    let outcome = Chain::new(user, "unshare -r -m --propagation shared sh -c").arg(script).run();
    outcome.expect(0, any(), "");
    let (before, after) = outcome.stdout.split_once("--\n").expect("two parts");
    assert!(before.contains(" shared:"), "{before}");
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(lines(before), lines(after));
}

fn f8_a_mount_namespace_of_others_is_refused(user: User) {
    let root = rootfs(user);
    let refused =
        "fs-pivot: refused to change the root of other processes: *\nhint: *ns-unshare*\n";
    for line in [
        format!("unshare -r -m sh -c 'fs-pivot {root} -- echo started; exit $?'"),
        format!("fs-pivot {root} -- echo started"),
        format!("ns-unshare -U -p -- fs-pivot {root} -- echo started"),
    ] {
        let outcome = Chain::new(user, "sh -c").arg(line).run();
        outcome.expect(125, "", like(refused));
    }
    // Made by another program, it is as good.
    let line = format!("unshare -r -m -p -f fs-pivot {root} -- echo started");
    Chain::new(user, &line).run().expect(0, "started\n", "");
}

fn f9_knobs_of_the_host_are_read_only(user: User) {
    let root = rootfs(user);
    // Should it go wrong, each gets the value that it has.
    let script = "for knob in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe \
                  /proc/sys/vm/overcommit_memory /proc/sysrq-trigger \
                  /sys/kernel/mm/transparent_hugepage/enabled; do \
                  if [ -e $knob ]; then value=$(cat $knob); echo \"${value##*[}\" >$knob; fi; done";
    for chain in pivots(user, "", &root) {
        let outcome = chain.args(["sh", "-c", script]).run();
        let refused = |line: &str| line.ends_with(": Read-only file system");
        let lines: Vec<_> = outcome.stderr.lines().collect();
        assert!(lines.len() >= 2 && lines.iter().all(|line| refused(line)), "{outcome}");
    }
}

fn h12_a_mount_below_is_as_read_only(user: User) {
    let root = rootfs(user);
    fs::create_dir(root.join("var/below")).expect("make a folder");
    let write = |options: &str| {
        let script = format!(
            "mount -t tmpfs none {root}/var/below && exec ns-unshare -m -p -- fs-pivot {options} \
             {root} -- /bin/probe write /var/below/new text"
        );
        Chain::new(user, "unshare -r -m sh -c").arg(script).run()
    };
    write("--read-only").expect(0, "EROFS\n", "");
    write("--overlay").expect(0, "EROFS\n", "");
    write("--ephemeral").expect(0, "EROFS\n", "");
    write("").expect(0, "ok\n", "");
    // The set-user-id bit and device nodes count nowhere below it.
    let script = format!(
        "mount -t tmpfs -o suid,dev none {root}/var/below && exec ns-unshare -m -p -- fs-pivot \
         {root} -- /bin/probe"
    );
    let seen = Chain::new(user, "unshare -r -m sh -c").arg(script).see();
    assert!(seen.mount("/var/below").has(&["nosuid", "nodev"]), "{:?}", seen.mounts);
}

fn h12_locked_flags_are_kept(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let data = scratch.folder("data", user);
    // In the inner user namespace the flags of the outer one are locked.
    let see = |options: &str| {
        let script = format!(
            "mount -t tmpfs -o ro,nosuid,nodev,noexec none {data} && exec ns-unshare -- fs-pivot \
             --bind {data}:/mnt{options} {root} -- /bin/probe",
            data = data.display()
        );
        let seen = Chain::new(user, "unshare -r -m sh -c").arg(script).see();
        seen.mount("/mnt").has(&["ro", "nosuid", "nodev", "noexec"])
    };
    assert!(see(""));
    assert!(see(":ro"));
    assert!(see(":suid,dev"));
}

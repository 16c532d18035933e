//! Escapes that have been, tried from inside a container with the default chain; each also where it
//! gets through, as far as that does no harm.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use catena_tests::pivot::{can_pivot, containers, hosts, isolations, pivots, rootfs};
use catena_tests::terminal::Terminal;
use catena_tests::{Chain, Rootfs, Scratch, User, any, each_user, like, need, toolbox};

each_user![if can_pivot;
    h2_cve_2017_5226_nothing_is_typed_at_the_terminal,
    f3_cve_2019_5736_no_tool_is_overwritten,
    f9_cve_2022_0492_no_release_agent_is_set,
    f4_cve_2024_21626_no_descriptor_leads_to_the_host,
    f7_cve_2025_31133_the_image_does_not_choose_what_masks,
    f7_cve_2025_52565_the_image_does_not_choose_the_console,
];

const SECRET: &str = "a file of the host\n";

/// A shell with this script in each kind of container.
fn shells(user: User, root: &Rootfs, script: &str) -> impl Iterator<Item = Chain> {
    containers(user, root).map(move |chain| chain.args(["sh", "-c", script]))
}

fn h2_cve_2017_5226_nothing_is_typed_at_the_terminal(user: User) {
    need!(Terminal::new());
    let root = rootfs(user);
    let push = |line: &str| {
        let mut terminal = Terminal::new().expect("a terminal");
        let mut running =
            Chain::new(user, &format!("{line} /bin/probe push x")).start_on(&mut terminal);
        running.wait_for("\r\n");
        running.finish().stdout
    };
    for isolation in isolations(user) {
        let pivot = format!("{isolation} fs-pivot {root} --");
        let refused = push(&format!("{pivot} priv-drop --"));
        assert_eq!(refused.trim(), "EPERM", "{isolation}");
        let legacy = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
        if legacy.is_ok_and(|knob| knob.trim() == "1") {
            assert!(push(&pivot).contains("ok"), "the attack itself does not work");
        }
    }
}

fn f3_cve_2019_5736_no_tool_is_overwritten(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let tool = toolbox::tool("mini-init");
    let before = fs::read(&tool).expect("read");
    // The image's program is a script whose interpreter is whoever executes it.
    root.script("bin/trap", "#!/proc/self/exe\n");
    let attack = "exec 9</proc/1/exe; for name in /proc/1/exe /proc/self/fd/9; do \
                  /bin/probe mount-flags $name; /bin/probe append $name; done; \
                  chmod 777 /proc/1/exe || mount -o remount,rw,bind /proc/1/exe || \
                  umount /proc/1/exe || /bin/trap || echo refused";
    for chain in shells(user, &root, attack) {
        // A program that runs is busy, which is asked first; read-only it stays afterwards too.
        let one = "FsFlags(ST_RDONLY | ST_NOSUID)\nE*\n";
        chain.run().expect(0, like(format!("{one}{one}refused\n")), any());
    }
    assert!(fs::read(&tool).expect("read") == before);
    // A program of the host that has run without such a mount.
    let victim = scratch.program("victim", toolbox::probe());
    fs::set_permissions(&victim, PermissionsExt::from_mode(0o777)).expect("chmod");
    let attack = "exec 9<$0; $0 exit 0; echo evil >>/proc/self/fd/9 && echo overwritten";
    let outcome = Chain::new(user, "sh -c").arg(attack).arg(&victim).run();
    outcome.expect(0, "overwritten\n", "");
}

fn f9_cve_2022_0492_no_release_agent_is_set(user: User) {
    let root = rootfs(user);
    // A hierarchy of the attacker's own, with nothing of the host in it; of what the container is
    // shown only whether it could be written.
    let name = format!("catena-test-{}-{}", std::process::id(), user.uid());
    let mount = format!("mkdir -p $0/h && mount -t cgroup -o none,name={name} none $0/h");
    let attack = format!(
        "{mount} && echo mounted; for agent in /sys/fs/cgroup/release_agent \
         /sys/fs/cgroup/*/release_agent; do if [ -e $agent ]; then /bin/probe append $agent; fi; \
         done | grep ok"
    );
    for chain in shells(user, &root, &attack) {
        chain.arg("/tmp").run().expect(1, "", any());
    }
    // Not even with all that a container can have.
    for chain in pivots(user, "", &root) {
        chain.args(["sh", "-c", &attack, "/tmp"]).run().expect(1, "", any());
    }
    // The kernel allows none in a user namespace, so that only root can show it.
    if user.is_root() {
        let scratch = Scratch::new(user);
        let attack = format!(
            "{mount} && echo /agent >$0/h/release_agent && cat $0/h/release_agent; umount $0/h"
        );
        let control = Chain::new(user, "unshare -m sh -c").arg(attack).arg(scratch.path()).run();
        control.expect(0, "/agent\n", "");
    }
}

fn f4_cve_2024_21626_no_descriptor_leads_to_the_host(user: User) {
    let (root, host) = (rootfs(user), Scratch::new(user));
    host.file("secret", SECRET);
    let attack = "n=0; while [ $n -lt 64 ]; do cat /proc/self/fd/$n/secret \
                  /proc/self/fd/$n/../secret; n=$((n+1)); done; cat secret ../secret \
                  /proc/*/cwd/secret /proc/*/root/secret";
    let leak = |chain: Chain| {
        let folder = || fs::File::open(host.path()).expect("open");
        (3..32).fold(chain, |chain, n| chain.descriptor(n, folder())).directory(host.path())
    };
    for chain in shells(user, &root, attack) {
        leak(chain).run().expect(1, "", any());
    }
    for isolation in isolations(user) {
        for number in [3, 7, 31] {
            let options = format!("--chdir /proc/self/fd/{number}");
            let line = format!("{isolation} fs-pivot {options} {root} -- priv-drop -- sh -c");
            let refused = like("fs-pivot: can't change to: *\n");
            leak(Chain::new(user, &line).arg(attack)).run().expect(125, "", refused);
        }
    }
    // What chroot(1) leaves.
    let script = format!("mount --rbind /proc {root}/proc && exec chroot {root} /bin/sh -c \"$0\"");
    let control = leak(Chain::new(user, "unshare -r -m sh -c").arg(script).arg(attack)).run();
    assert!(control.stdout.contains(SECRET), "{control}");
}

/// Whether a mount by path over what the image has at `place` shows up at `target` outside.
fn lands_outside(user: User, place: &str, target: &str) {
    let script = format!("mount --bind /etc/passwd {place} && cmp /etc/passwd {target}");
    Chain::new(user, "unshare -r -m sh -c").arg(script).run().expect(0, "", "");
}

fn f7_cve_2025_31133_the_image_does_not_choose_what_masks(user: User) {
    let (root, host) = (rootfs(user), Scratch::new(user));
    let target = host.file("target", SECRET);
    fs::set_permissions(&target, PermissionsExt::from_mode(0o666)).expect("chmod");
    let look = "stat -c '%F %t:%T' /dev/null /proc/kallsyms /proc/interrupts; cat /proc/kallsyms /proc/interrupts; \
                readlink /dev/null; /bin/probe append /proc/sys/kernel/core_pattern";
    for link in [target.as_path(), "/proc/sys/kernel/core_pattern".as_ref()] {
        let null = root.join("dev/null");
        let _ = fs::remove_file(&null);
        symlink(link, &null).expect("symlink");
        for chain in shells(user, &root, look) {
            let mask = "character special file 1:3\n".repeat(3);
            chain.run().expect(0, like(format!("{mask}E*\n")), "");
        }
        assert_eq!(fs::read_to_string(&target).expect("read"), SECRET);
    }
    // A mask by path shows what the image chose, for reading and for writing.
    let (null, masked) = (root.join("dev/null"), root.file("etc/masked", "masked\n"));
    fs::remove_file(&null).expect("remove");
    symlink(&target, &null).expect("symlink");
    let script = format!(
        "mount --bind {} {masked} && cat {masked} && echo evil >{masked}",
        null.display(),
        masked = masked.display()
    );
    for host in hosts(user) {
        fs::write(&target, SECRET).expect("write");
        Chain::new(user, &format!("{host} sh -c")).arg(&script).run().expect(0, SECRET, "");
        assert_eq!(fs::read_to_string(&target).expect("read"), "evil\n");
    }
}

fn f7_cve_2025_52565_the_image_does_not_choose_the_console(user: User) {
    need!(Terminal::new());
    let (root, host) = (rootfs(user), Scratch::new(user));
    let target = host.file("target", SECRET);
    fs::remove_dir(root.join("dev")).expect("remove");
    fs::create_dir_all(root.join("dev/pts")).expect("make folders");
    for name in ["console", "pts/0", "ptmx", "tty"] {
        symlink(&target, root.join("dev").join(name)).expect("symlink");
    }
    let script = "stat -c '%F' /dev/console; test /dev/console -ef /proc/self/fd/0 && echo same; \
                  readlink /dev/console";
    for chain in shells(user, &root, script) {
        let mut terminal = Terminal::new().expect("a terminal");
        let outcome = chain.start_on(&mut terminal).finish();
        assert_eq!(outcome.stdout, "character special file\r\nsame\r\n", "{outcome}");
        assert_eq!(fs::read_to_string(&target).expect("read"), SECRET);
    }
    let console = root.join("dev/console").display().to_string();
    lands_outside(user, &console, &target.display().to_string());
}

//! Escapes that have been, tried by an app of the whole default chain on what comes to it or starts
//! beside it: on who joins, and on what writes to /proc.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use catena_tests::pivot::{can_pivot, hosts, isolations, rootfs, whole};
use catena_tests::tree::Tree;
use catena_tests::{Chain, Running, Scratch, User, any, each_user, like, need};
use nix::sys::signal::Signal;

each_user![if can_pivot;
    f2_cve_2016_9962_who_joins_is_not_looked_into,
    f6_cve_2025_52881_writes_to_proc_are_not_led_elsewhere,
    f6_cve_2025_52881_no_race_leads_writes_to_proc_elsewhere,
    f6_cve_2025_52881_what_is_mounted_over_proc_is_not_written,
];

const SECRET: &str = "a file of the host\n";

/// Ends a container, and gives what its app said.
fn end(container: Running) -> String {
    container.signal(Signal::SIGTERM);
    container.finish().stdout
}

fn f2_cve_2016_9962_who_joins_is_not_looked_into(user: User) {
    need!(need::program("nsenter"));
    need!(need::program("setpriv"));
    let (root, host) = (rootfs(user), Scratch::new(user));
    host.file("secret", SECRET);
    // Who joins has a folder of the host open, and is in it.
    let read = "echo ready; while :; do cat /proc/[0-9]*/fd/9/secret /proc/[0-9]*/cwd/secret; done \
                2>/dev/null";
    let read = ["/bin/sh", "-c", read];
    let attacks = [read.as_slice(), &["/bin/probe", "attack"]];
    for isolation in isolations(user) {
        let joined_by = |joiner: &str, attack: &[&str], count: usize| {
            let chain = Chain::new(user, &whole(user, isolation, &root, "")).args(attack);
            let mut container = chain.deadline(Duration::from_secs(120)).start();
            container.wait_for("ready\n");
            let line = joiner.replace("{init}", &container.init().to_string());
            for _ in 0..count {
                let folder = fs::File::open(host.path()).expect("open");
                let joined = Chain::new(user, &line).directory(host.path()).descriptor(9, folder);
                joined.run().expect(0, "", "");
            }
            end(container)
        };
        // The kernel shows the container's filter to root alone.
        let filter = if user.is_root() { "" } else { "--seccomp default" };
        let ours = format!("ns-enter --no-cgroup {filter} {{init}} -- /bin/probe exit 0");
        for attack in attacks {
            assert_eq!(joined_by(&ours, attack, 50), "ready\n", "{isolation}");
        }
        // A joiner that executes another program inside, as small as its prey by then.
        let space = if isolation.contains("share=user") { "" } else { "--user" };
        let weak = format!(
            "nsenter {space} --pid --preserve-credentials -t {{init}} \
             setpriv --bounding-set=-all --inh-caps=-all sleep 0.1"
        );
        let [read, look] = attacks.map(|attack| joined_by(&weak, attack, 10));
        assert!(read.contains(SECRET), "the attack itself does not work: {read}");
        for way in ["exe", "root", "cwd", "fd"] {
            assert!(look.contains(&format!("reached {way}\n")), "{way} can't be reached: {look}");
        }
    }
}

/// What tools write to in a procfs.
const WRITTEN: [&str; 6] =
    ["uid_map", "gid_map", "setgroups", "oom_score_adj", "attr/exec", "attr/apparmor/exec"];

/// A folder that looks like a procfs, and that everybody may write to.
fn false_proc(folder: &Path) {
    for process in ["self", "thread-self", "1", "2", "3"] {
        fs::create_dir_all(folder.join(process).join("attr/apparmor")).expect("make folders");
        for name in WRITTEN {
            let file = folder.join(process).join(name);
            fs::write(&file, "untouched").expect("write");
            fs::set_permissions(file, PermissionsExt::from_mode(0o666)).expect("chmod");
        }
    }
}

/// With this option `priv-drop` writes there.
const WRITES: &str = "--oom-score-adj 500";
/// As one that goes by path does it, which is what engines did.
const BY_PATH: &str = "echo 500 >/proc/self/oom_score_adj";

fn f6_cve_2025_52881_writes_to_proc_are_not_led_elsewhere(user: User) {
    let host = Scratch::new(user);
    let volume = host.folder("volume", user);
    false_proc(&volume);
    let tree = Tree::of(&volume);
    let shown = format!("--bind {}:/proc", volume.display());
    for isolation in isolations(user) {
        // The image has another's folder in the place of /proc, or a link to one.
        for target in [volume.as_path(), Path::new("mnt"), Path::new("/mnt")] {
            let root = rootfs(user);
            fs::remove_dir(root.join("proc")).expect("remove");
            symlink(target, root.join("proc")).expect("symlink");
            let pivot = format!("--bind {}:/mnt {root}", volume.display());
            let line = whole(user, isolation, &pivot, WRITES);
            let outcome = Chain::new(user, &line).args(["cat", "/proc/self/oom_score_adj"]).run();
            match outcome.ended {
                Some(ended) if ended == 0.into() => outcome.expect(0, "500\n", ""),
                _ => outcome.expect(125, "", any()),
            };
            tree.is_unchanged();
        }
        // It is shown there, over a procfs and without one.
        let root = rootfs(user);
        for options in ["", "--no-defaults"] {
            let line = whole(user, isolation, format!("{options} {shown} {root}"), WRITES);
            let refused = "priv-drop: *'/proc'*\n";
            Chain::new(user, &line).args(["echo", "started"]).run().expect(125, "", like(refused));
            tree.is_unchanged();
        }
    }
    let root = rootfs(user);
    let line = whole(user, "ns-unshare --", format!("{shown} {root}"), "");
    Chain::new(user, &line).args(["sh", "-c", BY_PATH]).run().expect(0, "", "");
    assert_eq!(fs::read_to_string(volume.join("self/oom_score_adj")).expect("read"), "500\n");
}

/// One container exchanges what another is made from.
fn f6_cve_2025_52881_no_race_leads_writes_to_proc_elsewhere(user: User) {
    for isolation in isolations(user) {
        let (root, own) = (rootfs(user), rootfs(user));
        for place in ["volume", "mnt"] {
            let _ = fs::create_dir(root.join(place));
        }
        false_proc(&root.join("volume"));
        let volume = root.join("volume");
        let written = || fs::read_to_string(volume.join("self/oom_score_adj")).expect("read");
        symlink("volume", root.join("link")).expect("symlink");
        let line = whole(user, isolation, format!("--bind {root}:/mnt {own}"), "");
        let chain = Chain::new(user, &line).args(["/bin/probe", "swap", "/mnt/proc", "/mnt/link"]);
        let mut racer = chain.deadline(Duration::from_secs(60)).start();
        racer.wait_for("ready\n");
        let tree = Tree::of(&volume);
        let victim = |drop: &str, script: &str| {
            let line = whole(user, isolation, &root, drop);
            Chain::new(user, &line).args(["sh", "-c", script]).run()
        };
        let mut started = 0;
        for _ in 0..40 {
            let outcome = victim(WRITES, "echo started");
            match outcome.ended {
                Some(ended) if ended == 0.into() => started += 1,
                // What is there at the moment is no procfs.
                _ => {
                    outcome.expect(125, "", any());
                }
            }
        }
        tree.is_unchanged();
        assert!(started > 0, "{isolation}: it never got to write");
        // By path it is only a matter of time.
        racer.wait_until("a write by path is led elsewhere", || {
            victim("", BY_PATH);
            written() == "500\n"
        });
        end(racer);
    }
}

/// What the app of a default chain can't do, who keeps its capabilities can: to mount over the files
/// of its /proc, for tools that are started in there.
fn f6_cve_2025_52881_what_is_mounted_over_proc_is_not_written(user: User) {
    let (root, host) = (rootfs(user), Scratch::new(user));
    let target = host.file("target", "untouched\n");
    fs::set_permissions(&target, PermissionsExt::from_mode(0o666)).expect("chmod");
    let written = || fs::read_to_string(&target).expect("read");
    let tools = catena_tests::toolbox::folder().display();
    let pivot = format!("--ro-bind {tools}:/mnt --bind {}:/tmp/target {root}", target.display());
    let cover = "mount --bind /tmp/target /proc/$$/oom_score_adj || exit 9;";
    let drop = "exec /mnt/priv-drop --oom-score-adj 500 -- echo started";
    let refused =
        "priv-drop: can't open: *: Cross-device link\nhint: something is mounted over it*\n";
    for isolation in isolations(user) {
        let inside = |options: &str, script: String| {
            let line = whole(user, isolation, &pivot, options);
            Chain::new(user, &line).args(["sh", "-c", &script]).run()
        };
        inside("", format!("{cover} echo covered")).expect(9, "", any());
        let nest = "busybox unshare -U -r -m true";
        inside("", format!("{nest} && echo nested")).expect(1, "", any());
        let mighty = "--caps all --seccomp none";
        inside(mighty, format!("{cover} {drop}")).expect(125, "", like(refused));
        assert_eq!(written(), "untouched\n");
        inside(mighty, drop.to_owned()).expect(0, "started\n", "");
        // By path it is written there.
        inside(mighty, format!("{cover} echo 500 >/proc/$$/oom_score_adj")).expect(0, "", "");
        assert_eq!(written(), "500\n");
        fs::write(&target, "untouched\n").expect("write");
    }
    // Nor on the host.
    for way in hosts(user) {
        let script = format!(
            "mount --bind {} /proc/$$/oom_score_adj && {}",
            target.display(),
            drop.replace("/mnt/", "")
        );
        Chain::new(user, &format!("{way} sh -c")).arg(script).run().expect(125, "", like(refused));
        assert_eq!(written(), "untouched\n");
    }
}

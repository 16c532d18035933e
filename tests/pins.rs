//! ns-unshare: namespaces that are pinned at files.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use catena_tests::{Chain, Scratch, User, each_user, like};
use nix::fcntl::{Flock, FlockArg};

each_user![if User::can_isolate;
    a_pinned_namespace_is_entered,
    a_pinned_network_has_its_loopback_up_and_outlives_its_maker,
    a_pin_that_can_not_be_used_is_an_error,
    who_pins_crosswise_does_not_wait_for_ever,
    who_only_reads_a_pin_does_not_block_its_owner,
];

/// A shell with root's powers over a mount namespace of its own, where it runs `script`.
fn in_a_mount_namespace(user: User, scratch: &Scratch, script: &str) -> Chain {
    let chain = Chain::new(user, "ns-unshare --user --map-root --mount -- sh -euc").arg(script);
    chain.directory(scratch.path())
}

/// The second one to come finds what the first made, also where both come at the same moment, and
/// the kinds that no file is named for are new each time.
fn a_pinned_namespace_is_entered(user: User) {
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    for (kind, file) in [("net", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup")] {
        let pinned = format!("ns-unshare --{kind}=pin");
        let show = format!("readlink /proc/self/ns/{file}");
        let script = format!(
            "{pinned} -- {show} >first; {pinned} --mount --pid -- {show} >second
             for one in 3 4 5 6; do ns-unshare --{kind}=fresh -- {show} >$one & done; wait
             ns-unshare --{kind} -- {show} >other
             cmp first second; cmp 3 4; cmp 3 5; cmp 3 6
             if cmp -s first other || cmp -s first 3; then exit 9; fi
             stat -f -c %T pin; umount pin fresh; rm pin fresh"
        );
        in_a_mount_namespace(user, &scratch, &script).run().expect(0, "nsfs\n", "");
    }
}

fn a_pinned_network_has_its_loopback_up_and_outlives_its_maker(user: User) {
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    let script = "ns-unshare --net=pin --user -- true; ns-unshare --net=pin -- ip -br link show lo";
    let outcome = in_a_mount_namespace(user, &scratch, script).run();
    outcome.expect(0, like("lo * <LOOPBACK,UP,LOWER_UP> \n"), "");
}

fn a_pin_that_can_not_be_used_is_an_error(user: User) {
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    let script = "ns-unshare --net=pin -- true; ns-unshare --uts=pin -- echo never";
    let wrong = "ns-unshare: can't enter the namespace: 'pin': Invalid argument\nhint: *kind?\n";
    in_a_mount_namespace(user, &scratch, script).run().expect(125, "", like(wrong));
    let twice = "ns-unshare --net=new --uts=./new -- echo never";
    let refused = "ns-unshare: two namespaces can't be pinned at: './new'\n";
    in_a_mount_namespace(user, &scratch, twice).run().expect(125, "", refused);
    // A /proc of another PID namespace, in which the child's number is somebody else's.
    let elsewhere = "exec ns-unshare --pid --no-mount-proc --mount -- \
                     ns-unshare --pid --no-mount-proc --mount --uts=other -- echo never";
    let unknown =
        "ns-unshare: can't find the child in: '/proc': it belongs to another PID namespace\n";
    in_a_mount_namespace(user, &scratch, elsewhere).run().expect(125, "", unknown);
    let both = "ns-unshare --net=pin --share net -- echo never";
    let contradiction = "ns-unshare: --share contradicts the file of a namespace: 'pin'\n";
    in_a_mount_namespace(user, &scratch, both).run().expect(125, "", contradiction);
    if !user.is_root() {
        // Nothing is mounted on the host by who may not.
        let outcome = Chain::new(user, "ns-unshare --net=pin --user -- echo never");
        let refused = "ns-unshare: can't pin the namespace at: 'pin': Operation not permitted\nhint: *CAP_SYS_ADMIN*\n";
        outcome.directory(scratch.path()).run().expect(125, "", like(refused));
    }
}

/// Holds the lock of a file as anybody can who may read it.
fn hold(path: &Path) -> Flock<File> {
    let file = File::open(path).expect("open");
    Flock::lock(file, FlockArg::LockExclusiveNonblock).expect("flock")
}

/// How many processes wait for the lock of one of the files with these inodes.
fn waiting(inodes: &[u64]) -> usize {
    let waits = |line: &&str| {
        line.contains("->") && inodes.iter().any(|inode| line.contains(&format!(":{inode} ")))
    };
    fs::read_to_string("/proc/locks").expect("read").lines().filter(waits).count()
}

fn who_pins_crosswise_does_not_wait_for_ever(user: User) {
    for first in ["one", "two"] {
        let scratch = Scratch::new(user);
        catena_tests::scratch::give(scratch.path(), user);
        let inodes = ["one", "two"].map(|name| {
            let path = scratch.file(name, "");
            catena_tests::scratch::give(&path, user);
            fs::metadata(path).expect("examine").ino()
        });
        // Both come while the lock that one of them takes first is held, so that each of them has
        // the other's or waits.
        let held = hold(&scratch.join(first));
        let script = format!(
            "ns-unshare --net=one --uts=two -- echo started & first=$!
             until grep -q -e '->.*:{} ' -e '->.*:{} ' /proc/locks; do :; done
             ns-unshare --net=two --uts=one -- echo started & wait $first || :; wait $!",
            inodes[0], inodes[1]
        );
        let running = in_a_mount_namespace(user, &scratch, &script).start();
        running.wait_until("both wait", || waiting(&inodes) == 2);
        drop(held);
        // One has pinned both; the other is told that they are of other kinds.
        let outcome = running.finish();
        assert_eq!(outcome.stdout, "started\n", "{outcome}");
        let wrong = "ns-unshare: can't enter the namespace: *: Invalid argument\nhint: *kind?\n";
        assert!(like(wrong).fits(&outcome.stderr), "{outcome}");
    }
}

fn who_only_reads_a_pin_does_not_block_its_owner(user: User) {
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    let pin = scratch.file("pin", "");
    catena_tests::scratch::give(&pin, user);
    let held = hold(&pin);
    let start =
        || in_a_mount_namespace(user, &scratch, "exec ns-unshare --net=pin -- echo started");
    let inode = fs::metadata(&pin).expect("examine").ino();
    let refused = format!(
        "ns-unshare: can't lock: 'pin': another process holds the lock (/proc/locks: inode {inode})\n\
         hint: whoever may read the file *\n"
    );
    start().run().expect(125, "", like(refused));
    // Nobody goes on waiting for a chain that is gone; the harness fails if a process is left.
    let running = start().start();
    running.wait_until("it waits", || waiting(&[inode]) == 1);
    running.signal(nix::sys::signal::Signal::SIGKILL);
    running.finish().expect(nix::sys::signal::Signal::SIGKILL, "", "");
    // What the hint says: of a file that is made for it no reader gets hold.
    fs::remove_file(&pin).expect("remove");
    let umask = "umask 0; exec ns-unshare --net=pin -- echo started";
    in_a_mount_namespace(user, &scratch, umask).run().expect(0, "started\n", "");
    assert_eq!(fs::metadata(&pin).expect("examine").permissions().mode() & 0o777, 0o400);
    drop(held);
}

//! priv-drop: user, groups, capabilities and no_new_privs; all of it, or the app never starts.

use std::os::unix::fs::PermissionsExt;

use catena_tests::pivot::isolations;
use catena_tests::seen::Capabilities;
use catena_tests::{Chain, Rootfs, Scratch, Seen, User, each_user, like, toolbox};

each_user![if can_pivot;
    f10_nothing_is_left_by_default,
    the_user_stays_unless_one_is_named,
    a_user_by_number,
    a_user_by_name,
    a_group_by_name,
    f10_a_number_is_never_a_name,
    names_come_from_the_present_root,
    a_user_that_does_not_exist_is_refused,
    f10_supplementary_groups_are_dropped,
    nothing_more_to_drop_needs_no_privilege,
    supplementary_groups_are_set,
    the_usual_capabilities,
    all_capabilities,
    single_capabilities,
    an_unknown_capability_is_refused,
    more_than_is_there_is_refused,
    a_user_keeps_the_capabilities_named,
    f10_setuid_programs_give_nothing,
    outside_of_a_user_namespace,
];

/// What `--caps oci` means: capabilities(7)'s numbers of CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL,
/// SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT and SETFCAP.
const OCI: [u32; 11] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31];

fn can_pivot(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Rootfs::new(user).map(drop)
}

fn mask(numbers: &[u32]) -> u64 {
    numbers.iter().fold(0, |mask, number| mask | 1 << number)
}

/// A chain up to `priv-drop` with these options, in a user namespace.
fn drop_privileges(user: User, options: &str) -> Chain {
    Chain::new(user, &format!("ns-unshare -- priv-drop {options} -- {{probe}}"))
}

fn see(user: User, options: &str) -> Seen {
    drop_privileges(user, options).see()
}

/// A chain up to `priv-drop` with these options, in a root with users and groups of its own.
fn drop_in(root: &Rootfs, user: User, options: &str) -> Chain {
    Chain::new(user, &format!("ns-unshare -- fs-pivot {root} -- priv-drop {options} -- /bin/probe"))
}

fn rootfs(user: User) -> Rootfs {
    Rootfs::new(user).expect("asked before")
}

/// The user and group that a chain ends with; where only one id is mapped, there is no other to
/// become, and the error says so.
#[track_caller]
fn expect_ids(chain: Chain, user: User, uid: u32, gid: u32, groups: &[u32]) {
    let outcome = chain.run();
    if user.is_root() {
        let seen = outcome.seen();
        assert_eq!((seen.uids, seen.gids), ([uid; 3], [gid; 3]));
        assert_eq!(seen.groups, groups);
        assert_eq!(seen.capabilities, Capabilities::default());
    } else {
        outcome.expect(125, "", like("priv-drop: *\nhint: *map*\n"));
    }
}

fn f10_nothing_is_left_by_default(user: User) {
    for isolation in isolations(user) {
        let seen = Chain::new(user, &format!("{isolation} priv-drop -- {{probe}}")).see();
        assert_eq!(seen.capabilities, Capabilities::default());
        assert!(seen.no_new_privs);
        let without = Chain::new(user, &format!("{isolation} {{probe}}")).see();
        assert_ne!(without.capabilities.effective, 0);
        assert_ne!(without.capabilities.permitted, 0);
        assert_ne!(without.capabilities.bounding, 0);
        assert!(!without.no_new_privs);
    }
}

fn the_user_stays_unless_one_is_named(user: User) {
    let seen = see(user, "");
    assert_eq!((seen.uids, seen.gids), ([0; 3], [0; 3]));
}

fn a_user_by_number(user: User) {
    expect_ids(drop_privileges(user, "--user 1500:1600"), user, 1500, 1600, &[]);
}

fn a_user_by_name(user: User) {
    // The passwd file gives the group; the groups which the group file adds have to be asked for.
    let root = rootfs(user);
    expect_ids(drop_in(&root, user, "--user app"), user, 1000, 1001, &[]);
}

fn a_group_by_name(user: User) {
    let root = rootfs(user);
    expect_ids(drop_in(&root, user, "--user 1500:extra"), user, 1500, 1002, &[]);
}

fn f10_a_number_is_never_a_name(user: User) {
    // Somebody is called "1234" there, and is uid 7; some group too, which is gid 8.
    let root = rootfs(user);
    for isolation in isolations(user) {
        let line =
            format!("{isolation} fs-pivot {root} -- priv-drop --user 1234:1234 -- /bin/probe");
        expect_ids(Chain::new(user, &line), user, 1234, 1234, &[]);
    }
    if user.is_root() {
        // su(1) takes it for the name.
        let line = format!("chroot {root} /bin/busybox su 1234 -c id");
        let outcome = Chain::new(user, &line).run();
        assert!(outcome.stdout.starts_with("uid=7"), "{outcome}");
    }
}

fn names_come_from_the_present_root(user: User) {
    let start = drop_privileges(user, "--user app").run();
    start.expect(125, "", like("priv-drop: *'app'*\n"));
    let root = rootfs(user);
    root.file("etc/passwd", "daemon:x:4321:4322::/:\n");
    expect_ids(drop_in(&root, user, "--user daemon"), user, 4321, 4322, &[]);
}

fn a_user_that_does_not_exist_is_refused(user: User) {
    let root = rootfs(user);
    let broken =
        "broken:x:4294967296:1::/:\nempty:x::1::/:\nminus:x:-1:1::/:\nall:x:4294967295:1::/:\n";
    root.file("etc/passwd", broken);
    for name in [
        "4294967295",
        "4294967296",
        "-1",
        "",
        ":",
        ":0",
        "0:",
        "0:0:0",
        "+1",
        "0x10",
        " 1",
        "1 ",
        "nobody-here",
        "0:4294967295",
        "0:4294967296",
        "0:none",
        "broken",
        "empty",
        "minus",
        "all",
    ] {
        let line = format!("ns-unshare -- fs-pivot {root} -- priv-drop");
        let chain = Chain::new(user, &line).arg(format!("--user={name}"));
        let outcome = chain.args(["--", "/bin/probe", "write", "/dev/stdout", "started"]).run();
        outcome.expect(125, "", like("priv-drop: *"));
    }
}

fn nothing_more_to_drop_needs_no_privilege(user: User) {
    let line = "ns-unshare -- priv-drop -- priv-drop --keyring keep -- mini-init -- {probe} exit 3";
    Chain::new(user, line).run().expect(3, "", "");
}

fn f10_supplementary_groups_are_dropped(user: User) {
    if !user.is_root() {
        // Who has no others than his own can give no test any.
        return;
    }
    for isolation in isolations(user) {
        let start = |line: &str| {
            let chain = Chain::new(user, &format!("{isolation} {line} {{probe}}"));
            chain.groups(&[5555, 6666]).see().groups
        };
        assert_eq!(start(""), [5555, 6666]);
        assert!(start("priv-drop --").is_empty());
        assert!(start("priv-drop --user 1000:1000 --").is_empty());
    }
}

fn supplementary_groups_are_set(user: User) {
    let root = rootfs(user);
    let options = "--user 1500:1600 --groups 1700,extra";
    expect_ids(drop_in(&root, user, options), user, 1500, 1600, &[1002, 1700]);
    for groups in ["4294967295", "none", "1,,2", "-1"] {
        let chain = drop_in(&root, user, &format!("--groups={groups}"));
        chain.run().expect(125, "", like("priv-drop: *"));
    }
}

fn the_usual_capabilities(user: User) {
    let set = mask(&OCI);
    let seen = see(user, "--caps oci").capabilities;
    assert_eq!((seen.effective, seen.permitted, seen.bounding), (set, set, set));
    assert_eq!(seen.inheritable, 0);
}

fn all_capabilities(user: User) {
    let before = Chain::new(user, "ns-unshare -- {probe}").see().capabilities;
    let seen = see(user, "--caps all").capabilities;
    assert_eq!((seen.effective, seen.bounding), (before.effective, before.bounding));
}

fn single_capabilities(user: User) {
    let set = mask(&[10, 13]);
    let seen = see(user, "--caps +NET_BIND_SERVICE,+NET_RAW").capabilities;
    assert_eq!((seen.effective, seen.permitted, seen.bounding), (set, set, set));
    // Written as in capabilities(7), in any case.
    assert_eq!(see(user, "--caps +CAP_NET_RAW").capabilities.effective, mask(&[13]));
    assert_eq!(see(user, "--caps +net_raw").capabilities.effective, mask(&[13]));
    let fewer = see(user, "--caps oci,-KILL").capabilities;
    assert_eq!(fewer.effective, mask(&OCI) & !mask(&[5]));
    assert_eq!(fewer.bounding, mask(&OCI) & !mask(&[5]));
}

fn an_unknown_capability_is_refused(user: User) {
    for caps in ["", "some", "+NONE", "+", "NET_RAW+", "+NET_RAW,,", "+64", "+-1"] {
        let chain = Chain::new(user, "ns-unshare -- priv-drop").arg(format!("--caps={caps}"));
        chain.args(["--", "{probe}"]).run().expect(125, "", like("priv-drop: *"));
    }
}

fn more_than_is_there_is_refused(user: User) {
    // The second can't take back what the first gave away.
    let line = "ns-unshare -- priv-drop --caps +NET_RAW -- priv-drop --caps +SYS_ADMIN -- {probe}";
    Chain::new(user, line).run().expect(125, "", like("priv-drop: *"));
    let line =
        "ns-unshare -- priv-drop --caps oci -- priv-drop --keyring keep --caps +KILL -- {probe}";
    assert_eq!(Chain::new(user, line).see().capabilities.effective, mask(&[5]));
}

fn a_user_keeps_the_capabilities_named(user: User) {
    if !user.is_root() {
        return;
    }
    // Becoming somebody else clears them, unless the ambient set carries them over the exec.
    let seen = see(user, "--user 1500:1600 --caps +NET_BIND_SERVICE");
    assert_eq!(seen.uids, [1500; 3]);
    assert_eq!(seen.capabilities.effective, mask(&[10]));
    assert_eq!(seen.capabilities.bounding, mask(&[10]));
}

fn f10_setuid_programs_give_nothing(user: User) {
    let scratch = Scratch::new(user);
    let suid = scratch.program("suid", toolbox::probe());
    std::fs::set_permissions(&suid, PermissionsExt::from_mode(0o4755)).expect("chmod");
    let start = |line: &str| Chain::new(user, line).arg(&suid).see().uids;
    if !user.is_root() {
        if User::suite_is_root() {
            // Its owner is root of the host, whom no map of an ordinary user's has; the root inside
            // is that user.
            assert_eq!(start("env"), [user.uid(), 0, 0]);
            assert_eq!(start("ns-unshare -- priv-drop --"), [0; 3]);
        }
        return;
    }
    assert_eq!(start("setpriv --reuid 1000 --clear-groups"), [1000, 0, 0]);
    for isolation in isolations(user) {
        assert_eq!(start(&format!("{isolation} priv-drop --user 1000:1000 --")), [1000; 3]);
    }
    assert_eq!(start("priv-drop --user 1000:1000 --"), [1000; 3]);
}

fn outside_of_a_user_namespace(user: User) {
    let outcome = Chain::new(user, "priv-drop -- {probe}").run();
    match user {
        User::Root => {
            let seen = outcome.seen();
            assert_eq!(seen.capabilities, Capabilities::default());
            assert!(seen.no_new_privs);
        }
        // The bounding set stays as it is, which would not be all that was asked.
        User::Ordinary => {
            outcome.expect(125, "", like("priv-drop: *\nhint: *\n"));
        }
    }
}

//! ns-unshare: new namespaces and id maps, and nothing else.

use std::collections::BTreeSet;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use catena_tests::pivot::isolations;
use catena_tests::{Chain, Scratch, Seen, User, each_user, like, need};
use nix::sys::signal::Signal;

each_user![if User::can_isolate;
    without_options_all_namespaces_but_time_are_new,
    each_option_makes_its_namespace_only,
    a_namespace_can_be_shared,
    the_host_name_is_the_containers_own,
    the_default_id_map,
    the_present_ids_can_be_kept,
    map_root_is_root_inside,
    a_bad_map_is_refused,
    the_app_is_the_first_process,
    proc_shows_the_new_namespace,
    proc_can_be_left_alone,
    loopback_is_up,
    h9_abstract_sockets_of_the_host_are_out_of_reach,
    mounts_do_not_spread_to_the_host,
    propagation_can_be_chosen,
    without_a_pid_namespace_it_only_execs,
    the_monitor_forwards_signals,
    the_monitor_dies_as_the_app_did,
    the_app_dies_with_its_monitor,
    the_kill_signal_can_be_chosen,
    privileges_count_only_inside,
    supplementary_groups_are_not_kept_in_silence,
    a_range_of_ids_can_be_mapped,
    subordinate_ids_are_mapped_by_the_helpers,
    a_namespace_the_user_may_not_make_is_an_error,
];

/// The namespaces, as they are called in /proc.
const ALL: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// The names of the namespaces in which two processes are not together.
fn different(one: &Seen, other: &Seen) -> BTreeSet<&'static str> {
    ALL.into_iter().filter(|name| one.namespaces[*name] != other.namespaces[*name]).collect()
}

fn outside(user: User) -> Seen {
    Chain::new(user, "{probe}").see()
}

fn without_options_all_namespaces_but_time_are_new(user: User) {
    let seen = Chain::new(user, "ns-unshare -- {probe}").see();
    let expected = BTreeSet::from(["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]);
    assert_eq!(different(&seen, &outside(user)), expected);
    assert_eq!(different(&outside(user), &outside(user)), BTreeSet::new());
}

fn each_option_makes_its_namespace_only(user: User) {
    let options = [
        ("-C", "--cgroup", "cgroup"),
        ("-i", "--ipc", "ipc"),
        ("-m", "--mount", "mnt"),
        ("-n", "--net", "net"),
        ("-p", "--pid", "pid"),
        ("-T", "--time", "time"),
        ("-u", "--uts", "uts"),
        ("-U", "--user", "user"),
    ];
    let outside = outside(user);
    for (short, long, name) in options {
        for option in [short, long] {
            // Who is not root needs a user namespace for every other one.
            let first = if user.is_root() || name == "user" { "" } else { "-U" };
            let seen = Chain::new(user, &format!("ns-unshare {first} {option} -- {{probe}}")).see();
            let mut expected = BTreeSet::from([name]);
            expected.extend((!user.is_root()).then_some("user"));
            assert_eq!(different(&seen, &outside), expected, "{option}");
        }
    }
}

fn a_namespace_can_be_shared(user: User) {
    let seen = Chain::new(user, "ns-unshare --share=net,uts -- {probe}").see();
    let expected = BTreeSet::from(["cgroup", "ipc", "mnt", "pid", "user"]);
    assert_eq!(different(&seen, &outside(user)), expected);
    let wrong = Chain::new(user, "ns-unshare --share=nets -- {probe}").run();
    wrong.expect(125, "", like("ns-unshare: *nets*\n"));
}

fn the_host_name_is_the_containers_own(user: User) {
    let before = outside(user).hostname;
    assert_ne!(before, "web");
    let seen = Chain::new(user, "ns-unshare --hostname web -- {probe}").see();
    assert_eq!(seen.hostname, "web");
    assert_eq!(outside(user).hostname, before);
    // A name for a namespace that is shared would be the host's.
    let refused = Chain::new(user, "ns-unshare --share=uts --hostname web -- {probe}").run();
    refused.expect(125, "", like("ns-unshare: *"));
    assert_eq!(outside(user).hostname, before);
}

fn the_default_id_map(user: User) {
    let seen = Chain::new(user, "ns-unshare -- {probe}").see();
    assert_eq!(seen.uids, [0; 3]);
    assert_eq!(seen.gids, [0; 3]);
    if user.is_root() {
        assert_eq!(seen.uid_map, [[0, 0, u32::MAX]]);
        assert_eq!(seen.gid_map, [[0, 0, u32::MAX]]);
        assert_eq!(seen.setgroups, "allow");
    } else {
        assert_eq!(seen.uid_map, [[0, user.uid(), 1]]);
        assert_eq!(seen.gid_map, [[0, user.gid(), 1]]);
        assert_eq!(seen.setgroups, "deny");
    }
}

fn the_present_ids_can_be_kept(user: User) {
    let seen = Chain::new(user, "ns-unshare --map-current -- {probe}").see();
    assert_eq!(seen.uids, [user.uid(); 3]);
    assert_eq!(seen.uid_map, [[user.uid(), user.uid(), 1]]);
    assert_eq!(seen.gid_map, [[user.gid(), user.gid(), 1]]);
}

fn map_root_is_root_inside(user: User) {
    let seen = Chain::new(user, "ns-unshare --map-root -- {probe}").see();
    assert_eq!(seen.uids, [0; 3]);
    assert_eq!(seen.uid_map, [[0, user.uid(), 1]]);
}

fn a_bad_map_is_refused(user: User) {
    for map in
        ["0", "0:0", "0:0:0", "0:0:x", "0:-1:1", "0:0:4294967296", "4294967295:0:2", "::", ""]
    {
        let outcome =
            Chain::new(user, "ns-unshare --map-users").arg(map).args(["--", "{probe}"]).run();
        outcome.expect(125, "", like("ns-unshare: *"));
    }
    let overlap = "ns-unshare --map-users 0:1000:10 --map-users 5:3000:10 -- {probe}";
    Chain::new(user, overlap).run().expect(125, "", like("ns-unshare: *"));
}

fn the_app_is_the_first_process(user: User) {
    let seen = Chain::new(user, "ns-unshare -- {probe}").see();
    assert_eq!((seen.pid, seen.ppid), (1, 0));
    assert_ne!(outside(user).pid, 1);
}

fn proc_shows_the_new_namespace(user: User) {
    let seen = Chain::new(user, "ns-unshare -- {probe}").see();
    assert_eq!(Vec::from_iter(seen.processes), [(1, "probe".to_owned())]);
    let proc = seen.mounts.iter().rfind(|mount| mount.point == "/proc").expect("/proc");
    assert!(proc.has(&["nosuid", "nodev", "noexec"]), "{proc:?}");
    assert!(outside(user).processes.len() > 1);
}

fn proc_can_be_left_alone(user: User) {
    let seen = Chain::new(user, "ns-unshare --no-mount-proc -- {probe}").see();
    assert!(seen.processes.len() > 1, "{:?}", seen.processes);
}

fn loopback_is_up(user: User) {
    let loopback = |line: &str| {
        let seen = Chain::new(user, line).see();
        Vec::from_iter(seen.interfaces)
    };
    assert_eq!(loopback("ns-unshare -- {probe}"), [("lo".to_owned(), true)]);
    // The kernel leaves it down.
    assert_eq!(loopback("unshare -r -n {probe}"), [("lo".to_owned(), false)]);
}

fn h9_abstract_sockets_of_the_host_are_out_of_reach(user: User) {
    let name = format!("catena-test-{}-{}", std::process::id(), user.uid());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let _listener = UnixListener::bind_addr(&address).expect("bind");
    let reach = |line: &str| Chain::new(user, line).args(["abstract", &name]).run();
    reach("{probe}").expect(0, "ok\n", "");
    for isolation in isolations(user) {
        let shared = isolation.replace("ns-unshare", "ns-unshare --share=net");
        reach(&format!("{shared} {{probe}}")).expect(0, "ok\n", "");
        reach(&format!("{isolation} {{probe}}")).expect(0, "ECONNREFUSED\n", "");
    }
}

fn mounts_do_not_spread_to_the_host(user: User) {
    // Started where mounts are shared, as systemd has them: what is left at /mnt afterwards.
    let mount_after = |maker: &str| {
        let mount = "mount -t tmpfs none /mnt; grep -c ' /mnt ' /proc/self/mountinfo";
        let chain = Chain::new(user, "unshare -r -m --propagation shared sh -c");
        chain.arg(format!("{maker} {mount}")).run()
    };
    mount_after("ns-unshare -m --").expect(1, "0\n", "");
    mount_after("unshare -m --propagation unchanged --").expect(0, "1\n", "");
}

fn propagation_can_be_chosen(user: User) {
    let root = |option: &str| {
        // The shell stays, and with it the namespace that the new one was copied from.
        let script = format!("ns-unshare -m {option} -- \"$0\"; true");
        let chain = Chain::new(user, "unshare -r -m --propagation shared sh -c");
        let seen = chain.args([&script, "{probe}"]).see();
        let field = seen.mount("/").propagation.join(" ");
        field.split(':').next().unwrap_or_default().to_owned()
    };
    assert_eq!(root(""), "");
    assert_eq!(root("--propagation private"), "");
    assert_eq!(root("--propagation slave"), "master");
    assert_eq!(root("--propagation shared"), "shared");
    assert_eq!(root("--propagation unchanged"), "shared");
}

fn without_a_pid_namespace_it_only_execs(user: User) {
    let mut running = Chain::new(user, "ns-unshare --share=pid -- {probe} hold").start();
    running.wait_for("ready\n");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", running.pid())).expect("comm");
    assert_eq!(name, "probe\n");
    running.signal(Signal::SIGTERM);
    running.finish().expect(Signal::SIGTERM, "ready\n", "");
}

fn the_monitor_forwards_signals(user: User) {
    let mut running = Chain::new(user, "ns-unshare -- {probe} signals 3").start();
    running.wait_for("ready\n");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        running.signal(signal);
        running.wait_for(&format!("{signal}\n"));
    }
    running.finish().expect(0, "ready\nSIGTERM\nSIGINT\nSIGUSR1\n", "");
}

fn the_monitor_dies_as_the_app_did(user: User) {
    drop(need!(catena_tests::cell::Cell::new(user)));
    // The shell is PID 1, which no signal of its own kills; its child is the one that dies.
    let line = "ns-unshare -- sh -c";
    Chain::new(user, line).arg("kill -9 $$; exit 4").run().expect(4, "", "");
    let mut running = Chain::new(user, "ns-unshare -- {probe} hold").start();
    running.wait_for("ready\n");
    let monitor = running.pid();
    let apps: Vec<_> = running.processes().into_iter().filter(|pid| *pid != monitor).collect();
    assert_eq!(apps.len(), 1, "{apps:?}");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(apps[0]), Signal::SIGKILL).expect("kill");
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
}

fn the_app_dies_with_its_monitor(user: User) {
    drop(need!(catena_tests::cell::Cell::new(user)));
    let mut running = Chain::new(user, "ns-unshare -- {probe} deaf").start();
    running.wait_for("ready\n");
    assert_eq!(running.processes().len(), 2);
    running.signal(Signal::SIGKILL);
    // `finish` fails if the app lives on.
    running.finish().expect(Signal::SIGKILL, "ready\n", "");
}

fn the_kill_signal_can_be_chosen(user: User) {
    let line = "ns-unshare --kill-signal SIGTERM -- {probe} signals 1";
    let mut running = Chain::new(user, line).start();
    running.wait_for("ready\n");
    running.signal(Signal::SIGKILL);
    running.finish().expect(Signal::SIGKILL, "ready\nSIGTERM\n", "");
    let wrong = Chain::new(user, "ns-unshare --kill-signal SIGNONE -- {probe}").run();
    wrong.expect(125, "", like("ns-unshare: *SIGNONE*\n"));
}

fn privileges_count_only_inside(user: User) {
    let seen = Chain::new(user, "ns-unshare -- {probe}").see();
    assert_ne!(seen.capabilities.effective, 0);
    // The host's name, set to what it is: a right that belongs to the UTS namespace's owner.
    let set_name =
        |chain: &str| Chain::new(user, chain).args(["busybox", "hostname", &seen.hostname]).run();
    set_name("ns-unshare --").expect(0, "", "");
    let refused = "hostname: sethostname: Operation not permitted\n";
    set_name("ns-unshare --share=uts --").expect(1, "", refused);
    if user.is_root() {
        set_name("env").expect(0, "", "");
    }
}

fn supplementary_groups_are_not_kept_in_silence(user: User) {
    if user.is_root() || !User::suite_is_root() {
        return;
    }
    // Behind setgroups=deny the groups can't be dropped: what they open stays open.
    let start = |line: &str| Chain::new(user, line).groups(&[5555]);
    assert_eq!(start("{probe}").see().groups, [5555]);
    start("ns-unshare -- {probe}").run().expect(125, "", like("ns-unshare: *group*"));
    let seen = start("ns-unshare --keep-groups -- {probe}").see();
    // An id that is not mapped is shown as the overflow id.
    assert_eq!(seen.groups, [65534]);
}

fn a_range_of_ids_can_be_mapped(user: User) {
    let line = "ns-unshare --map-users 0:100000:10 --map-users 1000:200000:1 \
                --map-groups 0:100000:10 -- {probe}";
    let outcome = Chain::new(user, line).run();
    if user.is_root() {
        let seen = outcome.seen();
        assert_eq!(seen.uid_map, [[0, 100_000, 10], [1000, 200_000, 1]]);
        assert_eq!(seen.gid_map, [[0, 100_000, 10]]);
        assert_eq!(seen.uids, [0; 3]);
        assert_eq!(seen.gids, [0; 3]);
    } else {
        // These ids are not this user's to give.
        outcome.expect(125, "", like("ns-unshare: *"));
    }
}

fn subordinate_ids_are_mapped_by_the_helpers(user: User) {
    if !User::suite_is_root() {
        return;
    }
    need!(catena_tests::need::program("newuidmap"));
    need!(catena_tests::need::program("newgidmap"));
    let (uid, gid) = (user.uid(), user.gid());
    let scratch = Scratch::new(User::Root);
    let passwd = scratch.file("passwd", &format!("somebody:x:{uid}:{gid}::/:/bin/sh\n"));
    let subuid = scratch.file("subuid", "somebody:300000:65536\n");
    let subgid = scratch.file("subgid", "somebody:400000:65536\n");
    let start = |line: &str| {
        let chain = Chain::new(user, line).cover(&passwd, "/etc/passwd");
        chain.cover(&subuid, "/etc/subuid").cover(&subgid, "/etc/subgid")
    };
    let seen = start("ns-unshare --map-auto -- {probe}").see();
    assert_eq!(seen.uid_map, [[0, uid, 1], [1, 300_000, 65536]]);
    assert_eq!(seen.gid_map, [[0, gid, 1], [1, 400_000, 65536]]);
    assert_eq!(seen.setgroups, "allow");
    assert_eq!(seen.uids, [0; 3]);
    // Without an entry there is nothing to map.
    let empty = scratch.file("empty", "");
    let none = Chain::new(user, "ns-unshare --map-auto -- {probe}").cover(&passwd, "/etc/passwd");
    let none = none.cover(&empty, "/etc/subuid").cover(&empty, "/etc/subgid").run();
    none.expect(125, "", like("ns-unshare: *sub*id*\n"));
}

fn a_namespace_the_user_may_not_make_is_an_error(user: User) {
    let outcome = Chain::new(user, "ns-unshare -n -- {probe} write /dev/stdout started").run();
    match user {
        User::Root => outcome.expect(0, "startedok\n", ""),
        User::Ordinary => outcome.expect(125, "", like("ns-unshare: *\nhint: *--user*\n")),
    };
}

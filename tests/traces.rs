//! A chain leaves no trace: not in the app, which gets what the first link was given, and not on
//! the host, which looks as before; however it ends.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use catena_tests::pivot::{containers, isolations};
use catena_tests::{Cell, Chain, Rootfs, Scratch, Seen, User, each_user, host, like, toolbox};
use nix::sys::signal::Signal;

each_user![
    if can_pivot;
    the_app_inherits_stdio_and_no_more,
    f4_two_hundred_folders_do_not_leak,
    a_descriptor_can_be_kept,
    a_folder_cannot_be_kept,
    a_closed_stdin_is_null,
    f4_a_folder_as_stdin_is_refused,
    activated_sockets_are_handed_on,
    h5_sockets_for_another_are_not_handed_on,
    the_signal_state_is_handed_on,
    the_environment_is_handed_on,
    f11_words_are_handed_on,
    stdin_is_the_apps,
    limits_and_the_like_are_handed_on,
    the_working_directory_is_handed_on,
    nothing_is_written_on_the_host,
    two_hundred_starts,
    h11_every_process_can_be_killed,
    h11_every_process_can_be_killed_while_it_starts,
];

fn can_pivot(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Cell::new(user)?;
    Rootfs::new(user).map(drop)
}

/// The whole chain, as in the manual, without the app.
fn whole(user: User, root: &Rootfs) -> Chain {
    let line = format!("cg-enter -- ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init --");
    Chain::new(user, &line)
}

fn rootfs(user: User) -> Rootfs {
    Rootfs::new(user).expect("asked before")
}

fn seen(chain: Chain) -> Seen {
    chain.arg("/bin/probe").see()
}

fn the_app_inherits_stdio_and_no_more(user: User) {
    let root = rootfs(user);
    let zero = || File::open("/dev/zero").expect("open /dev/zero");
    let seen = seen(whole(user, &root).descriptor(3, zero()).descriptor(11, zero()));
    assert_eq!(seen.numbers(), [0, 1, 2]);
    assert_eq!(seen.descriptors[0].target, "/dev/null");
    let without = Chain::new(user, "{probe}").descriptor(3, zero()).descriptor(11, zero()).see();
    assert_eq!(without.numbers(), [0, 1, 2, 3, 11]);
}

fn f4_two_hundred_folders_do_not_leak(user: User) {
    let root = rootfs(user);
    let folder = || File::open("/").expect("open /");
    let open = |chain| (3..203).fold(chain, |chain: Chain, n| chain.descriptor(n, folder()));
    for chain in containers(user, &root) {
        assert_eq!(seen(open(chain)).numbers(), [0, 1, 2]);
    }
    assert_eq!(open(Chain::new(user, "{probe}")).see().numbers().len(), 203);
}

fn a_descriptor_can_be_kept(user: User) {
    let root = rootfs(user);
    let zero = || File::open("/dev/zero").expect("open /dev/zero");
    let line = format!(
        "cg-enter --keep-fd 5 --keep-fd 9 -- ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init --"
    );
    let chain =
        Chain::new(user, &line).descriptor(5, zero()).descriptor(7, zero()).descriptor(9, zero());
    assert_eq!(seen(chain).numbers(), [0, 1, 2, 5, 9]);
}

fn a_folder_cannot_be_kept(user: User) {
    let chain = Chain::new(user, "ns-unshare --keep-fd 5 -- {probe}");
    let outcome = chain.descriptor(5, File::open("/").expect("open /")).run();
    outcome.expect(125, "", like("ns-unshare: can't keep descriptor: '5': it is a directory*\n"));
}

fn a_closed_stdin_is_null(user: User) {
    let root = rootfs(user);
    let seen = seen(whole(user, &root).closed(0));
    assert_eq!(seen.numbers(), [0, 1, 2]);
    assert_eq!(seen.descriptors[0].target, "/dev/null");
}

fn f4_a_folder_as_stdin_is_refused(user: User) {
    let folder = || File::open("/usr").expect("open /usr");
    for isolation in isolations(user) {
        let start = Chain::new(user, &format!("{isolation} {{probe}}")).descriptor(0, folder());
        start.run().expect(125, "", like("ns-unshare: *standard input*directory*\n"));
    }
    let bare = Chain::new(user, "{probe}").descriptor(0, folder()).see();
    assert_eq!(bare.descriptors[0].target, "/usr");
}

fn activated_sockets_are_handed_on(user: User) {
    let root = rootfs(user);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    // As systemd starts a service: the variables name the process that they are for.
    let script = format!(
        "LISTEN_PID=$$ WATCHDOG_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web LISTEN_PIDFDID=77 exec cg-enter -- \
         ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init -- /bin/probe"
    );
    let seen = Chain::new(user, "sh -c").arg(script).descriptor(3, socket).see();
    assert_eq!(seen.numbers(), [0, 1, 2, 3]);
    assert!(seen.descriptors[3].target.starts_with("socket:"), "{:?}", seen.descriptors[3]);
    let pid = seen.pid.to_string();
    assert_eq!(seen.variable("LISTEN_PID"), Some(pid.as_str()));
    assert_eq!(seen.variable("WATCHDOG_PID"), Some(pid.as_str()));
    assert_eq!(seen.variable("LISTEN_FDS"), Some("1"));
    assert_eq!(seen.variable("LISTEN_FDNAMES"), Some("web"));
    assert_eq!(seen.variable("LISTEN_PIDFDID"), None);
}

fn h5_sockets_for_another_are_not_handed_on(user: User) {
    let root = rootfs(user);
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let for_another = |chain: Chain| {
        let copy = socket.try_clone().expect("duplicate");
        chain.env("LISTEN_PID", "1").env("LISTEN_FDS", "1").descriptor(3, copy)
    };
    for chain in containers(user, &root) {
        assert_eq!(seen(for_another(chain)).numbers(), [0, 1, 2]);
    }
    assert_eq!(for_another(Chain::new(user, "{probe}")).see().numbers(), [0, 1, 2, 3]);
}

fn the_signal_state_is_handed_on(user: User) {
    let root = rootfs(user);
    assert_eq!(seen(whole(user, &root)).signals, Default::default());
    let signals =
        [Signal::SIGPIPE, Signal::SIGCHLD, Signal::SIGHUP, Signal::SIGTERM, Signal::SIGUSR1];
    let mask = signals.iter().fold(0_u64, |mask, signal| mask | 1 << (*signal as i32 - 1));
    let ignoring = signals.iter().fold(whole(user, &root), |chain, signal| chain.ignoring(*signal));
    let state = seen(ignoring).signals;
    assert_eq!((state.ignored, state.blocked, state.caught), (mask, 0, 0));
    let blocking = signals.iter().fold(whole(user, &root), |chain, signal| chain.blocking(*signal));
    let state = seen(blocking).signals;
    assert_eq!((state.ignored, state.blocked, state.caught), (0, mask, 0));
}

fn the_environment_is_handed_on(user: User) {
    let root = rootfs(user);
    let dress = |chain: Chain| {
        let chain = chain.env("B", "2").env("A", "a b\n").env("EMPTY", "");
        chain.env("BYTES", OsStr::from_bytes(b"\xff\xfe")).env("LD_PRELOAD", "/none")
    };
    let with = seen(dress(whole(user, &root)));
    let without = dress(Chain::new(user, "{probe}")).see();
    assert_eq!(with.environment, without.environment);
    // What the tools tell each other is not for the app; nor is what only looks like it.
    let with = seen(dress(whole(user, &root)).env("CATENA_SOMETHING", "1"));
    assert_eq!(with.environment, without.environment);
}

fn f11_words_are_handed_on(user: User) {
    let root = rootfs(user);
    let words = ["", "--", "-x", "--help", "a b", "ns-unshare", "*", "\n", "$HOME"].map(OsStr::new);
    let words = || words.into_iter().chain([OsStr::from_bytes(b"\xff\xfe")]);
    for chain in containers(user, &root) {
        let outcome = chain.args(["/bin/busybox", "echo"]).args(words()).run();
        outcome.expect(0, " -- -x --help a b ns-unshare * \n $HOME \u{fffd}\u{fffd}\n", "");
    }
}

fn stdin_is_the_apps(user: User) {
    let root = rootfs(user);
    let start = |app: &[&str], stdin: &str| whole(user, &root).args(app).stdin(stdin).run();
    start(&["cat"], "hello\n").expect(0, "hello\n", "");
    start(&["cat"], "").expect(0, "", "");
    start(&["head", "-c", "3"], &"x".repeat(60000)).expect(0, "xxx", "");
    start(&["true"], "nobody reads this").expect(0, "", "");
}

fn limits_and_the_like_are_handed_on(user: User) {
    let root = rootfs(user);
    let line = format!(
        "prlimit --nofile=100:200 --core=0 nice -n 3 cg-enter -- ns-unshare -- fs-pivot {root} -- \
         priv-drop -- mini-init -- /bin/probe"
    );
    let with = Chain::new(user, &line).see();
    let without = Chain::new(user, "prlimit --nofile=100:200 --core=0 nice -n 3 {probe}").see();
    assert_eq!(with.limits, without.limits);
    assert_eq!(with.umask, without.umask);
    assert_eq!(with.oom_score_adj, without.oom_score_adj);
    assert_eq!((with.niceness, without.niceness), (3, 3));
    assert_eq!(with.processors, without.processors);
    assert_eq!(with.dumpable, without.dumpable);
}

fn the_working_directory_is_handed_on(user: User) {
    let seen = Chain::new(user, "cg-enter -- ns-unshare -- priv-drop -- mini-init -- {probe}");
    assert_eq!(seen.directory("/usr/bin").see().directory, "/usr/bin");
    // Behind the pivot there is no such place.
    let root = rootfs(user);
    assert_eq!(crate::seen(whole(user, &root).directory("/usr/bin")).directory, "/");
}

fn nothing_is_written_on_the_host(user: User) {
    if !User::suite_is_root() {
        // It takes a mount namespace to watch these folders and nobody else's traces in them.
        return;
    }
    let root = rootfs(user);
    let before = host::paths(root.path());
    let scratch = Scratch::new(User::Root);
    // /tmp last: root and tools may stand in it, so they are shown at other places before.
    let watched = [("run", "/run"), ("var-tmp", "/var/tmp"), ("tmp", "/tmp")];
    for (folder, _) in watched {
        let everybodys = PermissionsExt::from_mode(0o1777);
        fs::set_permissions(scratch.folder(folder, user), everybodys).expect("chmod");
    }
    let start = |script: &str| {
        let chain = Chain::new(user, "sh -c").arg(script).env("PATH", "/mnt:/usr/bin:/bin");
        let chain = chain.cover(root.path(), "/srv").cover(toolbox::folder(), "/mnt");
        let cover = |chain: Chain, (folder, target): (&str, &str)| {
            chain.cover(&scratch.join(folder), target)
        };
        watched.into_iter().fold(chain, cover).run().expect(0, "", "");
    };
    let left = || {
        let mut left = host::paths(scratch.path());
        left.retain(|path| path.parent() != Some(scratch.path()));
        left
    };
    start("exec cg-enter -- ns-unshare -- fs-pivot /srv -- priv-drop -- mini-init -- /bin/true");
    start("exec ns-unshare -- fs-pivot --ephemeral /srv -- priv-drop -- /bin/touch /etc/new");
    start("exec ns-unshare -- fs-pivot --ephemeral / -- priv-drop -- /bin/true");
    assert_eq!(left(), BTreeSet::new());
    assert_eq!(host::paths(root.path()), before);
    // It would be seen.
    start("echo >/tmp/trace");
    assert_eq!(left(), BTreeSet::from([scratch.join("tmp/trace")]));
}

fn two_hundred_starts(user: User) {
    let root = rootfs(user);
    let cell = Rc::new(Cell::new(user).expect("asked before"));
    let (mounts, files) = (host::mounts(), host::paths(root.path()));
    for _ in 0..200 {
        whole(user, &root).arg("/bin/true").in_cell(&cell).run().expect(0, "", "");
    }
    assert_eq!(cell.cgroups(), BTreeSet::new());
    assert_eq!(host::mounts(), mounts);
    assert_eq!(host::paths(root.path()), files);
}

/// Numbers at random: xorshift64. The first is printed where a test fails, `CATENA_TEST_SEED` sets it.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let named = std::env::var("CATENA_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let seed = named.unwrap_or_else(|| u64::from(now().subsec_nanos()) | 1);
        println!("CATENA_TEST_SEED={seed}");
        Random(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The processes of a whole chain: two monitors, the init and the app.
const PROCESSES: usize = 4;

/// Kills the process at `place` of a chain, and checks that it takes all others with it.
fn kill_one(
    user: User,
    chain: Chain,
    place: usize,
    moment: impl FnOnce(&mut catena_tests::Running),
) {
    let cell = Rc::new(Cell::new(user).expect("asked before"));
    let mounts = host::mounts();
    let mut running = chain.args(["/bin/probe", "deaf"]).in_cell(&cell).start();
    moment(&mut running);
    let processes = Vec::from_iter(cell.processes());
    // None is left where it ended by itself, which a chain that holds never does.
    assert!(!processes.is_empty(), "the chain is over before anything was killed");
    let victim = processes[place % processes.len()];
    cell.kill(victim);
    let first = running.pid();
    // This fails where a process of the chain lives on.
    let outcome = running.finish();
    assert_ne!(outcome.ended, Some(0.into()), "{outcome}");
    assert_eq!(host::mounts(), mounts);
    // Who was to remove the cgroup may be the one who was killed.
    if victim != first {
        assert_eq!(cell.cgroups(), BTreeSet::new(), "process {place} was killed\n{outcome}");
    }
}

fn h11_every_process_can_be_killed(user: User) {
    let root = rootfs(user);
    for round in 0..50 * PROCESSES {
        for chain in containers(user, &root) {
            kill_one(user, chain, round % PROCESSES, |running| {
                running.wait_for("ready\n");
                assert_eq!(running.processes().len(), PROCESSES);
            });
        }
    }
}

fn h11_every_process_can_be_killed_while_it_starts(user: User) {
    let root = rootfs(user);
    // How long a start takes, to choose moments within it.
    let clock = Instant::now();
    whole(user, &root).arg("/bin/true").run().expect(0, "", "");
    let start = u64::try_from(clock.elapsed().as_micros()).expect("a short time");
    let mut random = Random::new();
    for round in 0..50 * PROCESSES {
        for chain in containers(user, &root) {
            let moment = Duration::from_micros(random.below(start));
            kill_one(user, chain, round, |_| std::thread::sleep(moment));
        }
    }
}

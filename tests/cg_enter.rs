//! cg-enter: a cgroup, its limits, and the process in it.

use std::path::Path;
use std::rc::Rc;

use catena_tests::{Cell, Chain, User, any, each_user, like, need};
use nix::sys::signal::Signal;

each_user![if Cell::can_be_made;
    the_app_is_in_the_cgroup,
    a_named_cgroup_is_kept_and_used_again,
    an_unnamed_cgroup_is_gone_at_the_end,
    a_named_cgroup_can_be_removed_at_the_end,
    a_named_one_only_execs,
    an_unnamed_one_has_a_monitor,
    limits_are_set,
    sizes_have_units,
    a_bad_limit_is_refused,
    a_relative_limit_is_of_the_memory,
    a_kernel_file_can_be_set,
    memory_beyond_the_limit_kills,
    forks_beyond_the_limit_fail,
    f11_a_name_is_no_path,
    a_parent_can_be_named,
    where_the_user_may_not_it_fails,
];

fn the_app_is_in_the_cgroup(user: User) {
    let seen = Chain::new(user, "cg-enter --name web --pids-max 20 -- {probe}").see();
    assert!(seen.cgroups.iter().any(|line| line.ends_with("/web")), "{:?}", seen.cgroups);
    let outside = Chain::new(user, "{probe}").see();
    assert!(!outside.cgroups.iter().any(|line| line.ends_with("/web")), "{:?}", outside.cgroups);
}

fn a_named_cgroup_is_kept_and_used_again(user: User) {
    let cell = Cell::shared(user);
    for _ in 0..2 {
        Chain::new(user, "cg-enter --name web -- true").in_cell(&cell).run().expect(0, "", "");
        assert!(cell.cgroups().contains(Path::new("web")), "{:?}", cell.cgroups());
    }
}

fn an_unnamed_cgroup_is_gone_at_the_end(user: User) {
    let cell = Cell::shared(user);
    let start = || {
        let mut running = Chain::new(user, "cg-enter -- {probe} hold").in_cell(&cell).start();
        running.wait_for("ready\n");
        running
    };
    let (one, other) = (start(), start());
    assert_eq!(cell.cgroups().len(), 2, "{:?}", cell.cgroups());
    for running in [&one, &other] {
        running.signal(Signal::SIGTERM);
    }
    other.wait_until("both are over", || cell.processes().is_empty());
    one.finish().expect(Signal::SIGTERM, "ready\n", "");
    other.finish().expect(Signal::SIGTERM, "ready\n", "");
    assert!(cell.cgroups().is_empty(), "{:?}", cell.cgroups());
}

fn a_named_cgroup_can_be_removed_at_the_end(user: User) {
    let cell = Cell::shared(user);
    let mut running =
        Chain::new(user, "cg-enter --name web --rm -- {probe} hold").in_cell(&cell).start();
    running.wait_for("ready\n");
    assert!(cell.cgroups().contains(Path::new("web")), "{:?}", cell.cgroups());
    running.signal(Signal::SIGTERM);
    running.finish().expect(Signal::SIGTERM, "ready\n", "");
    assert!(cell.cgroups().is_empty(), "{:?}", cell.cgroups());
}

fn a_named_one_only_execs(user: User) {
    let mut running = Chain::new(user, "cg-enter --name web -- {probe} hold").start();
    running.wait_for("ready\n");
    assert_eq!(Vec::from_iter(running.processes()), [running.pid()]);
    running.signal(Signal::SIGTERM);
    running.finish().expect(Signal::SIGTERM, "ready\n", "");
}

fn an_unnamed_one_has_a_monitor(user: User) {
    let mut running = Chain::new(user, "cg-enter -- {probe} signals 1").start();
    running.wait_for("ready\n");
    assert_eq!(running.processes().len(), 2);
    running.signal(Signal::SIGUSR2);
    running.finish().expect(0, "ready\nSIGUSR2\n", "");
}

/// The value of a limit after a run with these options.
fn limit(user: User, options: &str, v2: &str, v1: &str) -> String {
    let controller = v2.split('.').next().unwrap_or_default();
    let cell = Rc::new(Cell::with(user, controller).expect("asked before"));
    let line = format!("cg-enter --name web {options} -- true");
    Chain::new(user, &line).in_cell(&cell).run().expect(0, "", "");
    cell.limit(controller, "web", v2, v1)
}

fn limits_are_set(user: User) {
    need!(Cell::with(user, "memory"));
    need!(Cell::with(user, "pids"));
    let cpu = need!(Cell::with(user, "cpu"));
    assert_eq!(limit(user, "--pids-max 7", "pids.max", "pids.max"), "7");
    assert_eq!(limit(user, "--pids-max max", "pids.max", "pids.max"), "max");
    let memory = |options: &str| limit(user, options, "memory.max", "memory.limit_in_bytes");
    assert_eq!(memory("--memory-max 67108864"), "67108864");
    let quota = |options: &str| limit(user, options, "cpu.max", "cpu.cfs_quota_us");
    let period = |options: &str| limit(user, options, "cpu.max", "cpu.cfs_period_us");
    match cpu.is_v2("cpu") {
        true => {
            assert_eq!(quota("--cpu-max 1.5"), "150000 100000");
            assert_eq!(quota("--cpu-max 5000/20000"), "5000 20000");
            assert_eq!(quota("--cpu-max max"), "max 100000");
        }
        false => {
            assert_eq!(quota("--cpu-max 1.5"), "150000");
            assert_eq!(period("--cpu-max 1.5"), "100000");
            assert_eq!(quota("--cpu-max 5000/20000"), "5000");
            assert_eq!(period("--cpu-max 5000/20000"), "20000");
            assert_eq!(quota("--cpu-max max"), "-1");
        }
    }
    // Twice the default, in either unit.
    let weight = limit(user, "--cpu-weight 200", "cpu.weight", "cpu.shares");
    assert_eq!(weight, if cpu.is_v2("cpu") { "200" } else { "2048" });
}

fn sizes_have_units(user: User) {
    need!(Cell::with(user, "memory"));
    let memory = |size: &str| {
        limit(user, &format!("--memory-max {size}"), "memory.max", "memory.limit_in_bytes")
    };
    assert_eq!(memory("512K"), (512_u64 << 10).to_string());
    assert_eq!(memory("64M"), (64_u64 << 20).to_string());
    assert_eq!(memory("2G"), (2_u64 << 30).to_string());
    assert_eq!(memory("1T"), (1_u64 << 40).to_string());
}

fn a_relative_limit_is_of_the_memory(user: User) {
    need!(Cell::with(user, "memory"));
    let info = std::fs::read_to_string("/proc/meminfo").expect("meminfo");
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:")).expect("MemTotal");
    let total: u64 = total.trim().trim_end_matches(" kB").parse().expect("a number");
    let half = limit(user, "--memory-max 50%", "memory.max", "memory.limit_in_bytes");
    let half: u64 = half.parse().expect("a number");
    // The kernel keeps whole pages.
    assert!(half.abs_diff(total * 1024 / 2) < 65536, "{half} is not half of {total} kB");
}

fn a_bad_limit_is_refused(user: User) {
    let bad = [
        "--memory-max=",
        "--memory-max=-1",
        "--memory-max=1X",
        "--memory-max=M",
        "--memory-max=0x10",
        "--memory-max=99999999999999999999",
        "--memory-max=17000000T",
        "--memory-max=101%",
        "--pids-max=-1",
        "--pids-max=1.5",
        "--pids-max=many",
        "--cpu-max=0",
        "--cpu-max=-1",
        "--cpu-max=nan",
        "--cpu-max=inf",
        "--cpu-max=1/0",
        "--cpu-max=1/2/3",
        "--cpu-weight=0",
        "--cpu-weight=10001",
        "--set=pids.max",
        "--set==1",
        "--set=../web/pids.max=1",
        "--set=/etc/passwd=1",
    ];
    for option in bad {
        let cell = Cell::shared(user);
        let line = format!("cg-enter --name web {option} -- {{probe}}");
        let outcome = Chain::new(user, &line).in_cell(&cell).run();
        outcome.expect(125, "", like("cg-enter: *\nhint: *\n"));
        assert_eq!(outcome.stderr.lines().count(), 2, "{}", outcome.stderr);
        assert!(cell.left().is_empty(), "{option} leaves {:?}", cell.left());
    }
}

fn a_kernel_file_can_be_set(user: User) {
    need!(Cell::with(user, "pids"));
    assert_eq!(limit(user, "--set pids.max=9", "pids.max", "pids.max"), "9");
    let wrong = Chain::new(user, "cg-enter --name web --set pids.nonsense=9 -- {probe}").run();
    wrong.expect(125, "", like("cg-enter: *pids.nonsense*"));
}

fn memory_beyond_the_limit_kills(user: User) {
    need!(Cell::with(user, "memory"));
    let eat = |line: &str| Chain::new(user, line).args(["eat", "100000000"]).run();
    eat("{probe}").expect(0, "full\n", "");
    eat("cg-enter --memory-max 400M -- {probe}").expect(0, "full\n", "");
    eat("cg-enter --memory-max 32M --name web -- {probe}").expect(Signal::SIGKILL, "", any());
    let said = "cg-enter: ran out: 'catena.*': out of memory at the limit of 33554432 bytes, \
                1 process killed\n";
    eat("cg-enter --memory-max 32M -- {probe}").expect(Signal::SIGKILL, "", like(said));
}

fn forks_beyond_the_limit_fail(user: User) {
    need!(Cell::with(user, "pids"));
    let fork = |line: &str| Chain::new(user, line).args(["fork", "20"]).run();
    fork("{probe}").expect(0, "20 enough\n", "");
    fork("cg-enter --pids-max 8 --name web -- {probe}").expect(0, "7 EAGAIN\n", "");
    // Its monitor is there at the end to say why.
    let reason = like("cg-enter: ran out: 'catena.*': pids.max refused 1 fork\n");
    fork("cg-enter --pids-max 8 -- {probe}").expect(0, "7 EAGAIN\n", reason);
}

/// A name is judged before there is anything else: namespaces come later in a chain.
fn f11_a_name_is_no_path(user: User) {
    let long = "x".repeat(256);
    for name in ["", ".", "..", "../web", "web/..", "/web", "a\nb", "cgroup.procs", &long] {
        let cell = Cell::shared(user);
        let chain =
            Chain::new(user, "cg-enter").arg(format!("--name={name}")).args(["--", "{probe}"]);
        chain.in_cell(&cell).run().expect(125, "", like("cg-enter: *"));
        assert!(cell.cgroups().is_empty(), "{name:?} made {:?}", cell.cgroups());
    }
}

fn a_parent_can_be_named(user: User) {
    let cell = Cell::shared(user);
    Chain::new(user, "cg-enter --name team -- true").in_cell(&cell).run().expect(0, "", "");
    let chain = Chain::new(user, "cg-enter --parent team --name web -- {probe}").in_cell(&cell);
    let seen = chain.see();
    assert!(seen.cgroups.iter().any(|line| line.ends_with("/team/web")), "{:?}", seen.cgroups);
    // It must be there, and it is named without detours.
    for parent in ["none", "..", "../team", "./..", ""] {
        let line = "cg-enter --share --name team -- cg-enter --name web";
        let chain = Chain::new(user, line).arg(format!("--parent={parent}"));
        let outcome = chain.args(["--", "{probe}"]).in_cell(&cell).run();
        outcome.expect(125, "", like("cg-enter: *"));
    }
}

fn where_the_user_may_not_it_fails(user: User) {
    if user.is_root() || !User::suite_is_root() {
        return;
    }
    // A cell that belongs to root: nothing was delegated.
    let cell = Rc::new(Cell::new(User::Root).expect("asked before"));
    let outcome = Chain::new(user, "cg-enter --pids-max 5 -- {probe}").in_cell(&cell).run();
    outcome.expect(125, "", like("cg-enter: *Permission denied\nhint: *Delegate=yes*\n"));
    assert!(cell.cgroups().is_empty(), "{:?}", cell.cgroups());
}

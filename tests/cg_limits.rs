//! cg-enter: each limit is set or refused, delegation, and what is said at the end.

use std::path::Path;
use std::rc::Rc;

use catena_tests::{Cell, Chain, Ended, Scratch, User, each_user, here_or_elsewhere, like, need};
use serde_json::Value;

each_user![if Cell::can_be_made;
    every_limit_is_set,
    every_limit_of_v2_is_set,
    what_the_kernel_lacks_is_said,
    unknown_resources_are_refused,
    what_v1_lacks_is_said,
    a_sub_tree_is_handed_on,
    the_end_is_reported,
    waiting_is_reported,
    a_report_needs_an_end,
    a_limit_on_cgroups_is_explained,
    a_threaded_cgroup_is_refused,
    a_read_only_cgroupfs_is_explained,
    processes_in_the_way_are_moved,
];

/// Each option, the file that shows it in either version, and the values.
const SETTINGS: &[(&str, &str, &str, &str, &str)] = &[
    ("--cpu-max-burst 2000 --cpu-max 0.5", "cpu.max.burst", "2000", "cpu.cfs_burst_us", "2000"),
    ("--cpu-idle", "cpu.idle", "1", "cpu.idle", "1"),
    (
        "--memory-max 8M --memory-swap-max 8M",
        "memory.swap.max",
        "8388608",
        "memory.memsw.limit_in_bytes",
        "16777216",
    ),
    ("--memory-max 10000001", "memory.max", "9998336", "memory.limit_in_bytes", "9998336"),
    ("--memory-max max", "memory.max", "max", "memory.limit_in_bytes", "9223372036854771712"),
];

/// Those that only version 2 has.
const SETTINGS_OF_V2: &[(&str, &str, &str)] = &[
    ("--memory-min 4M", "memory.min", "4194304"),
    ("--memory-low 4M", "memory.low", "4194304"),
    ("--memory-high 64M", "memory.high", "67108864"),
    ("--memory-swap-max 8M", "memory.swap.max", "8388608"),
    ("--memory-oom-group", "memory.oom.group", "1"),
];

/// The value of a limit after a run with these options.
fn set(user: User, cell: &Rc<Cell>, options: &str, v2: &str, v1: &str) -> String {
    let line = format!("cg-enter --name web {options} -- true");
    Chain::new(user, &line).in_cell(cell).run().expect(0, "", "");
    cell.limit(v2.split('.').next().unwrap_or_default(), "web", v2, v1)
}

fn every_limit_is_set(user: User) {
    for (options, v2, in_v2, v1, in_v1) in SETTINGS {
        let controller = v2.split('.').next().unwrap_or_default();
        let cell = Rc::new(need!(Cell::with(user, controller)));
        let expected = if cell.is_v2(controller) { in_v2 } else { in_v1 };
        assert_eq!(set(user, &cell, options, v2, v1), *expected, "{options}");
    }
}

fn every_limit_of_v2_is_set(user: User) {
    let cell = Rc::new(here_or_elsewhere!(Cell::with_v2(user, "memory")));
    for (options, file, expected) in SETTINGS_OF_V2 {
        assert_eq!(set(user, &cell, options, file, ""), *expected, "{options}");
    }
}

/// Options that not every kernel has the file for, the controller, the file in either version,
/// and what it shows.
const BY_KERNEL: &[(&str, &str, &str, &str, &str)] = &[
    ("--cpu-uclamp-min 20", "cpu", "cpu.uclamp.min", "cpu.uclamp.min", "20.00"),
    ("--cpu-uclamp-max 60%", "cpu", "cpu.uclamp.max", "cpu.uclamp.max", "60.00"),
    ("--memory-zswap-max 4M", "memory", "memory.zswap.max", "", "4194304"),
    ("--io-latency 0:0,75ms", "io", "io.latency", "", ""),
    ("--io-weight 300", "io", "io.weight", "blkio.bfq.weight", "300"),
];

/// Where the kernel has the file it is set; where not, that is said.
fn what_the_kernel_lacks_is_said(user: User) {
    for (options, controller, v2, v1, expected) in BY_KERNEL {
        let Ok(cell) = Cell::with(user, controller).map(Rc::new) else {
            let outcome = Chain::new(user, &format!("cg-enter {options} -- {{probe}}")).run();
            outcome.expect(125, "", like("cg-enter: can't *\n"));
            continue;
        };
        // The cell has the files that a cgroup in it would have.
        let file = if cell.is_v2(controller) { v2 } else { v1 };
        if cell.has_file(controller, file) && !expected.is_empty() {
            let shown = set(user, &cell, options, v2, v1);
            assert_eq!(shown.trim_start_matches("default "), *expected, "{options}");
        } else {
            let line = format!("cg-enter {options} -- {{probe}}");
            let outcome = Chain::new(user, &line).in_cell(&cell).run();
            outcome.expect(125, "", like("cg-enter: can't *\nhint: *\n"));
            assert!(cell.left().is_empty(), "{options} leaves {:?}", cell.left());
        }
    }
}

/// No machine here has such devices: the kernel's refusal is passed on, or the controller missed.
fn unknown_resources_are_refused(user: User) {
    for (controller, option) in [
        ("rdma", "--rdma-max mlx4_0,hca_handle=2"),
        ("misc", "--misc-max res_a,10"),
        ("hugetlb", "--hugetlb-max 3MB,3M"),
        ("io", "--io-max 0:0,rbps=1M"),
    ] {
        let has = Cell::with(user, controller);
        let said = match &has {
            Ok(_) => format!(
                "cg-enter: can't write *{}*",
                if controller == "io" { "*" } else { controller }
            ),
            Err(_) => format!(
                "cg-enter: can't set {}: no controller: '{controller}'*",
                option.split(' ').next().unwrap_or_default()
            ),
        };
        let cell = Rc::new(has.unwrap_or_else(|_| Cell::new(user).expect("asked before")));
        let line = format!("cg-enter {option} -- {{probe}}");
        Chain::new(user, &line).in_cell(&cell).run().expect(125, "", like(&said));
        assert!(cell.left().is_empty(), "{option} leaves {:?}", cell.left());
    }
}

fn what_v1_lacks_is_said(user: User) {
    here_or_elsewhere!(Cell::with_v1(user, "memory"));
    for options in ["--memory-high 1M", "--memory-low 1M", "--memory-oom-group"] {
        let line = format!("cg-enter {options} -- {{probe}}");
        let said = "cg-enter: can't set --memory-*: *v1*\nhint: *memory.*\n";
        Chain::new(user, &line).run().expect(125, "", like(said));
    }
    let outcome = Chain::new(user, "cg-enter --memory-swap-max 1M -- {probe}").run();
    outcome.expect(125, "", like("cg-enter: *together\nhint: give --memory-max too\n"));
}

fn a_sub_tree_is_handed_on(user: User) {
    if !user.is_root() {
        return;
    }
    let inner = "priv-drop --user 4242:4242 -- cg-enter --name inner -- {probe}";
    let line = format!("cg-enter --delegate 4242 -- {inner}");
    let seen = Chain::new(user, &line).see();
    assert!(seen.cgroups.iter().any(|line| line.ends_with("/inner")), "{:?}", seen.cgroups);
    let kept = Chain::new(user, &format!("cg-enter -- {inner}")).run();
    kept.expect(125, "", like("cg-enter: *Permission denied\nhint: *Delegate=yes*\n"));
}

fn the_end_is_reported(user: User) {
    need!(Cell::with(user, "memory"));
    let report = |options: &str, app: &str| -> Value {
        let scratch = Scratch::new(user);
        let file = scratch.join("status");
        let line = format!("cg-enter {options} --status-file {} -- {app}", file.display());
        Chain::new(user, &line).run();
        let text = std::fs::read_to_string(file).expect("a report");
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        serde_json::from_str(&text).expect("JSON")
    };
    let end = report("", "{probe} exit 7");
    assert_eq!((&end["exit"], &end["signal"]), (&7.into(), &Value::Null));
    let end = report("--name web --rm", "{probe} die SIGTERM");
    assert_eq!((&end["exit"], &end["signal"]), (&Value::Null, &"TERM".into()));
    assert_eq!(end["name"], "web");
    let manual =
        include_str!("../docs/man/cg-enter.txt").split_once("# Status").expect("a section").1;
    for key in end.as_object().expect("an object").keys() {
        let is_there =
            [format!("    {key} "), format!("`{key}`")].iter().any(|k| manual.contains(k));
        assert!(is_there, "the manual has no {key}");
    }
    let end = report("--memory-max 32M", "{probe} eat 100000000");
    assert_eq!((&end["signal"], &end["oom_kill"]), (&"KILL".into(), &1.into()));
    assert_eq!(end["memory_max"], 32 << 20);
    // Version 1 counts CPU time where a limit uses that hierarchy.
    let end = report("--pids-max 4 --cpu-max max", "{probe} fork 9");
    assert_eq!((&end["exit"], &end["pids_refused"]), (&0.into(), &1.into()));
    assert!(end["cpu_usec"].as_u64().is_some_and(|time| time > 0), "{end}");
    let line = "cg-enter --status-fd 2 -- {probe} exit 3";
    Chain::new(user, line).run().expect(3, "", like("{\"exit\":3,*}\n"));
    let line = "cg-enter --status-fd 9 -- {probe} exit 3";
    Chain::new(user, line).run().expect(125, "", like("cg-enter: *'9'*not open*\n"));
}

fn waiting_is_reported(user: User) {
    let cell = Cell::shared(user);
    here_or_elsewhere!(cell.folder_v2());
    let line = "cg-enter --pressure -- {probe} exit 0";
    let said = "cg-enter: waited for cpu some * s full * s, memory some * s full * s, \
                io some * s full * s\n";
    Chain::new(user, line).run().expect(0, "", like(said));
}

fn a_report_needs_an_end(user: User) {
    for option in ["--pressure", "--status-fd 2", "--status-file /nowhere/x"] {
        let cell = Cell::shared(user);
        let line = format!("cg-enter --name web {option} -- {{probe}}");
        let outcome = Chain::new(user, &line).in_cell(&cell).run();
        outcome.expect(125, "", like("cg-enter: *\nhint: *--rm*\n"));
        assert!(cell.cgroups().is_empty());
    }
}

fn a_limit_on_cgroups_is_explained(user: User) {
    here_or_elsewhere!(Cell::shared(user).folder_v2());
    for file in ["cgroup.max.descendants", "cgroup.max.depth"] {
        let line = format!("cg-enter --set {file}=0 -- cg-enter --name inner -- {{probe}}");
        let outcome = Chain::new(user, &line).run();
        outcome.expect(125, "", like("cg-enter: can't make *inner*\nhint: *max.descendants*\n"));
    }
}

fn a_threaded_cgroup_is_refused(user: User) {
    let cell = Cell::shared(user);
    let line = "cg-enter --name team -- cg-enter --name part -- true";
    Chain::new(user, line).in_cell(&cell).run().expect(0, "", "");
    let folder = here_or_elsewhere!(cell.folder_v2());
    std::fs::write(folder.join("team/part/cgroup.type"), "threaded").expect("make it threaded");
    for (line, said) in [
        ("cg-enter --parent team/part --name web -- {probe}", "*cgroup.type*"),
        ("cg-enter --parent team --name part -- {probe}", "*cgroup.type*"),
    ] {
        let outcome = Chain::new(user, line).in_cell(&cell).run();
        outcome.expect(125, "", like(format!("cg-enter: {said}\nhint: *threaded*\n")));
    }
    assert!(!folder.join("team/part/web").exists());
}

fn a_read_only_cgroupfs_is_explained(user: User) {
    if !user.is_root() {
        return;
    }
    let cell = Cell::shared(user);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let is_base = |line: &&str| line.contains(" - cgroup2 ") || line.ends_with(",freezer");
    let mount = mounts.lines().rfind(is_base).expect("cgroup2, or the freezer of v1");
    let point = mount.split(' ').nth(4).expect("a mount point");
    let script = format!("mount -o remount,bind,ro {point} && exec cg-enter -- \"$0\"");
    let chain = Chain::new(user, "unshare -m sh -c").arg(script).arg("{probe}").in_cell(&cell);
    let said = "cg-enter: can't make *Read-only file system\nhint: *read-only*\n";
    chain.run().expect(125, "", like(said));
}

fn processes_in_the_way_are_moved(user: User) {
    // Only v2 has that rule: the shell and its child stand where the controllers are wanted.
    let cell = Rc::new(need!(Cell::with(user, "pids")));
    let script =
        "sleep 100 & cg-enter --name web --pids-max 9 -- \"$0\" exit 4; s=$?; kill $!; exit $s";
    let chain = Chain::new(user, "sh -c").arg(script).arg("{probe}").in_cell(&cell);
    let outcome = chain.run();
    assert_eq!(outcome.ended, Some(Ended::Exit(4)), "{}", outcome.stderr);
    assert_eq!(cell.cgroups().contains(Path::new("catena.rest")), cell.is_v2("pids"));
    // The next one stands in the leaf, and is made beside it and not below.
    Chain::new(user, "cg-enter --name next --pids-max 9 -- true")
        .in_cell(&cell)
        .run()
        .expect(0, "", "");
    assert!(cell.cgroups().contains(Path::new("next")), "{:?}", cell.cgroups());
}

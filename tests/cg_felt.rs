//! cg-enter: limits that a workload feels. Each is also run without the limit, or with another.
//!
//! Not every machine has every controller, and they live in cgroup v1 or v2: what can't be felt
//! on one is felt on another that the suite runs on (`here_or_elsewhere!`).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use catena_tests::scratch::give;
use catena_tests::{Cell, Chain, Scratch, User, any, each_user, here_or_elsewhere, like, need};
use nix::sys::signal::Signal;

each_user![if Cell::can_be_made;
    the_test_machine_has_every_controller,
    cpu_time_is_limited,
    cpu_time_is_shared_by_weight,
    the_idle_give_way,
    unused_cpu_time_is_saved_up,
    cpus_are_pinned,
    memory_beyond_the_high_mark_is_taken_back,
    memory_is_protected_from_neighbours,
    all_die_together_when_memory_runs_out,
    too_little_memory_to_start_with_is_named,
    huge_pages_are_limited,
    disks_are_slowed_down,
    disks_are_shared_by_weight,
];

/// The machine of `make test-vm`, with cgroup v2 alone, then with v1 alone.
fn the_test_machine_has_every_controller(user: User) {
    let Some(version) = std::env::var_os("CATENA_VM") else { return };
    let both = ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"];
    for controller in both.into_iter().chain((version == "v2").then_some("misc")) {
        let cell = Cell::with(user, controller).expect(controller);
        assert_eq!(cell.is_v2(controller), version == "v2", "{controller}");
    }
}

/// What two probes could do at the same time on one CPU, each below its own cg-enter: milliseconds
/// of CPU time, or blocks read from a disk.
#[track_caller]
fn side_by_side(user: User, cell: &Rc<Cell>, options: [&str; 2], disk: &str) -> [u64; 2] {
    let scratch = Scratch::new(user);
    let fifo = scratch.folder("shared", user).join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o666)).expect("mkfifo");
    give(&fifo, user);
    let one = |place: &str, options: &str| {
        let deed = format!("\"$0\" together {} {place} 2000 {disk}", fifo.display());
        format!("{{ said=$(cg-enter {options} -- {deed}) && echo {place} $said; }} &")
    };
    let script = format!("{} {} wait", one("first", options[0]), one("second", options[1]));
    let chain = Chain::new(user, "taskset -c 0 sh -c").arg(script).arg("{probe}").in_cell(cell);
    // With little of an emulated CPU it takes long to get to the work.
    let outcome = chain.deadline(Duration::from_secs(60)).run();
    outcome.expect(0, like("*\n*\n"), "");
    ["first ", "second "].map(|place| {
        let said = outcome.stdout.lines().find_map(|line| line.strip_prefix(place));
        said.expect("a line").parse().expect("a number")
    })
}

/// Computes for a while in the cgroup `name` with these options; gives a count of its cpu.stat.
#[track_caller]
fn count_after(user: User, cell: &Rc<Cell>, name: &str, options: &str, count: &str) -> u64 {
    let line = format!("cg-enter --name {name} {options} -- sh -c");
    let chain = Chain::new(user, &line).arg("sleep 0.3; \"$0\" spin 150").arg("{probe}");
    chain.in_cell(cell).deadline(Duration::from_secs(60)).run().expect(0, any(), "");
    let stat = cell.limit("cpu", name, "cpu.stat", "cpu.stat");
    let found = stat.lines().find_map(|line| line.strip_prefix(count));
    found.expect("a line").trim().parse().expect("a number")
}

fn cpu_time_is_limited(user: User) {
    let cell = Rc::new(need!(Cell::with(user, "cpu")));
    let stops = |name: &str, limit: &str| count_after(user, &cell, name, limit, "nr_throttled ");
    assert!((0..4).all(|_| stops("without", "--cpu-max max") == 0));
    // On a busy machine it may not get as much as that.
    assert!((0..40).any(|_| stops("with", "--cpu-max 0.1") > 0));
}

fn cpu_time_is_shared_by_weight(user: User) {
    let cell = Rc::new(need!(Cell::with(user, "cpu")));
    let share = |options| side_by_side(user, &cell, options, "");
    let [light, heavy] = share(["--cpu-weight 50", "--cpu-weight 500"]);
    assert!(light * 3 < heavy, "{light} ms with a weight of 50, {heavy} ms with 500");
    let [one, other] = share(["--cpu-weight 100", "--cpu-weight 100"]);
    assert!(one < other * 3 && other < one * 3, "{one} ms and {other} ms with the same weight");
}

fn the_idle_give_way(user: User) {
    let cell = Rc::new(need!(Cell::with(user, "cpu")));
    let [idle, usual] = side_by_side(user, &cell, ["--cpu-idle", "--cpu-weight 100"], "");
    assert!(idle * 5 < usual, "{idle} ms idle, {usual} ms as usual");
}

fn unused_cpu_time_is_saved_up(user: User) {
    let cell = Rc::new(need!(Cell::with(user, "cpu")));
    let bursts = |name: &str, burst: &str| {
        let options = format!("--cpu-max 20000/100000 {burst}");
        count_after(user, &cell, name, &options, "nr_bursts ")
    };
    assert!((0..4).all(|_| bursts("without", "") == 0));
    // On a busy machine it may come to its CPU too late to use more than its share of a period.
    assert!((0..40).any(|_| bursts("with", "--cpu-max-burst 20000") > 0));
}

fn cpus_are_pinned(user: User) {
    let cell = Rc::new(need!(Cell::with(user, "cpuset")));
    let free = Chain::new(user, "{probe}").see();
    need!(if free.processors == "0" { Err("a machine of one CPU shows nothing") } else { Ok(()) });
    let chain = |line: &str| Chain::new(user, line).in_cell(&cell);
    let pinned = chain("cg-enter --cpuset-cpus 0 --cpuset-mems 0 -- {probe}").see();
    assert_eq!(pinned.processors, "0");
    let wrong = chain("cg-enter --cpuset-cpus 0,1023 -- {probe}").run();
    wrong.expect(125, "", like("cg-enter: *cpuset.cpus*\n"));
}

/// A disk that this user may read past all files.
fn disk(user: User) -> Result<&'static str, String> {
    let disks = ["/dev/nullb0", "/dev/vda", "/dev/sda", "/dev/nvme0n1"];
    let is_readable = |disk: &&str| {
        let data = std::fs::File::open(disk).and_then(|disk| disk.metadata());
        data.is_ok_and(|data| user.is_root() || data.permissions().mode() & 0o004 != 0)
    };
    disks.into_iter().find(is_readable).ok_or_else(|| "no disk that can be read".to_owned())
}

/// Where on the disk nothing has been read yet, in MiB: what is in memory already is charged to
/// whoever read it first.
fn fresh_part() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(256, Ordering::Relaxed)
}

fn memory_beyond_the_high_mark_is_taken_back(user: User) {
    let cell = Rc::new(here_or_elsewhere!(Cell::with_v2(user, "memory")));
    let disk = here_or_elsewhere!(disk(user));
    let times = |mark: &str| -> u64 {
        let line = format!("cg-enter --name at{mark} --memory-high {mark} -- dd if={disk}");
        let line = format!("{line} of=/dev/null bs=1M count=48 skip={}", fresh_part());
        Chain::new(user, &line).in_cell(&cell).run().expect(0, "", any());
        let events = cell.limit("memory", &format!("at{mark}"), "memory.events", "");
        let count = events.lines().find_map(|line| line.strip_prefix("high "));
        count.expect("high").parse().expect("a number")
    };
    assert_eq!(times("96M"), 0);
    assert!(times("16M") > 0);
}

fn memory_is_protected_from_neighbours(user: User) {
    here_or_elsewhere!(Cell::with_v2(user, "memory"));
    let disk = here_or_elsewhere!(disk(user));
    // What one has read from the disk stays in memory, charged to it, until another one, below the
    // same limit, reads more than fits beside it. When nobody has the disk open any more, all goes.
    let _open = std::fs::File::open(disk).expect("open a disk");
    let kept = |option: &str| -> u64 {
        let cell = Rc::new(Cell::with(user, "memory").expect("asked before"));
        let read = |name: &str, what: &str| {
            let part = fresh_part();
            let how = format!("if={disk} of=/dev/null bs=1M skip={part} {what}");
            format!("cg-enter --name {name} -- dd {how} 2>/dev/null")
        };
        let script = [
            read(&format!("kept {option}"), "count=32"),
            read("other --memory-min 0", "count=160"),
        ];
        let chain = Chain::new(user, "cg-enter --name team --memory-max 64M -- sh -c");
        let chain = chain.arg(script.join(" && ")).in_cell(&cell);
        chain.deadline(Duration::from_secs(120)).run().expect(0, "", "");
        cell.limit("memory", "team/kept", "memory.current", "").parse().expect("a number")
    };
    let without = kept("--memory-min 0");
    for option in ["--memory-min 48M", "--memory-low 48M"] {
        let with = kept(option);
        assert!(with > 30 << 20, "{with} bytes are left with {option}");
        assert!(without < with * 3 / 4, "{without} bytes without, {with} with {option}");
    }
}

fn all_die_together_when_memory_runs_out(user: User) {
    let cell = need!(Cell::with(user, "memory"));
    let eat = |options: &str| {
        let line = format!("cg-enter --memory-max 32M {options} --");
        let chain = Chain::new(user, &line).args(["sh", "-c", "\"$0\" eat 100000000; echo shell"]);
        chain.arg("{probe}").run()
    };
    eat("").expect(0, "shell\n", any());
    if cell.is_v2("memory") {
        eat("--memory-oom-group").expect(Signal::SIGKILL, "", any());
    }
}

/// Huge pages to be had: someone has set them aside.
fn huge_pages(at_least: u32) -> Result<(), String> {
    let pages = std::fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap_or_default();
    match pages.trim().parse::<u32>().unwrap_or(0) >= at_least {
        true => Ok(()),
        false => Err(format!("vm.nr_hugepages is below {at_least}")),
    }
}

/// Before the exec is over the kernel has no process to kill, and says of the words that they are
/// too many.
fn too_little_memory_to_start_with_is_named(user: User) {
    need!(Cell::with(user, "memory"));
    let word = "x".repeat(100_000);
    let start = |limit: &str| {
        let chain = Chain::new(user, &format!("cg-enter {limit} -- echo")).arg(&word);
        chain.run()
    };
    start("--memory-max 32K").expect(
        126,
        "",
        like(
            "cg-enter: can't execute: 'echo': Argument list too long\n\
             hint: where the words are few, --memory-max 32768 leaves no room for them\n\
             cg-enter: ran out: *limit of 32768 bytes*\n",
        ),
    );
    start("--memory-max 64M").expect(0, format!("{word}\n"), "");
    // Also where one of our own follows, and whatever it is that has no room.
    for limit in [4096, 8192, 16384, 65536] {
        let line =
            format!("cg-enter --memory-max {limit} -- ns-unshare --ipc --user -- echo never");
        let outcome = Chain::new(user, &line).run();
        let names_it = format!("limit of {limit} bytes");
        assert!(outcome.stderr.contains(&names_it), "{outcome}");
        assert_eq!(outcome.stdout, "", "{outcome}");
    }
}

fn huge_pages_are_limited(user: User) {
    let cell = Rc::new(here_or_elsewhere!(Cell::with(user, "hugetlb")));
    here_or_elsewhere!(huge_pages(8));
    let take = |line: &str| Chain::new(user, line).in_cell(&cell).args(["huge", "2"]).run();
    take("{probe}").expect(0, "1\n2\n", "");
    take("cg-enter --hugetlb-max 2MB,2M -- {probe}").expect(Signal::SIGBUS, "1\n", "");
}

fn disks_are_slowed_down(user: User) {
    let cell = Rc::new(here_or_elsewhere!(Cell::with(user, "io")));
    let disk = here_or_elsewhere!(disk(user));
    let took = |line: &str| -> u64 {
        let read = format!("{line} {{probe}} read-direct {disk} 1048576");
        let outcome = Chain::new(user, &read).in_cell(&cell).run();
        outcome.expect(0, like("*\n"), "");
        outcome.stdout.trim().parse().expect("a number")
    };
    let limited = took(&format!("cg-enter --io-max {disk},rbps=1M --"));
    assert!(limited > 600, "{limited} ms with the limit");
    // Others may keep the disk busy for a while; a limit would be there each time.
    for free in ["", &format!("cg-enter --io-max {disk},rbps=max --")] {
        assert!((0..20).any(|_| took(free) < 500), "as slow without the limit: {free}");
    }
}

/// A disk whose time the kernel shares out by io.weight (its iocost controller was told to).
fn shared_disk() -> Result<&'static str, String> {
    let is_on = std::fs::read_to_string("/sys/fs/cgroup/io.cost.qos")
        .is_ok_and(|text| text.contains("enable=1"));
    match is_on && Path::new("/dev/nullb1").exists() {
        true => Ok("/dev/nullb1"),
        false => Err("io.cost.qos enables no disk".to_owned()),
    }
}

fn disks_are_shared_by_weight(user: User) {
    let cell = Rc::new(here_or_elsewhere!(Cell::with_v2(user, "io")));
    let disk = here_or_elsewhere!(shared_disk());
    let blocks = |options| side_by_side(user, &cell, options, disk);
    let [light, heavy] = blocks(["--io-weight 100", "--io-weight 1000"]);
    assert!(light * 2 < heavy, "{light} blocks with a weight of 100, {heavy} with 1000");
    let [one, other] = blocks(["--io-weight 100", "--io-weight 100"]);
    assert!(one < other * 2 && other < one * 2, "{one} and {other} blocks with the same weight");
}

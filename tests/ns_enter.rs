//! ns-enter: into a running container, with its privileges and no others, and no way out of it.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use catena_tests::pivot::isolations;
use catena_tests::{Cell, Chain, Rootfs, Running, Scratch, User, each_user, like, need};
use nix::sys::signal::Signal;

each_user![if User::can_isolate;
    it_joins_every_namespace,
    the_container_is_found_by_its_chain,
    a_status_is_reported,
    privileges_are_those_of_the_container,
    command_is_never_one_of_our_tools,
    no_descriptor_comes_along,
    a_process_that_is_gone_is_refused,
    nothing_to_enter_is_an_error,
    it_dies_with_its_monitor,
    the_container_sees_nothing_of_who_joins,
    the_program_that_joins_is_not_overwritten,
    the_container_is_found_by_its_cgroup,
    an_image_without_a_shell_gets_a_toolbox,
];

/// A container that holds still, and the process id of its PID 1.
fn container(user: User, chain: &str) -> (Running, i32) {
    let mut running =
        Chain::new(user, &format!("{chain} mini-init -- {{probe}} signals 1")).start();
    running.wait_for("ready\n");
    let init = running.init();
    (running, init)
}

fn end(container: Running) {
    container.signal(Signal::SIGTERM);
    container.finish();
}

const KINDS: [&str; 7] = ["mnt", "pid", "net", "uts", "ipc", "cgroup", "user"];

fn it_joins_every_namespace(user: User) {
    let (container, init) = container(user, "ns-unshare --");
    let links: Vec<String> = KINDS.iter().map(|kind| format!("/proc/self/ns/{kind}")).collect();
    let of = |chain: Chain| chain.args(["readlink"]).args(&links).run().stdout;
    let inside = of(Chain::new(user, &format!("ns-enter --no-cgroup {init} --")));
    let expected = KINDS.map(|kind| {
        let link = std::fs::read_link(format!("/proc/{init}/ns/{kind}")).expect("a namespace");
        format!("{}\n", link.display())
    });
    assert_eq!(inside, expected.concat());
    assert_ne!(of(Chain::new(user, "env")), inside);
    end(container);
}

fn the_container_is_found_by_its_chain(user: User) {
    let (container, _) = container(user, "ns-unshare --hostname box --");
    let line = format!("ns-enter --no-cgroup {} -- hostname", container.pid());
    Chain::new(user, &line).run().expect(0, "box\n", "");
    end(container);
}

fn a_status_is_reported(user: User) {
    let (container, init) = container(user, "ns-unshare --");
    let enter = |what: &str| {
        Chain::new(user, &format!("ns-enter --no-cgroup {init} -- {{probe}} {what}")).run()
    };
    for status in [0, 1, 42, 125, 126, 127, 128, 255] {
        enter(&format!("exit {status}")).expect(status, "", "");
    }
    for signal in [Signal::SIGTERM, Signal::SIGKILL, Signal::SIGINT] {
        enter(&format!("die {signal}")).expect(signal, "", "");
    }
    let missing = Chain::new(user, &format!("ns-enter --no-cgroup {init} -- no-such-program"));
    missing.run().expect(
        127,
        "",
        "ns-enter: can't execute: 'no-such-program': not found in PATH\n",
    );
    end(container);
}

fn privileges_are_those_of_the_container(user: User) {
    let (container, init) = container(user, "ns-unshare -- priv-drop --seccomp none --");
    let of = |text: &str| -> Vec<String> {
        let wanted = ["Uid", "Gid", "Groups", "Cap", "NoNewPrivs"];
        let is_wanted = |line: &&str| wanted.iter().any(|name| line.starts_with(name));
        text.lines().filter(is_wanted).map(str::to_owned).collect()
    };
    let status = |line: &str| of(&Chain::new(user, line).run().stdout);
    let enter = format!("ns-enter --no-cgroup {init} -- cat /proc");
    let (own, theirs) =
        (status(&format!("{enter}/self/status")), status(&format!("{enter}/1/status")));
    assert_eq!(own, theirs);
    assert!(own.iter().any(|line| line == "CapBnd:\t0000000000000000"), "{own:?}");
    // A joiner that keeps what the namespaces give.
    let weak =
        status(&format!("ns-enter --privileged --no-cgroup {init} -- cat /proc/self/status"));
    assert_ne!(weak, theirs);
    end(container);
}

fn command_is_never_one_of_our_tools(user: User) {
    let (container, init) = container(user, "ns-unshare --");
    let line = format!("ns-enter --no-cgroup {init} -- mini-init --version");
    let missing = "ns-enter: can't execute: 'mini-init': not found in PATH\n";
    Chain::new(user, &line).env("PATH", "/usr/bin:/bin").run().expect(127, "", missing);
    end(container);
}

fn no_descriptor_comes_along(user: User) {
    let folder = || std::fs::File::open("/usr").expect("open /usr");
    for isolation in isolations(user) {
        let (container, init) = container(user, isolation);
        let line = format!("ns-enter --no-cgroup {init} -- {{probe}}");
        assert_eq!(Chain::new(user, &line).descriptor(9, folder()).see().numbers(), [0, 1, 2]);
        end(container);
    }
    let without = Chain::new(user, "env {probe}").descriptor(9, folder()).see();
    assert_eq!(without.numbers(), [0, 1, 2, 9]);
}

fn a_process_that_is_gone_is_refused(user: User) {
    // No process has the number: pid_max is not more than 2^22.
    let outcome = Chain::new(user, "ns-enter 4194305 -- true").run();
    outcome.expect(125, "", like("ns-enter: *\n"));
}

fn nothing_to_enter_is_an_error(user: User) {
    let running = Chain::new(user, "{probe} hold").start();
    let line = format!("ns-enter {} -- true", running.pid());
    Chain::new(user, &line).run().expect(125, "", like("ns-enter: nothing to enter: *\n"));
    running.signal(Signal::SIGKILL);
    running.finish();
}

fn it_dies_with_its_monitor(user: User) {
    let (container, init) = container(user, "ns-unshare --");
    let line = format!("ns-enter --no-cgroup {init} -- {{probe}} signals 9");
    let mut joined = Chain::new(user, &line).start();
    joined.wait_for("ready\n");
    joined.signal(Signal::SIGKILL);
    // The harness fails if a process is left.
    joined.finish().expect(Signal::SIGKILL, "ready\n", "");
    end(container);
}

/// Root of a container without a user namespace, and with all capabilities, is root of the host, who
/// may look: what is left by priv-drop may not, as `f2_cve_2016_9962_who_joins_is_not_looked_into` shows.
fn the_container_sees_nothing_of_who_joins(user: User) {
    let attack = |joiner: &str, count: usize| {
        let chain = Chain::new(user, "ns-unshare -- mini-init --grace 0 -- {probe} attack");
        let mut container = chain.deadline(Duration::from_secs(120)).start();
        container.wait_for("ready\n");
        let init = container.init();
        let probe = catena_tests::toolbox::probe().display().to_string();
        for _ in 0..count {
            let line = joiner.replace("{init}", &init.to_string()).replace("{app}", &probe);
            Chain::new(user, &line).run();
        }
        container.signal(Signal::SIGTERM);
        container.finish().stdout
    };
    // A joiner that executes its like inside first, as some engines did.
    let weak =
        "nsenter --user --mount --pid --preserve-credentials -t {init} nsenter -F sleep 0.05";
    let reached = attack(weak, 20);
    for way in ["exe", "root", "cwd", "mem", "fd", "ptrace"] {
        assert!(
            reached.contains(&format!("reached {way}\n")),
            "the attack fails: {way}: {reached}"
        );
    }
    // A thousand joins, as root and as an ordinary user.
    let ours = attack("ns-enter --no-cgroup {init} -- {app} exit 0", 500);
    assert_eq!(ours, "ready\n");
}

/// COMMAND is the container's to choose: here the program that joined, once more, which the
/// container can open. Without a user namespace its root could write to any file of the host.
fn the_program_that_joins_is_not_overwritten(user: User) {
    let scratch = Scratch::new(user);
    let evil = scratch.join("evil");
    std::os::unix::fs::symlink("/proc/self/exe", &evil).expect("symlink");
    let again = scratch.script("again", "#!/proc/self/exe\n");
    let attack = |name: &str, joiner: &str, program: &Path| {
        let chain = "ns-unshare -- mini-init --grace 0 -- {probe} overwrite";
        let mut container = Chain::new(user, chain).arg(name).start();
        container.wait_for("ready\n");
        let before = std::fs::read(program).expect("read a program");
        let line = joiner.replace("{init}", &container.init().to_string());
        // Whatever becomes of it: the container has it in its hands.
        let (held, _writer) = std::io::pipe().expect("pipe");
        let joined = Chain::new(user, &line).descriptor(0, held).leaves_processes().start();
        let outcome = container.finish();
        drop(joined);
        (outcome.stdout, std::fs::read(program).expect("read a program") == before)
    };
    // A copy, for it will be written over.
    let nsenter = need!(catena_tests::need::program("nsenter"));
    let nsenter = scratch.program("nsenter", &nsenter);
    catena_tests::scratch::give(&nsenter, user);
    let weak = format!(
        "{} --user --mount --pid --preserve-credentials -t {{init}} {}",
        nsenter.display(),
        again.display()
    );
    let (said, is_same) = attack("nsenter", &weak, &nsenter);
    assert!(said.ends_with("ok\n") && !is_same, "the attack itself fails: {said}");
    let own = catena_tests::toolbox::tool("ns-enter");
    let ours = format!("ns-enter --no-plan --no-cgroup {{init}} -- {} --plan - 1", evil.display());
    let (said, is_same) = attack("ns-enter", &ours, &own);
    assert!(said.contains("EPERM") && is_same, "{said}");
}

fn the_container_is_found_by_its_cgroup(user: User) {
    let cell = Rc::new(need!(Cell::new(user)));
    let line = "cg-enter --name web -- ns-unshare --hostname box -- mini-init -- {probe} signals 1";
    let mut container = Chain::new(user, line).in_cell(&cell).start();
    container.wait_for("ready\n");
    let listed = Chain::new(user, "cg-stat").in_cell(&cell).leaves_processes().run().stdout;
    let name =
        listed.lines().find_map(|line| line.split_whitespace().find(|word| word.contains("web")));
    let name = name.unwrap_or_else(|| panic!("cg-stat does not name it: {listed}"));
    let enter = |what: &str| {
        Chain::new(user, &format!("ns-enter {name} -- {what}"))
            .in_cell(&cell)
            .leaves_processes()
            .run()
    };
    enter("hostname").expect(0, "box\n", "");
    // In the cgroup too: from there the container's own namespace shows its root.
    let own = enter("cat /proc/self/cgroup").stdout;
    let theirs = enter("cat /proc/1/cgroup").stdout;
    assert_eq!(own, theirs);
    let nothing = Chain::new(user, "ns-enter nothing -- true").in_cell(&cell).leaves_processes();
    let message = like("ns-enter: can't find the cgroup: *\nhint: cg-stat lists them\n");
    nothing.run().expect(125, "", message);
    container.signal(Signal::SIGTERM);
    container.finish();
}

fn an_image_without_a_shell_gets_a_toolbox(user: User) {
    let root = need!(Rootfs::new(user));
    let busybox = need!(catena_tests::need::program("busybox"));
    let scratch = Scratch::new(user);
    scratch.program("busybox", busybox.as_ref());
    std::os::unix::fs::symlink("busybox", scratch.join("sh")).expect("symlink");
    std::os::unix::fs::symlink("busybox", scratch.join("ls")).expect("symlink");
    for entry in std::fs::read_dir(root.join("bin")).expect("bin").flatten() {
        if entry.file_name() != "probe" {
            std::fs::remove_file(entry.path()).expect("remove");
        }
    }
    let chain = format!("ns-unshare -- fs-pivot {root} -- mini-init -- /bin/probe signals 1");
    let mut container = Chain::new(user, &chain).start();
    container.wait_for("ready\n");
    let init = container.init();
    let enter = |options: &str, script: &str| {
        let line = format!("ns-enter --no-cgroup {options} {init} -- sh -c");
        Chain::new(user, &line).arg(script).run()
    };
    let missing = "ns-enter: can't execute: 'sh': not found in PATH\n";
    enter("", "ls /bin").expect(127, "", missing);
    let with = format!("--toolbox {}", scratch.path().display());
    enter(&with, "ls /bin; : >/mnt/x").expect(
        1,
        "probe\n",
        like("sh: can't create /mnt/x: Read-only file system\n"),
    );
    // For that process alone.
    assert_eq!(std::fs::read_dir(format!("/proc/{init}/root/mnt")).map_or(0, Iterator::count), 0);
    container.signal(Signal::SIGTERM);
    container.finish();
}

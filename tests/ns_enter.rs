//! ns-enter: into a running container, with its privileges and no others, and no way out of it.

use catena_tests::{Chain, Running, User, each_user, like};
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
];

/// A container that holds still, and the process id of its PID 1.
fn container(user: User, chain: &str) -> (Running, i32) {
    let mut running =
        Chain::new(user, &format!("{chain} mini-init -- {{probe}} signals 1")).start();
    running.wait_for("ready\n");
    let init = children(running.pid());
    let init = init.first().copied().expect("PID 1");
    (running, init)
}

fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    text.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
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
    let (container, init) = container(user, "ns-unshare --");
    let seen = Chain::new(user, &format!("ns-enter --no-cgroup {init} -- {{probe}}")).see();
    let without = Chain::new(user, "{probe}").see();
    assert_eq!(seen.descriptors.len(), without.descriptors.len(), "{:?}", seen.descriptors);
    end(container);
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

/// What container root tries on every process it sees, again and again: its root, its descriptors,
/// its memory. It says so if what it reaches is not in its own mount namespace.
const ATTACK: &str = r#"
    own=$(readlink /proc/self/ns/mnt)
    echo ready
    while :; do
        for process in /proc/[0-9]*; do
            case $process in /proc/1|/proc/$$) continue;; esac
            program=$(readlink $process/exe 2>/dev/null) || continue
            case $program in *nsenter*|*ns-enter*) echo "reached $program";; esac
        done
    done"#;

fn the_container_sees_nothing_of_who_joins(user: User) {
    let attack = |joiner: &str, count: usize| {
        let chain = Chain::new(user, "ns-unshare -- mini-init --grace 0 -- sh -c").arg(ATTACK);
        let mut container = chain.start();
        container.wait_for("ready\n");
        let init = children(container.pid())[0];
        for _ in 0..count {
            let line = joiner.replace("{init}", &init.to_string());
            Chain::new(user, &line).run();
        }
        container.signal(Signal::SIGTERM);
        container.finish().stdout
    };
    // A joiner that executes its like inside first, as some engines did.
    let weak =
        "nsenter --user --mount --pid --preserve-credentials -t {init} nsenter -F sleep 0.05";
    assert!(attack(weak, 20).contains("reached"), "the attack itself does not work");
    let ours = attack("ns-enter --no-cgroup {init} -- true", 100);
    assert_eq!(ours, "ready\n");
}

//! Whole chains: a container from small tools, on several roots, with foreign programs between.

use std::fs;

use catena_tests::pivot::isolations;
use catena_tests::seen::Capabilities;
use catena_tests::{
    Cell, Chain, Rootfs, Scratch, User, any, debian, each_user, like, need, toolbox,
};
use nix::sys::signal::Signal;

each_user![
    if can_pivot;
    the_chain_of_the_manual,
    a_debian_tree,
    the_hosts_own_root,
    memory_is_limited,
    processes_are_limited,
    signals_pass_the_whole_chain,
    a_shell_sees_the_truth,
    foreign_programs_stand_between,
    env_between,
    nice_between,
    taskset_between,
    prlimit_between,
    setpriv_between,
    timeout_before,
    strace_before,
    ip_netns_before,
    a_tool_is_found_without_path,
    a_tool_by_its_path,
    f3_the_tools_cannot_be_overwritten,
    a_container_in_a_container,
    two_containers_at_once,
];

fn can_pivot(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Cell::new(user)?;
    Rootfs::new(user).map(drop)
}

fn rootfs(user: User) -> Rootfs {
    Rootfs::new(user).expect("asked before")
}

/// The links after `cg-enter`.
fn links(root: &str) -> String {
    format!("ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init --")
}

fn the_chain_of_the_manual(user: User) {
    need!(Cell::with(user, "memory"));
    need!(Cell::with(user, "pids"));
    let root = rootfs(user);
    let line = format!(
        "cg-enter --name web --memory-max 256M --pids-max 64 -- {} /bin/probe",
        links(&root.to_string())
    );
    let seen = Chain::new(user, &line).see();
    assert_eq!((seen.pid, seen.ppid, seen.uids), (2, 1, [0; 3]));
    assert_eq!(
        Vec::from_iter(seen.processes.clone()),
        [(1, "mini-init".to_owned()), (2, "probe".to_owned())]
    );
    assert_eq!(seen.capabilities, Capabilities::default());
    assert!(seen.no_new_privs);
    assert_eq!(seen.numbers(), [0, 1, 2]);
    assert_eq!(seen.directory, "/");
    assert_eq!(Vec::from_iter(seen.interfaces.clone()), [("lo".to_owned(), true)]);
    // The cgroup namespace hides where the container stands.
    assert!(!seen.cgroups.iter().any(|line| line.contains("catena-test")), "{:?}", seen.cgroups);
    let outside = Chain::new(user, "{probe}").see();
    for (name, inode) in &seen.namespaces {
        let kept = name == "time" || name == "time_for_children";
        assert_eq!(outside.namespaces[name] == *inode, kept, "{name}");
    }
    assert!(outside.processes.len() > 2);
    assert!(
        outside.cgroups.iter().any(|line| line.contains("catena-test")),
        "{:?}",
        outside.cgroups
    );
}

fn a_debian_tree(user: User) {
    let tree = need!(debian::tree());
    let version = fs::read_to_string(tree.join("etc/debian_version")).expect("read");
    for options in ["", "--read-only", "--ephemeral"] {
        let line =
            format!("cg-enter -- {} bash -c", links(&format!("{options} {}", tree.display())));
        let cat = Chain::new(user, &line).arg("cat /etc/debian_version").run();
        cat.expect(0, version.as_str(), "");
        // ps is a dynamic program of the image and reads /proc.
        let ps = Chain::new(user, &line).arg("exec ps -A -o pid=,comm=").run();
        ps.expect(0, "      1 mini-init\n      2 ps\n", "");
    }
}

fn the_hosts_own_root(user: User) {
    let line = format!("cg-enter -- {} sh -c", links("--ephemeral /"));
    let name = format!("/usr/catena-test-{}-{}", std::process::id(), user.uid());
    let script = format!("echo new >{name} && cat {name}; ls -d /proc/[0-9]*; id -u");
    Chain::new(user, &line).arg(script).run().expect(0, like("new\n/proc/1\n/proc/2\n*0\n"), "");
    assert!(!fs::exists(name).expect("look"));
}

fn memory_is_limited(user: User) {
    need!(Cell::with(user, "memory"));
    let root = rootfs(user);
    let eat = |options: &str| {
        let line =
            format!("cg-enter {options} -- {} /bin/probe eat 100000000", links(&root.to_string()));
        Chain::new(user, &line).run()
    };
    for name in ["", "--name web"] {
        eat(&format!("--memory-max 400M {name}")).expect(0, "full\n", "");
        eat(&format!("--memory-max 32M {name}")).expect(137, "", any());
    }
}

fn processes_are_limited(user: User) {
    need!(Cell::with(user, "pids"));
    let root = rootfs(user);
    let fork = |options: &str| {
        let line = format!("cg-enter {options} -- {} /bin/probe fork 40", links(&root.to_string()));
        Chain::new(user, &line).run()
    };
    fork("--pids-max 64").expect(0, "40 enough\n", "");
    // One monitor, the init and the app itself stand below the limit too.
    fork("--pids-max 16 --name web").expect(0, "13 EAGAIN\n", "");
}

fn signals_pass_the_whole_chain(user: User) {
    let root = rootfs(user);
    let line = format!("cg-enter -- {} /bin/probe signals 3", links(&root.to_string()));
    let mut running = Chain::new(user, &line).start();
    running.wait_for("ready\n");
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1] {
        running.signal(signal);
        running.wait_for(&format!("{signal}\n"));
    }
    running.finish().expect(0, "ready\nSIGTERM\nSIGHUP\nSIGUSR1\n", "");
}

fn a_shell_sees_the_truth(user: User) {
    let root = rootfs(user);
    let links = links(&root.to_string());
    let script = format!("cg-enter -- {links} \"$@\"; echo $?");
    let status = |app: [&str; 3]| Chain::new(user, "sh -c").arg(&script).arg("sh").args(app).run();
    status(["/bin/probe", "exit", "3"]).expect(0, "3\n", "");
    status(["/bin/probe", "die", "SIGTERM"]).expect(0, "143\n", "");
    status(["/bin/probe", "die", "SIGKILL"]).expect(0, "137\n", "");
    status(["/bin/none", "", ""]).expect(0, "127\n", any());
    status(["/etc/passwd", "", ""]).expect(0, "126\n", any());
}

/// The whole chain with `program` before each link up to the pivot. Behind it only the image's
/// programs are there.
fn between(user: User, program: &str, root: &Rootfs) -> Chain {
    let line = format!(
        "{program} cg-enter -- {program} ns-unshare -- {program} fs-pivot {root} -- priv-drop -- \
         mini-init -- /bin/probe"
    );
    Chain::new(user, &line)
}

fn foreign_programs_stand_between(user: User) {
    let root = rootfs(user);
    for program in
        ["env", "nohup", "setsid --wait", "stdbuf -oL", "ionice", "chrt --other 0", "setarch -R"]
    {
        need!(catena_tests::need::program(program.split(' ').next().unwrap_or_default()));
        let outcome = between(user, program, &root).run();
        // nohup says what it does with the terminal, were there one; stdbuf sets variables.
        assert_eq!(outcome.seen().pid, 2, "{program}");
    }
}

fn env_between(user: User) {
    let root = rootfs(user);
    let path = format!("PATH={}:/usr/bin:/bin", toolbox::folder().display());
    let program = format!("env -i {path} COLOUR=blue");
    let seen = between(user, &program, &root).env("CANARY", "1").see();
    assert_eq!(seen.environment, [path, "COLOUR=blue".to_owned()]);
}

fn nice_between(user: User) {
    let root = rootfs(user);
    assert_eq!(between(user, "nice -n 2", &root).see().niceness, 6);
    assert_eq!(between(user, "env", &root).see().niceness, 0);
}

fn taskset_between(user: User) {
    need!(catena_tests::need::program("taskset"));
    let root = rootfs(user);
    let all = between(user, "env", &root).see().processors;
    let first = all.split([',', '-']).next().expect("one processor");
    assert_eq!(between(user, &format!("taskset -c {first}"), &root).see().processors, first);
}

fn prlimit_between(user: User) {
    need!(catena_tests::need::program("prlimit"));
    let root = rootfs(user);
    let seen = between(user, "prlimit --nofile=77:99", &root).see();
    assert_eq!(seen.limits["Max open files"], ["77", "99"]);
}

fn setpriv_between(user: User) {
    need!(catena_tests::need::program("setpriv"));
    let root = rootfs(user);
    let seen = between(user, "setpriv --no-new-privs", &root).see();
    assert!(seen.no_new_privs);
    if user.is_root() {
        let line = format!(
            "setpriv --reuid 4343 --regid 4343 --clear-groups ns-unshare -- fs-pivot {root} -- \
             priv-drop -- mini-init -- /bin/probe"
        );
        let seen = Chain::new(user, &line).see();
        assert_eq!(seen.uid_map, [[0, 4343, 1]]);
    }
}

fn timeout_before(user: User) {
    let root = rootfs(user);
    let links = links(&root.to_string());
    let line = |limit: u32, app: &str| {
        format!("timeout {limit} cg-enter -- timeout 2000 {links} /bin/probe {app}")
    };
    Chain::new(user, &line(2000, "exit 3")).run().expect(3, "", "");
    // The signal is what its clock sends.
    let mut running = Chain::new(user, &line(1000, "hold")).start();
    running.wait_for("ready\n");
    running.signal(Signal::SIGALRM);
    running.finish().expect(124, "ready\n", "");
}

fn strace_before(user: User) {
    need!(catena_tests::need::program("strace"));
    let root = rootfs(user);
    let scratch = Scratch::new(user);
    let log = scratch.join("log");
    let program = format!("strace -f -qq -e trace=execve,execveat -o {}", log.display());
    let line = format!("{program} cg-enter -- {} /bin/probe exit 3", links(&root.to_string()));
    Chain::new(user, &line).run().expect(3, "", "");
    let text = fs::read_to_string(&log).expect("read");
    assert!(text.contains("execve(\"/bin/probe\""), "{text}");
    // And between: what comes after it is traced.
    let line = format!("cg-enter -- {program} {} /bin/probe exit 3", links(&root.to_string()));
    Chain::new(user, &line).run().expect(3, "", "");
}

fn ip_netns_before(user: User) {
    if !user.is_root() {
        // Only root can have made one: /run/netns is root's.
        return;
    }
    need!(catena_tests::need::program("ip"));
    let root = rootfs(user);
    let scratch = Scratch::new(user);
    let run = scratch.folder("run", user);
    let script = format!(
        "ip netns add blue && ip netns exec blue ip link set lo up && \
         exec ip netns exec blue ns-unshare --share=net -- fs-pivot {root} -- priv-drop -- mini-init -- \
         /bin/probe"
    );
    let seen = Chain::new(user, "sh -c").arg(&script).cover(&run, "/run").see();
    let outside = Chain::new(user, "{probe}").see();
    assert_ne!(seen.namespaces["net"], outside.namespaces["net"]);
    assert_eq!(Vec::from_iter(seen.interfaces.clone()), [("lo".to_owned(), true)]);
}

fn a_tool_is_found_without_path(user: User) {
    let root = rootfs(user);
    let line = format!("cg-enter -- {} /bin/probe exit 3", links(&root.to_string()));
    Chain::new(user, &line).env("PATH", "/none").run().expect(3, "", "");
    // Somebody's program of that name in PATH is not it.
    let scratch = Scratch::new(user);
    scratch.script("mini-init", "#!/bin/sh\necho evil\n");
    let path = scratch.path().display().to_string();
    Chain::new(user, &line).env("PATH", path).run().expect(3, "", "");
}

fn a_tool_by_its_path(user: User) {
    let root = rootfs(user);
    let folder = toolbox::folder().display();
    let line = format!(
        "{folder}/cg-enter -- {folder}/ns-unshare -- {folder}/fs-pivot {root} -- priv-drop -- mini-init -- \
         /bin/probe exit 3"
    );
    Chain::new(user, &line).run().expect(3, "", "");
    // A relative path, from where the tools stand.
    let line = format!("./ns-unshare -- ./fs-pivot {root} -- mini-init -- /bin/probe exit 3");
    Chain::new(user, &line).directory(toolbox::folder()).run().expect(3, "", "");
}

fn f3_the_tools_cannot_be_overwritten(user: User) {
    let root = rootfs(user);
    let before = fs::read(toolbox::tool("mini-init")).expect("read");
    for isolation in isolations(user) {
        let line = format!("{isolation} fs-pivot {root} -- mini-init --");
        let start = |app: &str| Chain::new(user, &format!("{line} {app}")).run();
        // The first process's program is the tool; its folder is shown on a mount of its own.
        let flags = "FsFlags(ST_RDONLY | ST_NOSUID)\n";
        start("/bin/probe mount-flags /proc/1/exe").expect(0, flags, "");
        start("/bin/probe mount-flags /proc/self/exe").expect(0, "FsFlags(ST_NOSUID)\n", "");
        for path in ["/proc/1/exe", "/proc/self/exe"] {
            start(&format!("/bin/probe append {path}")).expect(0, like("E*\n"), "");
        }
        // It is letting go of the app's at this moment, and ls(1) may say so and fail.
        let list = Chain::new(user, &format!("{line} sh -c")).arg("ls -l /proc/1/fd; exit 0");
        let outcome = list.run();
        outcome.expect(0, any(), any());
        // No descriptor of a tool leads to the folder of the tools.
        let folder = toolbox::folder().file_name().expect("a name").to_string_lossy().into_owned();
        assert!(!outcome.stdout.contains(&folder), "{outcome}");
        assert!(fs::read(toolbox::tool("mini-init")).expect("read") == before);
    }
}

fn a_container_in_a_container(user: User) {
    let root = rootfs(user);
    // The outer one has a /tmp of its own, where the root may stand outside.
    let outer = format!("ns-unshare -- fs-pivot --ephemeral / --bind {root}:/mnt --");
    let start =
        |inner: &str| Chain::new(user, &format!("{outer} {inner} -- /bin/probe exit 3")).run();
    start("ns-unshare --no-mount-proc -- fs-pivot --no-defaults /mnt -- priv-drop -- mini-init")
        .expect(3, "", "");
    // Where parts of /proc are masked the kernel allows no fresh one, and that is said.
    let refused = start("ns-unshare -- fs-pivot /mnt -- priv-drop -- mini-init");
    refused.expect(
        125,
        "",
        like("ns-unshare: *'/proc': Operation not permitted\nhint: *--no-mount-proc\n"),
    );
}

fn two_containers_at_once(user: User) {
    let root = rootfs(user);
    let start = || {
        let line = format!("cg-enter -- {} /bin/probe hold", links(&root.to_string()));
        let mut running = Chain::new(user, &line).start();
        running.wait_for("ready\n");
        running
    };
    let (one, other) = (start(), start());
    one.signal(Signal::SIGTERM);
    one.finish().expect(128 + Signal::SIGTERM as i32, "ready\n", "");
    // Its end is not the other's.
    assert_eq!(other.processes().len(), 4);
    other.signal(Signal::SIGTERM);
    other.finish().expect(128 + Signal::SIGTERM as i32, "ready\n", "");
}

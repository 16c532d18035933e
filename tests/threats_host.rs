//! Attacks by way of what the host gives: /proc, the environment.

use std::fs;
use std::process::Command;

use catena_tests::pivot::{can_pivot, containers, hosts, isolations, rootfs};
use catena_tests::{Cell, Chain, Scratch, User, any, each_user, like, need};

each_user![if can_pivot;
    f2_who_owns_a_new_user_namespace_shares_no_memory_with_its_monitor,
    f6_a_false_proc_is_not_believed,
    f6_a_label_is_not_written_elsewhere,
    h6_a_number_that_has_passed_on_is_not_entered,
    h7_no_limit_without_its_controller,
    h8_no_library_is_preloaded_into_a_tool,
    h8_the_environment_can_be_cleared,
];

/// The files of a procfs that tools write to.
const WRITTEN: [&str; 5] = ["uid_map", "gid_map", "setgroups", "oom_score_adj", "attr/exec"];

/// Another process of the same user owns the new user namespace too, and may trace what is born in
/// there: the monitor may have more capabilities than that one. Without a new one nobody may.
fn f2_who_owns_a_new_user_namespace_shares_no_memory_with_its_monitor(user: User) {
    need!(need::program("strace"));
    let scratch = Scratch::new(user);
    let log = scratch.join("log");
    let birth = |line: &str| {
        let chain = Chain::new(user, "strace -f -qq -e trace=clone,clone3 -o").arg(&log);
        chain.args(line.split_whitespace()).run().expect(0, "", "");
        let text = fs::read_to_string(&log).expect("read the log");
        text.lines().find(|line| line.contains("CLONE_NEWPID")).expect("a birth").to_owned()
    };
    let owned = birth("ns-unshare --user --map-current --pid --mount -- true");
    assert!(owned.contains("CLONE_NEWUSER") && !owned.contains("CLONE_VM"), "{owned}");
    if user.is_root() {
        // Where nobody gains by it, it is shared until the exec.
        let shared = birth("ns-unshare --pid --mount -- true");
        assert!(shared.contains("CLONE_VM"), "{shared}");
    }
}

fn f6_a_false_proc_is_not_believed(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let proc = scratch.folder("proc", user);
    for folder in ["self", "thread-self", "1", "2", "3", "sys"] {
        fs::create_dir_all(proc.join(folder).join("attr")).expect("make folders");
        for name in WRITTEN {
            fs::write(proc.join(folder).join(name), "0 0 4294967295").expect("write");
        }
    }
    Command::new("chmod").args(["-R", "a+rwX"]).arg(&proc).status().expect("chmod");
    let state = || catena_tests::tree::Tree::of(&proc);
    let before = state();
    for tools in [
        "ns-unshare --".to_owned(),
        format!("ns-unshare -- fs-pivot {root} --"),
        "priv-drop --oom-score-adj 500 --".to_owned(),
        "mini-init --subreaper --".to_owned(),
    ] {
        let ways = hosts(user).iter().flat_map(|host| [format!("{host} -p -f"), host.to_string()]);
        for host in ways {
            let script = format!("mount --rbind {} /proc && exec {tools} true", proc.display());
            let outcome = Chain::new(user, &format!("{host} sh -c")).arg(script).run();
            // A procfs of its own is as good; where there can be none, that is said.
            match outcome.ended {
                Some(ended) if ended == 0.into() => outcome.expect(0, "", ""),
                _ => outcome.expect(125, "", like("*: *proc*\n")),
            };
            before.is_unchanged();
        }
    }
    // Who goes by path writes there.
    for (number, host) in (5..).zip(hosts(user)) {
        let write = format!("echo {number} >/proc/self/oom_score_adj");
        let script = format!("mount --rbind {} /proc && {write}", proc.display());
        Chain::new(user, &format!("{host} sh -c")).arg(script).run().expect(0, "", "");
        let written = fs::read_to_string(proc.join("self/oom_score_adj")).expect("read");
        assert_eq!(written, format!("{number}\n"));
    }
}

fn f6_a_label_is_not_written_elsewhere(user: User) {
    let scratch = Scratch::new(user);
    let file = scratch.file("file", "untouched");
    catena_tests::scratch::give(&file, user);
    let written = || fs::read_to_string(&file).expect("read");
    for host in hosts(user) {
        for (option, name) in [("--apparmor", "attr/apparmor/exec"), ("--selinux", "attr/exec")] {
            let cover = |label: &str| {
                let script = format!(
                    "name=/proc/$$/{name}; [ -e $name ] || name=/proc/$$/attr/exec; \
                     mount --bind {} $name || exit 9; {label}",
                    file.display()
                );
                Chain::new(user, &format!("{host} sh -c")).arg(script).run()
            };
            let label = format!("exec priv-drop {option} label -- echo started");
            cover(&label).expect(125, "", any());
            assert_eq!(written(), "untouched");
            // By path it is written there.
            cover("echo label >$name").expect(0, "", "");
            assert_eq!(written(), "label\n");
            fs::write(&file, "untouched").expect("write");
        }
    }
}

/// One container takes the place of another, with the same numbers, while ns-enter looks at it.
const RECYCLE: &str = r#"
    share=$2
    start() {
        ns-unshare $share --hostname $1 -- mini-init --grace 0 -- sleep 60 &
        monitor=$!
        # Without a fork, which would take a number.
        name=; until [ "$name" = mini-init ]; do
            read -r init </proc/$monitor/task/$monitor/children
            read -r name </proc/$init/comm
        done 2>/dev/null
    }
    start first; first=$init before=$monitor
    strace -o "$0" -e trace=pidfd_open -e inject=pidfd_open:signal=SIGSTOP:when=1         ns-enter --no-cgroup $first -- hostname &
    tracer=$!
    until grep -q 'stopped by SIGSTOP' "$0"; do :; done 2>/dev/null
    joiner=; read -r joiner </proc/$tracer/task/$tracer/children
    if [ "$1" = recycled ]; then
        kill -9 $before; wait $before 2>/dev/null
        # The shell is PID 1, and collects the dead when it waits for something.
        while [ -e /proc/$first ]; do env true; done
        echo $((before - 1)) >/proc/sys/kernel/ns_last_pid
        start second
        [ "$init" = "$first" ] && echo the same number
    fi
    kill -CONT $joiner
    wait $tracer; echo $?
    kill -9 $monitor"#;

fn h6_a_number_that_has_passed_on_is_not_entered(user: User) {
    need!(need::program("strace"));
    for (host, isolation) in hosts(user).iter().zip(isolations(user)) {
        let share = if isolation.contains("share=user") { "--share=user" } else { "" };
        let join = |manner: &str| {
            let scratch = Scratch::new(user);
            let chain = Chain::new(user, &format!("{host} -p -f --mount-proc sh -c")).arg(RECYCLE);
            chain.arg(scratch.join("log")).arg(manner).arg(share).run()
        };
        join("at rest").expect(0, "first\n0\n", any());
        let recycled = join("recycled");
        recycled.expect(0, "the same number\n125\n", like("*ns-enter: *"));
    }
}

fn h7_no_limit_without_its_controller(user: User) {
    for limit in ["--memory-max 64M", "--pids-max 50", "--cpu-max 50%", "--hugetlb-max 2MB,2M"] {
        // A host without any controller.
        let script =
            format!("mount -t tmpfs none /sys/fs/cgroup && exec cg-enter {limit} -- echo started");
        for host in hosts(user) {
            let outcome = Chain::new(user, &format!("{host} sh -c")).arg(&script).run();
            outcome.expect(125, "", like("cg-enter: *\n"));
        }
    }
    need!(Cell::with(user, "pids"));
    let fork = |chain: &str| Chain::new(user, &format!("{chain} {{probe}} fork 40")).run();
    fork("cg-enter --pids-max 20 --").expect(0, like("* EAGAIN\n"), any());
    fork("cg-enter --").expect(0, "40 enough\n", "");
}

const LIBRARY: &str = "#include <stdio.h>\n\
    __attribute__((constructor)) static void load(void) { puts(\"loaded\"); fflush(stdout); }\n";

fn h8_no_library_is_preloaded_into_a_tool(user: User) {
    let (root, scratch) = (rootfs(user), Scratch::new(user));
    let compiler = need!(need::program("gcc"));
    let (source, library) = (scratch.file("load.c", LIBRARY), scratch.join("load.so"));
    let made = Command::new(compiler)
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("gcc");
    assert!(made.success());
    let path = library.display().to_string();
    let preload = |chain: Chain| {
        chain.env("LD_PRELOAD", &path).env("LD_LIBRARY_PATH", scratch.path()).env("LD_DEBUG", "all")
    };
    for chain in containers(user, &root) {
        preload(chain.arg("true")).run().expect(0, "", "");
    }
    // A program of the host, dynamic as most are.
    let control = Chain::new(user, "env true").env("LD_PRELOAD", &path).run();
    assert!(control.stdout.starts_with("loaded\n"), "{control}");
}

fn h8_the_environment_can_be_cleared(user: User) {
    let root = rootfs(user);
    for isolation in isolations(user) {
        let env = |options: &str| {
            let line =
                format!("{isolation} fs-pivot {root} -- priv-drop -- mini-init {options} -- env");
            let outcome = Chain::new(user, &line).env("CANARY", "secret").run();
            outcome.expect(0, any(), "");
            outcome.stdout
        };
        let all = env("");
        // As env(1) and nice(1) do; our own variables are gone.
        assert!(all.contains("CANARY=secret\n") && !all.contains("CATENA_"), "{all}");
        assert_eq!(env("--clear-env --env A=b"), "A=b\n");
    }
}

//! All tools in one program, as a release has them, against the same tools as programs of their own: a link
//! is gone on as without an exec there, and nobody but a tracer can tell.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use catena_tests::{Cell, Chain, Rootfs, Scratch, User, each_user, fault, need, toolbox};
use nix::sys::signal::Signal;

each_user![
    if can_run;
    the_app_finds_the_same,
    the_processes_are_the_same,
    a_failure_is_told_the_same,
    a_file_by_another_name_is_no_tool,
];

each_user![
    if can_trace;
    most_links_take_no_exec,
];

fn can_run(user: User) -> Result<(), String> {
    user.can_isolate()?;
    Cell::new(user)?;
    Rootfs::new(user).map(drop)
}

fn can_trace(user: User) -> Result<(), String> {
    can_run(user)?;
    need::program("strace").map(drop)
}

/// The folder of the one program, under all names.
fn one_program() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(toolbox::one_program)
}

/// The chain with separate tools, and with those that are one program.
fn both(make: impl Fn() -> Chain) -> [Chain; 2] {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", one_program().display());
    [make(), make().env("PATH", path)]
}

/// Chains up to an app in `root`, and one that needs none.
fn lines(user: User, root: &Rootfs) -> Vec<String> {
    let kinds = if user.is_root() { "-mpniuC" } else { "" };
    let mut lines = vec![
        format!(
            "cg-enter -- ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init -- /bin/probe"
        ),
        format!("ns-unshare {kinds} -- fs-pivot {root} -- priv-drop -- /bin/probe"),
        // Not root inside: an exec takes what capabilities there are.
        "ns-unshare --map-current --user --pid --net -- cg-enter -- mini-init --subreaper -- {probe}"
            .to_owned(),
        "ns-unshare --user --uts -- cg-enter -- env A=1 mini-init --subreaper -- {probe}"
            .to_owned(),
        format!("cg-enter -- cg-enter -- ns-unshare -- fs-pivot {root} -- mini-init -- /bin/probe"),
        "cg-enter -- ns-unshare -- ns-unshare -- mini-init -- {probe}".to_owned(),
        "cg-enter -- {probe}".to_owned(),
        "ns-unshare -- priv-drop --oom-score-adj 500 -- mini-init -- {probe}".to_owned(),
    ];
    if user.is_root() {
        lines.push("cg-enter -- priv-drop --keep-groups --oom-score-adj 500 -- {probe}".into());
        lines.push(
            "ns-unshare -mp -- priv-drop --caps oci --user 4242:4242 -- mini-init -- {probe}"
                .into(),
        );
        lines.push("ns-unshare --map-users 0:100000:9 --map-groups 0:100000:9 -- priv-drop --oom-score-adj 9 -- {probe}".into());
    }
    lines
}

fn the_app_finds_the_same(user: User) {
    let root = Rootfs::new(user).expect("asked before");
    for line in lines(user, &root) {
        let plain = || Chain::new(user, &line);
        let unusual = || {
            plain()
                .ignoring(Signal::SIGCHLD)
                .ignoring(Signal::SIGPIPE)
                .blocking(Signal::SIGUSR1)
                .env("LISTEN_PID", "1")
                .env("CATENA_X", "1")
        };
        for make in [&plain as &dyn Fn() -> Chain, &unusual] {
            let [apart, as_one] = both(make).map(|chain| fault::essence(chain.see()));
            let variables = |value: &serde_json::Value| {
                value.to_string().replace(
                    &one_program().display().to_string(),
                    &toolbox::folder().display().to_string(),
                )
            };
            assert_eq!(variables(&apart), variables(&as_one), "{line}");
        }
    }
}

/// What ps(1) shows of the processes of a chain, and their descriptors.
fn processes(chain: Chain) -> Vec<(String, String, String, Vec<String>)> {
    let mut running = chain.arg("deaf").start();
    running.wait_for("ready\n");
    // A monitor that shared its child's memory lets go of what is the app's a moment later.
    let is_app = |pid: &&i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "probe\n")
    };
    let holds = |pid: &i32, of: &i32| {
        let output = fs::read_link(format!("/proc/{of}/fd/1")).ok();
        fs::read_dir(format!("/proc/{pid}/fd")).is_ok_and(|mut all| {
            all.any(|one| one.is_ok_and(|one| fs::read_link(one.path()).ok() == output))
        })
    };
    let sleeps = |pid: &i32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" S"))
    };
    running.wait_until("only the app has its standard output, and all wait", || {
        let all = running.processes();
        let Some(app) = all.iter().find(is_app) else { return false };
        all.iter().filter(|pid| holds(pid, app)).count() == 1 && all.iter().all(sleeps)
    });
    let seen = running.processes().into_iter().map(|pid| {
        let text = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).expect("alive");
        let words = text("cmdline").replace(&one_program().display().to_string(), "");
        let words = words.replace(&toolbox::folder().display().to_string(), "");
        let status = text("status");
        let kept =
            ["SigBlk", "SigIgn", "SigCgt", "CapPrm", "CapBnd", "Seccomp", "Uid", "NoNewPrivs"];
        let status: Vec<&str> = status
            .lines()
            .filter(|line| line.split_once(':').is_some_and(|(key, _)| kept.contains(&key)))
            .collect();
        let mut open: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
            .expect("its descriptors")
            .map(|entry| {
                let link = fs::read_link(entry.expect("a descriptor").path()).unwrap_or_default();
                // Numbers that the kernel or the test draws.
                let link = link.to_string_lossy();
                link.split([':', '-']).next().unwrap_or_default().to_owned()
            })
            .collect();
        open.sort();
        let words = words.trim_end_matches('\0').replace('\0', " ");
        (text("comm"), words, status.join("\n"), open)
    });
    let mut seen: Vec<_> = seen.collect();
    seen.sort();
    running.signal(Signal::SIGKILL);
    drop(running.finish());
    seen
}

fn the_processes_are_the_same(user: User) {
    let root = Rootfs::new(user).expect("asked before");
    for line in [
        format!(
            "cg-enter -- ns-unshare -- fs-pivot {root} -- priv-drop -- mini-init -- /bin/probe"
        ),
        "ns-unshare --pid --user --mount -- cg-enter -- mini-init --subreaper -- {probe}"
            .to_owned(),
    ] {
        let [apart, as_one] = both(|| Chain::new(user, &line)).map(processes);
        assert!(apart.len() >= 4, "{apart:?}");
        assert_eq!(apart, as_one, "{line}");
    }
}

fn a_failure_is_told_the_same(user: User) {
    let root = Rootfs::new(user).expect("asked before");
    for line in [
        format!("cg-enter -- ns-unshare -- fs-pivot {root}/none -- mini-init -- /bin/probe"),
        format!(
            "cg-enter -- ns-unshare -- fs-pivot {root} --chdir /none -- priv-drop -- /bin/probe"
        ),
        format!("ns-unshare -- fs-pivot {root} -- priv-drop --caps nonsense -- /bin/probe"),
        format!("cg-enter -- ns-unshare -- fs-pivot {root} -- priv-drop --user none -- /bin/probe"),
        "cg-enter -- ns-unshare --share nothing -- mini-init -- /bin/true".to_owned(),
        "cg-enter -- ns-unshare -- priv-drop -- /none/at/all".to_owned(),
        "cg-enter -- ns-unshare -- priv-drop".to_owned(),
        "cg-enter -- ns-unshare -- fs-pivot --help".to_owned(),
        "cg-enter -- ns-unshare -- priv-drop --help caps".to_owned(),
        "cg-enter -- ns-unshare --explain -- mini-init -- /bin/true".to_owned(),
    ] {
        let [apart, as_one] = both(|| Chain::new(user, &line)).map(|chain| chain.run());
        assert_eq!(
            (apart.ended, apart.stdout, apart.stderr),
            (as_one.ended, as_one.stdout, as_one.stderr),
            "{line}"
        );
    }
}

fn a_file_by_another_name_is_no_tool(user: User) {
    let scratch = Scratch::new(user);
    let named = |name: &str, tool: &str| {
        let link = scratch.join(name);
        std::os::unix::fs::symlink(one_program().join(tool), &link).expect("symlink");
        Chain::new(user, "").arg(&link).args(["--version"]).run()
    };
    // It is what a link leads to, whatever that is called.
    assert!(named("mini-init", "ns-unshare").stdout.starts_with("ns-unshare "));
    assert!(named("something", "ns-unshare").stdout.starts_with("ns-unshare "));
    // It runs from a copy in memory, whose first word is the link's name.
    assert!(named("anything", "ns-enter").stdout.starts_with("ns-enter "));
    let copy = scratch.program("catena", &one_program().join("ns-unshare"));
    let outcome = Chain::new(user, "").arg(&copy).run();
    assert!(
        outcome.stderr.starts_with("catena: this file is many tools, and is none by this name\n"),
        "{outcome}"
    );
}

fn most_links_take_no_exec(user: User) {
    let root = Rootfs::new(user).expect("asked before");
    let execs = |chain: Chain, log: &PathBuf| {
        chain.run().expect(0, "", "");
        let log = fs::read_to_string(log).expect("the log");
        // The first link behind the pivot is from the toolbox: who has its namespaces may open its file.
        assert!(
            log.lines().any(|line| line.contains("execveat(") && line.contains("\"priv-drop\""))
        );
        let of_tools = log.lines().filter(|line| line.contains("execve") && line.ends_with("= 0"));
        of_tools.count()
    };
    let scratch = Scratch::new(user);
    let log = scratch.join("log");
    let line = format!(
        "strace -f -qq -e signal=none -e trace=execve,execveat -o {} cg-enter -- ns-unshare -- fs-pivot {root} \
         -- priv-drop -- mini-init -- /bin/probe exit 0",
        log.display()
    );
    let [apart, as_one] = both(|| Chain::new(user, &line)).map(|chain| execs(chain, &log));
    // The first link; the first behind the pivot; the app.
    let of_tools_under_test = if toolbox::is_one_program() { 3 } else { 6 };
    assert_eq!((apart, as_one), (of_tools_under_test, 3));
}

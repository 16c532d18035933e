//! --explain: what is said is what is done, and saying it does nothing.

use std::collections::{BTreeMap, BTreeSet};

use catena_tests::shell::in_each;
use catena_tests::{
    Chain, Ended, Outcome, Rootfs, Scratch, User, any, each_user, host, like, need,
};

each_user![
    mounts_are_those_of_the_container,
    mounts_of_a_view_of_this_system_are_there,
    id_maps_are_those_of_the_container,
    namespaces_are_those_of_the_container,
    what_is_written_to_the_cgroup_is_there,
    privileges_are_those_that_are_left,
    every_tool_explains_itself,
    the_spellings_are_explained_alike,
    nothing_is_done,
    no_program_of_others_is_executed,
    what_would_be_refused_is,
];

/// What `line` says that it would do, `--explain` being given to its first link.
fn explained(user: User, line: &str) -> Outcome {
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    let outcome = Chain::new(user, &format!("{first} --explain {rest}")).run();
    outcome.expect(0, any(), "");
    outcome
}

/// The steps of `tool` that begin with `with`, without that.
fn steps<'a>(outcome: &'a Outcome, tool: &str, with: &str) -> Vec<&'a str> {
    let head = format!("{tool}: {with}");
    outcome.stdout.lines().filter_map(|line| line.strip_prefix(&head)).collect()
}

/// The mounts that fs-pivot says it makes: places and attributes.
fn said_mounts(outcome: &Outcome) -> BTreeMap<String, BTreeSet<String>> {
    let mut mounts = BTreeMap::new();
    for step in steps(outcome, "fs-pivot", "at ") {
        let (place, what) = step.split_once(": ").expect("a place");
        let listed = what.rsplit_once(" (").and_then(|(_, list)| list.strip_suffix(')'));
        let attributes = listed.into_iter().flat_map(|list| list.split(',')).map(Into::into);
        mounts.insert(place.to_owned(), attributes.collect());
    }
    mounts
}

/// The mounts of the container that `line` makes: places and the attributes of the topmost.
fn made_mounts(user: User, line: &str) -> BTreeMap<String, BTreeSet<String>> {
    let outcome = Chain::new(user, &format!("{line} -- cat /proc/self/mountinfo")).run();
    outcome.expect(0, any(), "");
    let fields = |line: &str| -> (String, BTreeSet<String>) {
        let fields: Vec<&str> = line.split(' ').collect();
        (fields[4].to_owned(), fields[5].split(',').map(Into::into).collect())
    };
    outcome.stdout.lines().map(fields).collect()
}

fn mounts_are_those_of_the_container(user: User) {
    need!(user.can_isolate());
    let root = need!(Rootfs::new(user));
    let scratch = Scratch::new(user);
    scratch.file("file", "x");
    let folder = scratch.path().display();
    let deep = ["--no-defaults --proc new --sys none", "--no-defaults --proc new --dev minimal"];
    let options = [
        "",
        "--read-only",
        "--ephemeral",
        "--etc-hosts --machine-id",
        "--overlay",
        "--sys bind --proc bind --dev host --read-only",
    ];
    let extras = format!(
        "--bind {folder}:/mnt --ro-bind {folder}/file:/etc/file --tmpfs /srv/x --mask /home \
         --read-only-path /var --copy-up {folder}/file:/made --mqueue /q --dev-node /dev/null"
    );
    let options = options.into_iter().chain(deep).chain([extras.as_str()]);
    for option in options {
        let line = format!("ns-unshare -- fs-pivot {option} {root}");
        let said = said_mounts(&explained(user, &format!("{line} -- cat")));
        let made = made_mounts(user, &line);
        // --proc bind and its like bring along what is mounted there.
        for (place, attributes) in &said {
            let there = made.get(place).unwrap_or_else(|| panic!("{line}: {place} in {made:?}"));
            assert!(attributes.is_subset(there), "{line}: {place}: {attributes:?} {there:?}");
        }
        if !option.contains("bind") {
            let places: Vec<_> = made.keys().filter(|place| !said.contains_key(*place)).collect();
            assert!(places.is_empty(), "{line}: not said: {places:?}");
        }
    }
}

/// The host has mounts of its own below /, which come along: so what is said must be there.
fn mounts_of_a_view_of_this_system_are_there(user: User) {
    need!(user.can_isolate());
    for option in ["--ephemeral", "--read-only"] {
        let line = format!("ns-unshare -- fs-pivot {option} /");
        let said = said_mounts(&explained(user, &format!("{line} -- cat")));
        let made = made_mounts(user, &line);
        assert!(said.len() > 20, "{said:?}");
        for (place, attributes) in &said {
            let there = made.get(place).unwrap_or_else(|| panic!("{line}: {place} in {made:?}"));
            assert!(attributes.is_subset(there), "{line}: {place}: {attributes:?} {there:?}");
        }
    }
}

fn id_maps_are_those_of_the_container(user: User) {
    need!(user.can_isolate());
    let maps = ["--map-root", "--map-current", ""];
    let ranges = ["--map-users 0:1000:5 --map-users 9:0:1 --map-groups 0:0:1 --map-groups 3:7:2"];
    let maps = maps.into_iter().chain(ranges.into_iter().filter(|_| user.is_root()));
    for map in maps {
        let line = format!("ns-unshare {map} --user --keep-groups");
        let outcome = explained(user, &format!("{line} -- cat"));
        for file in ["uid_map", "gid_map"] {
            let written = |step: &str| {
                let (text, rest) = step.split_once("' to /proc/PID/")?;
                rest.starts_with(file).then(|| text.to_owned())
            };
            let said: Vec<String> =
                steps(&outcome, "ns-unshare", "writes '").into_iter().filter_map(written).collect();
            let app = Chain::new(user, &format!("{line} -- cat /proc/self/{file}")).run();
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            let made: Vec<String> = app.stdout.lines().map(words).collect();
            assert_eq!(said, made, "{map}: {file}");
        }
    }
}

fn namespaces_are_those_of_the_container(user: User) {
    need!(user.can_isolate());
    let own = Chain::new(user, "{probe}").see();
    for options in ["", "-Un", "-UTi", "--share net,uts", "-Um --hostname x -u"] {
        let outcome = explained(user, &format!("ns-unshare {options} -- true"));
        let kind = |step: &str| step.split_once(' ').map(|(kind, _)| kind.to_owned());
        let said: BTreeSet<String> =
            steps(&outcome, "ns-unshare", "new ").into_iter().filter_map(kind).collect();
        let seen = Chain::new(user, &format!("ns-unshare {options} -- {{probe}}")).see();
        let differs = |(name, inode): &(&String, &_)| {
            !name.ends_with("_for_children") && own.namespaces[name.as_str()] != **inode
        };
        let made: BTreeSet<String> =
            seen.namespaces.iter().filter(differs).map(|(name, _)| name.clone()).collect();
        assert_eq!(said, made, "{options}");
    }
}

fn what_is_written_to_the_cgroup_is_there(user: User) {
    let name = format!("explained-{}", user.uid());
    let line =
        format!("cg-enter --name {name} --rm --memory-max 64M --pids-max 77 --cpu-weight 50");
    let works = Chain::new(user, &format!("{line} -- true")).run();
    if works.ended != Some(Ended::Exit(0)) {
        return need::skip(&works.stderr);
    }
    let outcome = explained(user, &format!("{line} -- true"));
    let made = steps(&outcome, "cg-enter", "makes the cgroup ");
    let mut files = Vec::new();
    let mut values = String::new();
    for step in steps(&outcome, "cg-enter", "writes '") {
        let (value, file) = step.split_once("' to ").expect("a value and a file");
        let (folder, file) = file.rsplit_once('/').expect("a path");
        if let Some((_, own)) = folder.rsplit_once(&format!("/{name}")) {
            assert_eq!(own, "");
            assert!(made.iter().any(|step| step.starts_with(folder)), "{folder} in {made:?}");
            files.push(format!("*/{name}/{file}"));
            values.push_str(&format!("{value}\n"));
        }
    }
    assert_eq!(files.len(), 3, "{outcome}");
    // Each run has a cell of its own, so the paths differ above the cgroup's name.
    let script = "for file in \"$@\"; do cat \"$(find /sys/fs/cgroup -path \"$file\" 2>/dev/null | head -1)\"; done";
    let app = Chain::new(user, &format!("{line} -- sh -c")).arg(script).arg("sh").args(files);
    app.run().expect(0, values.as_str(), "");
}

fn privileges_are_those_that_are_left(user: User) {
    need!(user.can_isolate());
    let line = "ns-unshare --user --keep-groups -- priv-drop --keep-groups --caps none,+chown \
                --rlimit nofile=64:128 --umask 027 --oom-score-adj 500 --nice 7";
    let outcome = explained(user, &format!("{line} -- true"));
    let said = |text: &str| {
        let found = steps(&outcome, "priv-drop", text);
        assert_eq!(found.len(), 1, "{text} in {outcome}");
        found[0].to_owned()
    };
    let script = "ulimit -Sn; ulimit -Hn; ulimit -c; umask; cat /proc/self/oom_score_adj; nice; \
                  grep -E '^(CapBnd|CapEff|NoNewPrivs|Seccomp):' /proc/self/status";
    let app = Chain::new(user, &format!("{line} -- sh -c")).arg(script).run();
    app.expect(0, any(), "");
    let lines: Vec<&str> = app.stdout.lines().collect();
    assert_eq!(said("sets the limit nofile="), format!("{}:{}", lines[0], lines[1]));
    assert_eq!(said("sets the limit core="), format!("{0}:{0}", lines[2]));
    assert_eq!(format!("0{}", said("sets the file mode creation mask ")), lines[3]);
    assert_eq!(said("writes "), format!("{} to /proc/self/oom_score_adj", lines[4]));
    assert_eq!(said("sets the nice value "), lines[5]);
    let held: BTreeMap<&str, &str> =
        lines[6..].iter().filter_map(|line| line.split_once(":\t")).collect();
    // CAP_CHOWN is number 0.
    assert_eq!(said("drops all capabilities but: "), "CAP_CHOWN");
    assert_eq!(held["CapEff"], "0000000000000001");
    assert!(said("drops all capabilities from the bounding set").ends_with(": CAP_CHOWN"));
    assert_eq!(held["CapBnd"], "0000000000000001");
    said("sets no_new_privs");
    assert_eq!(held["NoNewPrivs"], "1");
    said("loads the default seccomp filter");
    assert_eq!(held["Seccomp"], "2");
}

fn every_tool_explains_itself(user: User) {
    for (line, step) in [
        ("cg-enter -- true", "cg-enter: makes the cgroup *"),
        ("ns-unshare -- true", "ns-unshare: new pid namespace: *"),
        ("ns-enter 1 -- mini-init", "ns-enter: finds the process of 1, *"),
        ("fs-pivot / -- true", "fs-pivot: at /: *"),
        ("priv-drop -- true", "priv-drop: sets no_new_privs: *"),
        ("mini-init -- true", "mini-init: starts the app as its child, *"),
        ("notify-bridge -- true", "notify-bridge: NOTIFY_SOCKET is not set: *"),
        ("listen-fds tcp:80 -- true", "listen-fds: opens tcp:80: descriptor 3 *"),
    ] {
        if line.starts_with("cg-enter")
            && Chain::new(user, line).run().ended != Some(Ended::Exit(0))
        {
            continue;
        }
        let outcome = explained(user, line);
        let app = line.rsplit(' ').next().expect("an app");
        let end = format!("*{step}\n*app: executes {app}: found by PATH*\n");
        outcome.expect(0, like(end), "");
    }
}

fn the_spellings_are_explained_alike(user: User) {
    need!(user.can_isolate());
    let root = need!(Rootfs::new(user));
    let stages =
        ["ns-unshare --hostname x".to_owned(), format!("fs-pivot {root}"), "priv-drop".into()];
    let chain =
        explained(user, &format!("{} -- mini-init -- true a b", stages.join(" -- "))).stdout;
    assert!(chain.ends_with("app: executes true a b: found by PATH in the new root\n"), "{chain}");
    let pipe = stages.join(" | ");
    in_each(user, format!("{pipe} | mini-init --explain true a b"), |shell| {
        shell.run().expect(0, chain.as_str(), "");
    });
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    let script = format!("{pipe} >p && mini-init --plan p --explain -- true a b");
    in_each(user, script, |shell| {
        shell.directory(scratch.path()).run().expect(0, chain.as_str(), "");
    });
}

/// System calls that change something, for strace.
const CHANGES: &str = "mount,umount2,fsopen,fsmount,open_tree,move_mount,mount_setattr,pivot_root,chroot,\
    unshare,setns,clone,clone3,fork,vfork,mkdir,mkdirat,mknod,mknodat,symlink,symlinkat,unlink,unlinkat,\
    rmdir,rename,renameat2,chmod,fchmod,fchmodat,chown,fchownat,sethostname,capset,setuid,setgid,setgroups,\
    setresuid,setresgid,prctl,setrlimit,setpriority,umask,seccomp,keyctl,socket,kill,flock,\
    landlock_restrict_self";

fn nothing_is_done(user: User) {
    need!(need::program("strace"));
    let root = need!(Rootfs::new(user));
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    let trace = scratch.path().join("trace");
    let line = format!(
        "notify-bridge --explain --ready-timeout 3 -- listen-fds tcp:80 -- ns-unshare --net=pin --map-root -- \
         fs-pivot --ephemeral --etc-hosts {root} -- priv-drop --user 7:7 --landlock rw:/ -- mini-init -- true"
    );
    let before = (host::mounts(), host::paths(scratch.path()));
    let strace =
        format!("strace -f -o {} -e trace={CHANGES},open,openat,openat2,creat", trace.display());
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let first = catena_tests::toolbox::tool(&words[0]);
    let outcome =
        Chain::new(user, &strace).arg(first).args(&words[1..]).directory(scratch.path()).run();
    outcome.expect(0, any(), "");
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let opens = |line: &str| line.contains(" open");
    assert!(text.lines().any(opens), "a trace that shows nothing: {text}");
    for line in text.lines() {
        let harmless = opens(line)
            && !["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| line.contains(flag));
        // Rust's runtime finds out whether descriptors are open, and how it was started.
        let reading = line.contains("PR_GET") || line.contains("+++ exited");
        assert!(harmless || reading, "{line}");
    }
    std::fs::remove_file(&trace).expect("remove the trace");
    assert_eq!(before, (host::mounts(), host::paths(scratch.path())));
}

fn no_program_of_others_is_executed(user: User) {
    let scratch = Scratch::new(user);
    catena_tests::scratch::give(scratch.path(), user);
    let line = "ns-unshare --explain -- touch made fs-pivot / -- touch made";
    let outcome = Chain::new(user, line).directory(scratch.path()).run();
    let said = "*touch: executed as 'touch made', *\nfs-pivot: *\napp: executes touch made: *\n";
    outcome.expect(0, like(said), "");
    assert_eq!(host::paths(scratch.path()), BTreeSet::new());
    // Without --explain it is.
    Chain::new(user, "touch made fs-pivot").directory(scratch.path()).run().expect(0, "", "");
    assert!(scratch.path().join("made").exists());
}

fn what_would_be_refused_is(user: User) {
    let outcome =
        Chain::new(user, "ns-unshare --explain --map-users 0:1:2 --map-users 1:5:1 -- true").run();
    let wrong = "ns-unshare: can't map users: '0:1:2' and '1:5:1' overlap\n";
    outcome.expect(125, "", wrong);
    let outcome = Chain::new(user, "mini-init --explain -- fs-pivot /nothing -- true").run();
    outcome.expect(
        125,
        like("mini-init: *"),
        like("fs-pivot: *'/nothing': No such file or directory\n"),
    );
    let both = Chain::new(user, "ns-unshare --explain --print -- true").run();
    both.expect(
        125,
        "",
        like("ns-unshare: the argument '--explain' cannot be used with '--print'\n*"),
    );
}

//! cg-enter below a real systemd: in a unit with `Delegate=yes`, for an ordinary user, and where
//! nothing was delegated.

use catena_tests::need;
use catena_tests::systemd::Systemd;

/// A host with one ordinary user, `web`, whose own service manager runs.
fn boot() -> Result<Systemd, String> {
    let host = Systemd::boot_with("hugetlb", "--hugetlb-max 2MB,max")?;
    host.run("useradd --create-home --uid 4242 web");
    host.run("systemctl start user@4242");
    Ok(host)
}

/// systemd looks for programs on a PATH of its own.
const CG_ENTER: &str = "/usr/local/bin/cg-enter";

/// The words that cg-enter's hint names: what runs COMMAND where cg-enter works.
const ADVICE: &str = "systemd-run --user --scope -p Delegate=yes";

/// A limit whose controller no systemd of version 2 hands out by itself on every machine: it is
/// enabled down to where units are.
fn hand_out_hugetlb(host: &Systemd) {
    for folder in ["", "/system.slice"] {
        host.write(&format!("/sys/fs/cgroup{folder}/cgroup.subtree_control"), "+hugetlb");
    }
}

fn group(host: &Systemd, path: &str) -> String {
    // By a process inside, which sees the ids of processes as they are there.
    host.ask(&format!("cat /sys/fs/cgroup{path}"))
}

#[test]
fn in_a_delegated_unit() {
    let host = need!(boot());
    hand_out_hugetlb(&host);
    for user in ["root", "web"] {
        let unit = format!("{user}.service");
        // The manager answers when it is done with moving the main process, which it does twice.
        host.unit(
            &unit,
            &format!(
                "[Service]\nUser={user}\nDelegate=yes\nExecStart=sh -c 'sleep 1000 & \
                 until systemctl show -P MainPID %n | grep -qx $$$$; do :; done; \
                 cg-enter --name app --hugetlb-max 2MB,2M -- sleep 2000; exit'\n"
            ),
        );
        host.run(&format!("systemctl start {unit}"));
        let path = host.show(&unit, "ControlGroup");
        host.wait("the app is there", || {
            !group(&host, &format!("{path}/app/cgroup.procs")).is_empty()
        });
        // The app has the limit, and what was in the way stands in a leaf beside it.
        assert_eq!(group(&host, &format!("{path}/app/cgroup.procs")).lines().count(), 1);
        assert_eq!(group(&host, &format!("{path}/app/hugetlb.2MB.max")), "2097152");
        assert_eq!(group(&host, &format!("{path}/cgroup.subtree_control")), "hugetlb");
        assert_eq!(group(&host, &format!("{path}/cgroup.procs")), "");
        assert_eq!(group(&host, &format!("{path}/catena.rest/cgroup.procs")).lines().count(), 2);
        // systemd still knows what belongs to the unit.
        host.run(&format!("systemctl stop {unit}"));
        assert!(host.processes(&unit).is_empty());
        assert_eq!(host.ask(&format!("ls -d /sys/fs/cgroup{path}")), "");
    }
}

#[test]
fn where_nothing_is_delegated_the_error_says_what_helps() {
    let host = need!(boot());
    let try_it = |before: &str| {
        let line = format!(
            "systemd-run --quiet --wait --pipe --uid=web -E XDG_RUNTIME_DIR=/run/user/4242 \
             {before} {CG_ENTER} --name app -- cat /proc/self/cgroup"
        );
        host.command(&line).output().expect("run systemd-run")
    };
    let refused = try_it("");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(125), &b""[..]), "{said}");
    assert!(said.starts_with("cg-enter: can't make the cgroup: "), "{said}");
    assert!(said.contains(": Permission denied\nhint: "), "{said}");
    assert!(said.ends_with(&format!(": {ADVICE} COMMAND\n")), "{said}");
    // And it does help.
    let helped = try_it(ADVICE);
    let (seen, said) =
        (String::from_utf8_lossy(&helped.stdout), String::from_utf8_lossy(&helped.stderr));
    assert!(helped.status.success(), "{seen}{said}");
    assert!(seen.contains("/user@4242.service/") && seen.contains(".scope/app\n"), "{seen}{said}");
}

#[test]
fn a_missing_controller_names_the_unit_setting() {
    let host = need!(boot());
    let line = format!(
        "systemd-run --quiet --wait --pipe -p Delegate=yes {CG_ENTER} --hugetlb-max 2MB,2M -- true"
    );
    let refused = host.command(&line).output().expect("run systemd-run");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(125), "{said}");
    assert!(
        said.starts_with("cg-enter: can't set --hugetlb-max: no controller: 'hugetlb'"),
        "{said}"
    );
    assert!(said.contains("\nhint: ") && said.contains("Delegate=hugetlb"), "{said}");
}

#[test]
fn in_a_unit_of_the_users_own() {
    let host = need!(boot());
    let user = "runuser -u web -- env XDG_RUNTIME_DIR=/run/user/4242";
    let run = |command: &str| {
        host.run(&format!(
            "{user} systemd-run --user --quiet --wait --pipe -p Delegate=yes {command}"
        ))
    };
    let seen = run("/usr/local/bin/cg-enter -- cat /proc/self/cgroup");
    assert!(seen.contains("/user@4242.service/") && seen.contains(".service/catena."), "{seen}");
    // What is handed on below that: a cgroup in a cgroup. Not by the unit's first process: systemd
    // moves that one itself, once more, when it comes to it.
    host.write(
        "/srv/nested",
        &format!(
            "{CG_ENTER} --name outer -- {CG_ENTER} --name inner -- cat /proc/self/cgroup\nexit $?\n"
        ),
    );
    let seen = run("sh /srv/nested");
    assert!(seen.ends_with("/outer/inner"), "{seen}");
    assert_eq!(host.ask("find /sys/fs/cgroup/user.slice -name catena.*"), "");
}

/// root hands a sub-tree on: nothing but that is the other user's.
#[test]
fn a_sub_tree_is_handed_on_to_a_user() {
    let host = need!(boot());
    let run = |options: &str| {
        let inner = "priv-drop --user web -- cg-enter --name inner -- cat /proc/self/cgroup";
        let line = format!(
            "systemd-run --quiet --wait --pipe -p Delegate=yes {CG_ENTER} {options} -- {inner}"
        );
        host.command(&line).output().expect("run systemd-run")
    };
    let seen = run("--delegate 4242");
    let text = String::from_utf8_lossy(&seen.stdout);
    assert!(seen.status.success() && text.trim_end().ends_with("/inner"), "{text}");
    assert_eq!(run("").status.code(), Some(125));
}

//! Under a real systemd: services without privileges from the start. The units are those of
//! `examples/systemd`.

use catena_tests::need;
use catena_tests::systemd::Systemd;

#[test]
fn an_ordinary_user_and_a_dynamic_one() {
    let host = need!(Systemd::boot());
    for (unit, label) in [("user", "ordinary"), ("dynamic", "dynamic")] {
        host.run(&format!("systemctl start {unit}"));
        host.assert_bridged(unit);
        assert_eq!(host.show(unit, "StatusText"), format!("{label}, start 1"));
        let main = host.show(unit, "MainPID");
        assert_ne!(host.ask(&format!("stat --format=%u /proc/{main}")), "0");
        let app = host.processes(unit).into_iter().max().expect("an app");
        assert_eq!(host.ask(&format!("ls /proc/{app}/root/run")), "notify");
        host.run(&format!("systemctl stop {unit}"));
        host.assert_gone(unit);
    }
}

/// With no tool of the chain that gets openat2(2), which systemd hides then.
#[test]
fn a_dynamic_user_with_a_cgroup() {
    let host = need!(Systemd::boot());
    host.unit(
        "whole.service",
        "[Service]\nType=notify\nDynamicUser=yes\nDelegate=yes\nKillMode=mixed\nSuccessExitStatus=143\n\
         ExecStart=/usr/local/bin/notify-bridge --ready-file /run/up -- cg-enter --name app -- \
         ns-unshare -- fs-pivot --ephemeral / -- priv-drop --keep-groups -- mini-init -- \
         sh -c '>/run/up; sleep 99'\n",
    );
    host.run("systemctl start whole");
    let group = host.show("whole", "ControlGroup");
    assert_ne!(host.read(format!("/sys/fs/cgroup{group}/app/cgroup.procs")), "");
    host.run("systemctl stop whole");
    assert_eq!(host.show("whole", "Result"), "success");
    host.assert_gone("whole");
    // What it is like there.
    let ask = "import ctypes; ctypes.CDLL(None, use_errno=True).syscall(437, -100, b\"/\", 0, 0); \
               print(ctypes.get_errno())";
    host.unit(
        "ask.service",
        &format!("[Service]\nType=oneshot\nDynamicUser=yes\nStandardOutput=file:/run/answer\nExecStart=python3 -c '{ask}'\n"),
    );
    host.run("systemctl start ask");
    assert_eq!(host.read("/run/answer"), "38\n");
}

/// Below the manager of an ordinary user, nothing has privileges at any time.
#[test]
fn a_users_own_service() {
    let host = need!(Systemd::boot());
    host.run("useradd --create-home --uid 4242 web");
    host.run("systemctl start user@4242");
    let user = |command: &str| {
        let line = "runuser -u web -- env XDG_RUNTIME_DIR=/run/user/4242";
        host.run(&format!("{line} {command}"))
    };
    user("systemctl --user start web");
    let show =
        |property: &str| user(&format!("systemctl --user show --value --property {property} web"));
    assert_eq!(show("ActiveState"), "active");
    assert_eq!(show("StatusText"), "mine, start 1");
    let main = show("MainPID");
    assert_eq!(host.ask(&format!("cat /proc/{main}/comm")), "notify-bridge");
    user("systemctl --user stop web");
    assert_eq!(show("Result"), "success");
    assert_eq!(host.ask("find /run/user/4242 -name catena-*"), "");
}

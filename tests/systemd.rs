//! Under a real systemd: what `systemctl show` says of services whose apps are in containers. The
//! units are those of `examples/systemd`.

use catena_tests::need;
use catena_tests::systemd::Systemd;

#[test]
fn active_only_after_ready() {
    let host = need!(Systemd::boot());
    // The app waits for a word before it says that it is ready.
    host.write("/srv/wait.py", "import os, app\nopen('/srv/go').read()\napp.main()\n");
    host.run("mkfifo -m 666 /srv/go");
    host.unit(
        "web.service.d/wait.conf",
        "[Service]\nExecStart=\nExecStart=notify-bridge -- ns-unshare -- fs-pivot / -- \
         mini-init -- python3 /srv/wait.py\n",
    );
    host.run("systemctl start --no-block web");
    host.wait("the app runs", || host.processes("web").len() == 4);
    assert_eq!(host.show("web", "ActiveState"), "activating");
    host.write("/srv/go", "now\n");
    host.wait_for("web", "ActiveState", "active");
    host.assert_bridged("web");
    assert_eq!(host.show("web", "StatusText"), "up, start 1");
}

#[test]
fn reload_and_stop() {
    let host = need!(Systemd::boot());
    host.run("systemctl start web");
    host.assert_bridged("web");
    assert_eq!(host.show("web", "StatusText"), "up, start 1");
    host.run("systemctl reload web");
    host.wait_for("web", "StatusText", "reloaded");
    assert_eq!(host.show("web", "ActiveState"), "active");
    host.run("systemctl stop web");
    assert_eq!(host.show("web", "ActiveState"), "inactive");
    assert_eq!(host.show("web", "Result"), "success");
    host.assert_gone("web");
}

#[test]
fn the_last_status_is_not_lost() {
    let host = need!(Systemd::boot());
    host.unit(
        "last.service",
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nNotifyAccess=main\nRemainAfterExit=yes\nExecStart=notify-bridge \
         -- ns-unshare -- fs-pivot / -- mini-init -- python3 -c 'import sys; \
         sys.path.append(\"/srv\"); import app; app.notify(\"READY=1\"); \
         app.notify(\"STATUS=last words\")'\n",
    );
    for _ in 0..10 {
        host.run("systemctl restart last");
        host.wait_for("last", "SubState", "exited");
        assert_eq!(host.show("last", "StatusText"), "last words");
    }
}

#[test]
fn an_app_that_dies_before_it_is_ready() {
    let host = need!(Systemd::boot());
    host.unit(
        "early.service",
        "[Service]\nType=notify\nExecStart=notify-bridge -- ns-unshare -- fs-pivot / -- \
         mini-init -- sh -c 'exit 42'\n",
    );
    assert!(!host.command("systemctl start early").output().expect("run").status.success());
    assert_eq!(host.show("early", "Result"), "exit-code");
    assert_eq!(host.show("early", "ExecMainStatus"), "42");
    host.assert_gone("early");
}

#[test]
fn the_watchdog_kills_what_hangs() {
    let host = need!(Systemd::boot());
    host.unit("web.service.d/short.conf", "[Service]\nWatchdogSec=4\nRestart=no\n");
    host.run("systemctl start web");
    host.wait("it is alive for longer than the watchdog allows", || {
        let [start, last] = ["ActiveEnterTimestampMonotonic", "WatchdogTimestampMonotonic"]
            .map(|name| host.show("web", name).parse::<u64>().expect("microseconds"));
        last > start + 5_000_000
    });
    assert_eq!(host.show("web", "ActiveState"), "active");
    host.run("systemctl kill --signal=USR1 --kill-who=main web");
    host.wait_for("web", "Result", "watchdog");
    host.wait_for("web", "ActiveState", "failed");
    host.assert_gone("web");
}

#[test]
fn stored_descriptors_come_back() {
    let host = need!(Systemd::boot());
    host.run("systemctl start store");
    host.wait_for("store", "NFileDescriptorStore", "1");
    assert_eq!(host.show("store", "StatusText"), "stored, start 1");
    host.run("systemctl restart store");
    assert_eq!(host.show("store", "StatusText"), "stored, start 2");
    // A crash of the whole unit's main process, and of the app alone.
    for (who, start) in [("main", 3), ("all", 4)] {
        host.run(&format!("systemctl kill --signal=KILL --kill-who={who} store"));
        host.wait_for("store", "StatusText", &format!("stored, start {start}"));
        host.wait_for("store", "ActiveState", "active");
        assert_eq!(host.show("store", "NFileDescriptorStore"), "1");
    }
    // Without leave of the bridge nothing is stored.
    host.run("systemctl start web");
    assert_eq!(host.show("web", "NFileDescriptorStore"), "0");
}

#[test]
fn socket_activation_without_a_network() {
    let host = need!(Systemd::boot());
    host.run("systemctl start activated.socket");
    assert_eq!(host.show("activated.service", "ActiveState"), "inactive");
    let ask = || host.run("python3 /srv/ask.py");
    host.write(
        "/srv/ask.py",
        "import socket\nprint(socket.create_connection(('127.0.0.1', 8080)).recv(99).decode())\n",
    );
    assert_eq!(ask(), "activated, start 1");
    assert_eq!(ask(), "activated, start 1");
    assert_eq!(host.show("activated.service", "ActiveState"), "active");
    // The app's network has the loopback interface only.
    let app = *host.processes("activated.service").last().expect("an app");
    assert_eq!(host.read(format!("/proc/{app}/net/dev")).lines().count(), 3);
    host.run("systemctl stop activated.socket activated.service");
    host.assert_gone("activated.service");
}

#[test]
fn templates() {
    let host = need!(Systemd::boot());
    host.run("systemctl start web@blue web@green");
    for name in ["blue", "green"] {
        let unit = format!("web@{name}");
        host.assert_bridged(&unit);
        assert_eq!(host.show(&unit, "StatusText"), format!("{name}, start 1"));
    }
    host.run("systemctl stop web@blue");
    assert_is_gone_but_others(&host, "web@blue");
    assert_eq!(host.show("web@green", "ActiveState"), "active");
}

#[track_caller]
fn assert_is_gone_but_others(host: &Systemd, unit: &str) {
    assert!(host.processes(unit).is_empty(), "{:?}", host.processes(unit));
}

#[test]
fn a_cgroup_below_the_units() {
    let host = need!(Systemd::boot());
    if !host.read("/sys/fs/cgroup/cgroup.controllers").contains("pids") {
        // The machine has that controller in a hierarchy of version 1.
        let path = "/run/systemd/system/limited.service";
        let without = host.read(path).replace(" --pids-max 64", "");
        host.unit("limited.service", &without);
    }
    host.run("systemctl start limited");
    host.assert_bridged("limited");
    let group = host.show("limited", "ControlGroup");
    assert_ne!(host.read(format!("/sys/fs/cgroup{group}/app/cgroup.procs")), "");
    host.run("systemctl stop limited");
    host.wait_for("limited", "ActiveState", "inactive");
    host.assert_gone("limited");
}

#[test]
fn ready_when_its_port_is() {
    let host = need!(Systemd::boot());
    host.run("systemctl start port");
    host.assert_bridged("port");
    host.run("systemctl stop port");
    assert_eq!(host.show("port", "Result"), "success");
    host.assert_gone("port");
}

#[test]
fn the_journal_knows_the_app() {
    let host = need!(Systemd::boot());
    host.run("systemctl start web");
    let wanted = "MESSAGE=process 2 of user 65534 is up\n";
    let journal = || host.ask("journalctl -u web -o export");
    host.wait("the line is in the journal", || journal().contains(wanted));
    let journal = journal();
    let entry = journal.split("\n\n").find(|entry| entry.contains(wanted)).expect("waited for");
    assert!(entry.contains("\n_COMM=python3\n"), "{entry}");
    assert!(entry.contains("\n_SYSTEMD_UNIT=web.service\n"), "{entry}");
    let app = host.processes("web").into_iter().max().expect("an app");
    assert!(entry.contains(&format!("\n_PID={app}\n")), "{app}: {entry}");
    // JOURNAL_STREAM names the app's own standard output: it may speak the journal's protocol.
    host.unit(
        "stream.service",
        "[Service]\nType=oneshot\nExecStart=/usr/local/bin/notify-bridge -- ns-unshare -- \
         fs-pivot --ephemeral / -- priv-drop --user nobody -- mini-init -- python3 -c \
         'import os; s = os.fstat(1); print(f\"{s.st_dev}:{s.st_ino}\" == os.environ[\"JOURNAL_STREAM\"])'\n",
    );
    host.run("systemctl start stream");
    // Whose line it is the journal can't find out where the app has ended before it looks.
    let journal = || host.ask("journalctl -u stream -o cat");
    let said = |word: &str| journal().lines().any(|line| line == word);
    host.wait("the line is in the journal", || said("True") || said("False"));
    assert!(said("True"), "{}", journal());
}

#[test]
fn the_examples_are_well_formed() {
    let host = need!(Systemd::boot());
    host.examples_are_well_formed();
}

/// One that does not end when it is told to is killed in time, with all that is in its container.
#[test]
fn a_stop_has_an_end() {
    let host = need!(Systemd::boot());
    host.unit(
        "deaf.service",
        "[Service]\nType=notify\nKillMode=mixed\nTimeoutStopSec=1\n\
         ExecStart=/usr/local/bin/notify-bridge -- ns-unshare -- fs-pivot / -- mini-init -- \
         python3 -c 'import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); \
         sys.path.append(\"/srv\"); import app; app.notify(\"READY=1\"); time.sleep(99)'\n",
    );
    host.run("systemctl start deaf");
    host.assert_bridged("deaf");
    host.run("systemctl stop deaf");
    assert_eq!(host.show("deaf", "Result"), "timeout");
    assert!(host.processes("deaf").is_empty());
}

#[test]
fn a_crash_is_a_new_start() {
    let host = need!(Systemd::boot());
    host.run("systemctl start web");
    let app = host.processes("web").into_iter().max().expect("an app");
    host.run(&format!("kill -s SEGV {app}"));
    host.wait("it has been started again", || host.show("web", "NRestarts") == "1");
    host.wait_for("web", "ActiveState", "active");
    host.assert_bridged("web");
    // One that ends by itself is not started again.
    let app = host.processes("web").into_iter().max().expect("an app");
    host.run(&format!("kill -s TERM {app}"));
    host.wait_for("web", "ActiveState", "inactive");
}

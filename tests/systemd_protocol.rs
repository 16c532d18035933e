//! What a real systemd makes of single fields of sd_notify(3), and of other signs of readiness.

use catena_tests::need;
use catena_tests::systemd::Systemd;

/// What the parser of notify-bridge rests on, without it: a `\r` ends a line, a backslash vanishes
/// and takes the meaning from a line end, and one at the very end spoils the message.
#[test]
fn how_systemd_reads_a_message() {
    let host = need!(Systemd::boot());
    // It ends when the message has been read, ready or not.
    host.write(
        "/srv/say.py",
        "import app, os\n\
         app.notify(open('/srv/message', newline='').read())\n\
         read, write = os.pipe()\n\
         app.notify('BARRIER=1', [write])\n\
         os.close(write)\n\
         os.read(read, 1)\n",
    );
    for (name, first) in [("direct", ""), ("bridged", "notify-bridge --")] {
        host.unit(
            &format!("{name}.service"),
            &format!(
                "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nRemainAfterExit=yes\n\
                 ExecStart={first} python3 /srv/say.py\n",
            )
            .replace("= ", "="),
        );
    }
    let said = |unit: &str, message: &str| {
        host.write("/srv/message", message);
        let _ = host.command(&format!("systemctl restart {unit}")).output();
        let found = (host.show(unit, "ActiveState"), host.show(unit, "StatusText"));
        host.run(&format!("systemctl stop {unit}"));
        found
    };
    let active = |status: &str| ("active".to_owned(), status.to_owned());
    let failed = || ("failed".to_owned(), String::new());
    assert_eq!(said("direct", "READY=1\nSTATUS=a\rSTATUS=b"), active("a"));
    assert_eq!(said("direct", "REA\\DY=1"), active(""));
    assert_eq!(said("bridged", "REA\\DY=1"), failed());
    assert_eq!(said("direct", "READY=1\nSTATUS=a\\"), failed());
    assert_eq!(said("bridged", "READY=1\nSTATUS=a\\"), active("a"));
}

#[test]
fn the_watchdog_is_the_apps_to_set_and_to_pull() {
    let host = need!(Systemd::boot());
    host.start_speaker("speaker", "", "WatchdogSec=60");
    host.say("speaker", "READY=1\nWATCHDOG_USEC=7000000");
    host.wait_for("speaker", "ActiveState", "active");
    assert_eq!(host.show("speaker", "WatchdogUSec"), "7s");
    host.say("speaker", "WATCHDOG=trigger");
    host.wait_for("speaker", "Result", "watchdog");
    host.wait_for("speaker", "ActiveState", "failed");
    assert!(host.processes("speaker").is_empty());
}

/// Longer than the limit, and allowed to be by EXTEND_TIMEOUT_USEC; one that the bridge doesn't let
/// say so is not.
#[test]
fn a_start_that_needs_more_time() {
    let host = need!(Systemd::boot());
    for (name, options) in [("patient", ""), ("mute", "--deny EXTEND_TIMEOUT_USEC")] {
        host.start_speaker(name, options, "TimeoutStartSec=6");
    }
    // Only now: a reload of systemd, as for a new unit, makes it forget.
    for name in ["patient", "mute"] {
        host.say(name, "EXTEND_TIMEOUT_USEC=60000000");
    }
    host.wait_for("mute", "Result", "timeout");
    // It was started before the other one.
    assert_eq!(host.show("patient", "ActiveState"), "activating");
    host.say("patient", "READY=1");
    host.wait_for("patient", "ActiveState", "active");
}

#[test]
fn errors_and_stored_descriptors() {
    let host = need!(Systemd::boot());
    host.start_speaker("speaker", "", "");
    host.say("speaker", "READY=1\nERRNO=5\nSTATUS=a disk is ill");
    host.wait_for("speaker", "StatusErrno", "5");
    assert_eq!(host.show("speaker", "StatusText"), "a disk is ill");

    host.write(
        "/srv/keeper.py",
        "import app, os, time\n\
         for name in 'abb':\n    \
             app.notify(f'FDSTORE=1\\nFDNAME={name}', [os.memfd_create(name)])\n\
         app.notify('FDSTOREREMOVE=1\\nFDNAME=b')\n\
         app.notify('READY=1')\n\
         time.sleep(99)\n",
    );
    host.unit(
        "keeper.service",
        "[Service]\nType=notify\nFileDescriptorStoreMax=9\nExecStart=/usr/local/bin/notify-bridge \
         --fdstore 3 -- ns-unshare -- fs-pivot / -- mini-init -- python3 /srv/keeper.py\n",
    );
    host.run("systemctl start keeper");
    assert_eq!(host.show("keeper", "NFileDescriptorStore"), "1");
}

#[test]
fn the_main_process_can_be_the_app() {
    let host = need!(Systemd::boot());
    host.start_speaker("speaker", "--allow MAINPID", "NotifyAccess=all");
    host.start_speaker("other", "", "NotifyAccess=all");
    for name in ["speaker", "other"] {
        host.say(name, "READY=1\nMAINPID=SELF");
        host.wait_for(name, "ActiveState", "active");
    }
    let name_of = |unit: &str| {
        let main = host.show(unit, "MainPID");
        host.ask(&format!("cat /proc/{main}/comm"))
    };
    assert_eq!(name_of("speaker"), "python3");
    assert_eq!(name_of("other"), "notify-bridge");
}

/// Each sign makes a unit active, and not before it is given.
#[test]
fn other_signs_of_readiness() {
    let host = need!(Systemd::boot());
    let listen = "python3 -c 'import socket, time; s = socket.socket(socket.AF_UNIX); \
                  s.bind(\"/run/ready\"); s.listen(); time.sleep(99)'";
    let signs = [
        ("fd", "--ready-fd 5", "echo >&5; sleep 99"),
        ("file", "--ready-file /run/ready", ">/run/ready; sleep 99"),
        ("unix", "--ready-unix /run/ready", listen),
        ("exec", "--ready-exec 'test -e /proc/$$MAINPID/root/run/ready'", ">/run/ready; sleep 99"),
        ("tcp", "--ready-tcp 8000", "exec python3 -m http.server 8000"),
    ];
    for (name, option, act) in signs {
        host.run(&format!("mkfifo -m 666 /srv/go-{name}"));
        host.write(&format!("/srv/act-{name}"), &format!("read line </srv/go-{name}; {act}\n"));
        host.unit(
            &format!("{name}.service"),
            &format!(
                "[Service]\nType=notify\nKillMode=mixed\nSuccessExitStatus=143\nExecStart=/usr/local/bin/notify-bridge \
                 --ready-timeout 60 {option} -- ns-unshare -- fs-pivot / -- mini-init -- \
                 sh /srv/act-{name}\n"
            ),
        );
        host.run(&format!("systemctl start --no-block {name}"));
    }
    for (name, ..) in signs {
        host.wait(&format!("{name} runs"), || host.processes(name).len() >= 4);
        assert_eq!(host.show(name, "ActiveState"), "activating");
        host.write(&format!("/srv/go-{name}"), "go\n");
        host.wait_for(name, "ActiveState", "active");
        host.run(&format!("systemctl stop {name}"));
        assert_eq!(host.show(name, "Result"), "success");
    }
    host.unit(
        "late.service",
        "[Service]\nType=notify\nExecStart=/usr/local/bin/notify-bridge --ready-timeout 0.2 \
         --ready-file /none -- sleep 99\n",
    );
    assert!(!host.command("systemctl start late").output().expect("run").status.success());
    assert_eq!(host.show("late", "ExecMainStatus"), "125");
}

//! What real systemd makes of single fields, and of what is not sd_notify at all.

use catena_tests::need;
use catena_tests::systemd::Systemd;

/// What the parser of notify-bridge rests on, without it: a `\r` ends a line, a backslash vanishes
/// and takes the meaning from a line end, and one at the very end spoils the message.
#[test]
fn how_systemd_reads_a_message() {
    let host = need!(Systemd::boot());
    host.write(
        "/srv/say.py",
        "import app, sys, time\n\
         app.notify(open('/srv/message', newline='').read())\n\
         time.sleep(9)\n",
    );
    for (name, first) in [("direct", ""), ("bridged", "notify-bridge --")] {
        host.unit(
            &format!("{name}.service"),
            &format!(
                "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nTimeoutStartSec=500ms\n\
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

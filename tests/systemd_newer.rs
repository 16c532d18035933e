//! Under a systemd newer than this machine's: what Debian 13's (257) knows of sd_notify(3) besides.

use catena_tests::systemd::Systemd;
use catena_tests::{debian, need};

fn boot() -> Result<Systemd, String> {
    Systemd::boot_from(debian::newer_tree()?, &[])
}

#[test]
fn a_reload_that_says_when_it_is_done() {
    let host = need!(boot());
    host.run("systemctl start reload");
    assert_eq!(host.show("reload", "StatusText"), "reloading, start 1");
    // It returns once READY=1 has come after RELOADING=1 with a later MONOTONIC_USEC.
    host.run("systemctl reload reload");
    assert_eq!(host.show("reload", "StatusText"), "reloaded");
    assert_eq!(host.show("reload", "ActiveState"), "active");
    host.run("systemctl stop reload");
    assert_eq!(host.show("reload", "Result"), "success");
}

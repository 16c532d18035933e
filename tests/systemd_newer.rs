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

#[test]
fn who_may_speak_and_who_is_the_main_process() {
    let host = need!(boot());
    host.start_speaker("speaker", "--allow NOTIFYACCESS,MAINPID", "");
    host.start_speaker("other", "", "");
    for name in ["speaker", "other"] {
        host.say(name, "READY=1\nNOTIFYACCESS=all");
        host.wait_for(name, "ActiveState", "active");
    }
    assert_eq!(host.show("speaker", "NotifyAccess"), "all");
    assert_eq!(host.show("other", "NotifyAccess"), "main");
    // The inode of a pidfd that is another process's: systemd would not believe the two together.
    host.say("speaker", "MAINPID=SELF\nMAINPIDFDID=1\nSTATUS=named");
    host.wait_for("speaker", "StatusText", "named");
    let main = host.show("speaker", "MainPID");
    assert_eq!(host.ask(&format!("cat /proc/{main}/comm")), "python3");
}

#[test]
fn the_examples_are_well_formed() {
    let host = need!(boot());
    host.examples_are_well_formed();
}

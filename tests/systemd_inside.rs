//! systemd itself as the app, in the place of mini-init.

use catena_tests::systemd::Systemd;
use catena_tests::{Chain, User, any, debian, each_user, need};
use nix::sys::signal::Signal;

each_user![
    this_machines_system,
    a_debian_tree,
    a_halt_is_an_end_and_no_death,
    the_stop_signal_needs_a_monitor
];

const INIT: &str = "/lib/systemd/systemd";
/// What an ordinary user's map of one id does not allow: files of other owners, and services of
/// other users.
const ONE_ID: &str = "/lib/systemd/systemd systemd.unit=basic.target \
                      systemd.mask=systemd-sysusers.service \
                      systemd.mask=systemd-update-utmp.service \
                      systemd.mask=systemd-machine-id-commit.service";

fn words(user: User) -> &'static str {
    match user {
        User::Root => INIT,
        User::Ordinary => ONE_ID,
    }
}

fn this_machines_system(user: User) {
    works(need!(Systemd::in_container(user, "--ephemeral /", words(user))));
}

fn a_debian_tree(user: User) {
    let tree = need!(debian::tree());
    let root = format!("--ephemeral {}", tree.display());
    works(need!(Systemd::in_container(user, &root, words(user))));
}

/// It has a container's view, cgroups and a journal of its own, starts a service for a connection,
/// and stops when its chain is asked to.
fn works(inside: Systemd) {
    assert_eq!(inside.ask("cat /proc/1/comm"), "systemd");
    assert_eq!(inside.ask("systemd-detect-virt"), "container-other");
    assert_eq!(inside.ask("cat /proc/1/cgroup").lines().last(), Some("0::/init.scope"));
    assert_eq!(
        inside.show("systemd-journald", "ControlGroup"),
        "/system.slice/systemd-journald.service"
    );
    inside.unit("echo.socket", "[Socket]\nListenStream=127.0.0.1:7\nAccept=yes\n");
    inside.unit(
        "echo@.service",
        "[Service]\nExecStart=/bin/sh -c 'echo served >&2; exec cat'\nStandardInput=socket\nStandardError=journal\n",
    );
    inside.run("systemctl start echo.socket");
    inside.write("/run/ask", "exec 3<>/dev/tcp/127.0.0.1/7; echo hello >&3; head -n 1 <&3\n");
    assert_eq!(inside.run("bash /run/ask"), "hello");
    let journal = || inside.ask("journalctl --output=cat --unit=echo@*");
    inside.wait("the line is in the journal", || journal().contains("served"));
    let chain = inside.into_chain();
    chain.signal(Signal::SIGTERM);
    chain.finish().expect(0, "", any());
}

/// What systemd's Container Interface asks of a container manager beyond the mounts.
#[test]
fn a_machine_id_credentials_and_the_hosts_files() {
    let tree = need!(debian::tree());
    let scratch = catena_tests::Scratch::new(User::Root);
    let secrets = scratch.folder("credentials", User::Root);
    std::fs::write(secrets.join("motto"), "keep it small").expect("write");
    let root = format!(
        "--ephemeral --ro-bind {}:/run/host/credentials --ro-bind /etc/os-release:/run/host/os-release {}",
        secrets.display(),
        tree.display()
    );
    let uuid = "6f9c1c2e-6b0f-4f7c-8a39-0123456789ab";
    let words = format!("container_uuid={uuid} CREDENTIALS_DIRECTORY=/run/host/credentials {INIT}");
    let inside = need!(Systemd::in_container(User::Root, &root, &words));
    assert_eq!(inside.ask("cat /etc/machine-id"), uuid.replace('-', ""));
    assert_ne!(inside.ask("cat /run/host/os-release"), "");
    inside.unit(
        "secret.service",
        "[Service]\nType=oneshot\nLoadCredential=motto\n\
         ExecStart=/bin/cp %d/motto /run/seen\n",
    );
    inside.run("systemctl start secret");
    assert_eq!(inside.read("/run/seen"), "keep it small");
    // Without the option the cgroups are there to be looked at only.
    let seen = |option: &str| {
        let line = format!("cg-enter -- ns-unshare -- fs-pivot {option} --ephemeral / -- mkdir");
        Chain::new(User::Root, &line).arg("/sys/fs/cgroup/below").run()
    };
    seen("--cgroup rw").expect(0, "", "");
    seen("").expect(1, "", any());
}

/// reboot(2) with this command, by PID 1 or by a child of it.
fn reboot(user: User, command: u32, first: &str) -> catena_tests::Outcome {
    let script = format!("import ctypes, time; ctypes.CDLL(None).reboot({command}); time.sleep(9)");
    let line = format!("ns-unshare -- {first} /usr/bin/python3 -c");
    Chain::new(user, &line).arg(script).run()
}

fn a_halt_is_an_end_and_no_death(user: User) {
    need!(user.can_isolate());
    need!(catena_tests::need::program("python3"));
    const POWER_OFF: u32 = 0x4321_fedc;
    const HALT: u32 = 0xcdef_0123;
    const RESTART: u32 = 0x0123_4567;
    for first in ["", "mini-init --"] {
        for (command, status) in [(POWER_OFF, 0), (HALT, 0), (RESTART, 133)] {
            reboot(user, command, first).expect(status, "", "");
        }
    }
    // What the kernel makes of it.
    let script = format!("import ctypes; ctypes.CDLL(None).reboot({POWER_OFF})");
    let fork = "import os, sys; pid = os.fork() or os.execvp(sys.argv[1], sys.argv[1:]); \
                print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let unshare = "unshare --user --map-root-user --pid /usr/bin/python3 -c";
    let line = Chain::new(user, unshare).arg(fork).args(["/usr/bin/python3", "-c"]).arg(script);
    line.run().expect(0, "-2\n", "");
}

fn the_stop_signal_needs_a_monitor(user: User) {
    need!(user.can_isolate());
    let wrong = Chain::new(user, "ns-unshare --net --stop-signal INT -- true").run();
    wrong.expect(125, "", catena_tests::like("ns-unshare: --stop-signal *pid*\nhint: *--pid\n"));
    let mut running =
        Chain::new(user, "ns-unshare --stop-signal USR2 -- {probe} signals 2").start();
    running.wait_for("ready\n");
    running.signal(Signal::SIGHUP);
    running.wait_for("SIGHUP\n");
    running.signal(Signal::SIGTERM);
    running.finish().expect(0, "ready\nSIGHUP\nSIGUSR2\n", "");
}

/// A host with a Debian tree where the example looks for it.
fn host_with_tree() -> Result<Systemd, String> {
    let tree = debian::tree()?;
    Systemd::boot_from("/", &[format!("{}:/var/lib/machines/debian", tree.display())])
}

/// The systemd below a unit, as the host numbers it.
fn inner(host: &Systemd, unit: &str) -> i32 {
    let is_systemd = |pid: &i32| host.ask(&format!("cat /proc/{pid}/comm")) == "systemd";
    host.processes(unit).into_iter().filter(is_systemd).min().expect("a systemd")
}

#[test]
fn a_machine_as_a_unit() {
    let host = need!(host_with_tree());
    let unit = "machine@debian";
    host.run(&format!("systemctl start {unit}"));
    assert_eq!(host.show(unit, "ActiveState"), "active");
    let main = host.show(unit, "MainPID");
    assert_eq!(host.ask(&format!("cat /proc/{main}/comm")), "notify-bridge");
    let first = inner(&host, unit);
    let inside =
        |pid: i32, command: &str| host.run(&format!("nsenter --all --target {pid} {command}"));
    assert_eq!(inside(first, "systemctl is-system-running"), "running");
    // All that runs in there is in the unit's cgroup.
    let group = host.show(unit, "ControlGroup");
    assert_ne!(
        host.read(format!(
            "/sys/fs/cgroup{group}/machine/system.slice/systemd-journald.service/cgroup.procs"
        )),
        ""
    );
    // A restart inside is one of the unit.
    inside(first, "systemctl --no-block reboot");
    host.wait("it has been started again", || host.show(unit, "NRestarts") == "1");
    host.wait_for(unit, "ActiveState", "active");
    assert_ne!(inner(&host, unit), first);
    assert_eq!(host.show(unit, "Result"), "success");
    // A power-off is its end.
    inside(inner(&host, unit), "systemctl --no-block poweroff");
    host.wait_for(unit, "ActiveState", "inactive");
    assert_eq!(host.show(unit, "ExecMainStatus"), "0");
    host.run(&format!("systemctl start {unit}"));
    host.run(&format!("systemctl stop {unit}"));
    assert_eq!(host.show(unit, "Result"), "success");
    assert_eq!(host.show(unit, "ExecMainStatus"), "0");
    assert!(host.processes(unit).is_empty());
    assert_eq!(host.ask("find /sys/fs/cgroup -name machine"), "");
}

/// Below the manager of an ordinary user, by ranges of /etc/subuid.
#[test]
fn a_machine_of_an_ordinary_user() {
    let host = need!(host_with_tree());
    host.run("useradd --create-home --uid 4242 --add-subids-for-system web");
    host.run("systemctl start user@4242");
    host.write(
        "/run/unpack",
        "cd /home/web && mkdir -p machines/debian && chown -R web: machines && cd machines/debian\n\
         tar --directory /var/lib/machines/debian --exclude './dev/*' --create . |\n\
         runuser -u web -- /usr/local/bin/ns-unshare --map-auto -- tar --extract --preserve-permissions\n",
    );
    host.run("sh /run/unpack");
    let user = |command: &str| {
        let line = "runuser -u web -- env XDG_RUNTIME_DIR=/run/user/4242";
        host.run(&format!("{line} {command}"))
    };
    user("systemctl --user start machine@debian");
    let show = |property: &str| {
        user(&format!("systemctl --user show --value --property {property} machine@debian"))
    };
    assert_eq!(show("ActiveState"), "active");
    user("systemctl --user stop machine@debian");
    assert_eq!(show("Result"), "success");
    assert_eq!(show("ExecMainStatus"), "0");
}

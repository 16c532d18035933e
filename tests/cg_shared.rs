//! cg-enter: one cgroup, several who want it.

use catena_tests::need::program;
use catena_tests::{Cell, Chain, User, each_user, like, need};
use nix::sys::signal::Signal;

each_user![if Cell::can_be_made;
    a_populated_cgroup_is_refused,
    a_populated_cgroup_can_be_shared,
    a_stranger_can_keep_nobody_out,
];

fn a_populated_cgroup_is_refused(user: User) {
    let cell = Cell::shared(user);
    let mut first = Chain::new(user, "cg-enter --name web -- {probe} hold").in_cell(&cell).start();
    first.wait_for("ready\n");
    let second = Chain::new(user, "cg-enter --name web -- {probe} write /dev/stdout started");
    let second = second.in_cell(&cell).leaves_processes().run();
    second.expect(125, "", like("cg-enter: *'*web*'*\nhint: *--share*\n"));
    first.signal(Signal::SIGTERM);
    first.finish().expect(Signal::SIGTERM, "ready\n", "");
}

fn a_populated_cgroup_can_be_shared(user: User) {
    let cell = Cell::shared(user);
    let mut first = Chain::new(user, "cg-enter --name web -- {probe} hold").in_cell(&cell).start();
    first.wait_for("ready\n");
    let second = Chain::new(user, "cg-enter --share --name web -- {probe}");
    let seen = second.in_cell(&cell).leaves_processes().see();
    assert!(seen.cgroups.iter().any(|line| line.ends_with("/web")), "{:?}", seen.cgroups);
    first.signal(Signal::SIGTERM);
    first.finish().expect(Signal::SIGTERM, "ready\n", "");
}

/// Who may look at a cgroup may lock its folder and what he can read there, not what counts.
fn a_stranger_can_keep_nobody_out(user: User) {
    if !user.is_root() {
        return;
    }
    need!(program("flock"));
    let cell = Cell::shared(user);
    let enter = |options: &str| {
        let line = format!("cg-enter --name web {options} -- true");
        Chain::new(user, &line).in_cell(&cell).run()
    };
    enter("").expect(0, "", "");
    let folder = cell.base_folder().join("web");
    let stranger = |script: &str, file: &str| {
        Chain::new(User::Ordinary, "sh -c").arg(script).arg(folder.join(file))
    };
    let lock = "exec 9<\"$0\" && flock 9 && echo ready && exec sleep 100";
    let mut locker = stranger(lock, ".").start();
    locker.wait_for("ready\n");
    match cell.folder_v2() {
        Ok(_) => {
            enter("").expect(0, "", "");
            let open = "true 9>\"$0\" || exit 7";
            stranger(open, "cgroup.kill").run().expect(7, "", like("*ermission denied*"));
        }
        // v1 has no file that others can't open.
        Err(_) => {
            let said = "cg-enter: the cgroup is in use: '*/web': no process is in it, but one \
                        holds its lock (/proc/locks: inode *)\nhint: --share*\n";
            enter("").expect(125, "", like(said));
            enter("--share").expect(0, "", "");
        }
    }
    locker.signal(Signal::SIGTERM);
    locker.finish().expect(Signal::SIGTERM, "ready\n", "");
}

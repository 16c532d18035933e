//! Knobs of the host, turned from inside (threat F9): each is read-only, and what has no other guard
//! takes capabilities that no app of a default chain has.

use std::fs;

use catena_tests::pivot::{can_pivot, containers, hosts, pivots, rootfs};
use catena_tests::{Chain, Scratch, User, any, each_user, like, need};

each_user![if can_pivot;
    f9_knobs_of_the_host_are_out_of_reach,
    f9_knobs_of_the_host_are_read_only,
    f9_no_binary_format_is_registered,
];

fn f9_knobs_of_the_host_are_out_of_reach(user: User) {
    let root = rootfs(user);
    let knobs = [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/overcommit_memory",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/power/state",
    ];
    for knob in knobs.into_iter().filter(|knob| fs::exists(knob).is_ok_and(|there| there)) {
        // With all the capabilities that a container can have.
        for chain in pivots(user, "", &root) {
            chain.args(["/bin/probe", "append", knob]).run().expect(0, like("E*\n"), "");
        }
        if user.is_root() {
            let outside = Chain::new(user, &format!("{{probe}} append {knob}")).run();
            outside.expect(0, "ok\n", "");
        }
    }
}

/// What harms nobody outside: knobs of one's own network and IPC namespaces.
const OWN_KNOBS: &str = "for knob in /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/msgmax; do \
                         echo 77 >$knob; cat $knob; done";

fn f9_knobs_of_the_host_are_read_only(user: User) {
    let root = rootfs(user);
    // Should it go wrong, each gets the value that it has.
    let script = "for knob in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe \
                  /proc/sys/vm/overcommit_memory /proc/sysrq-trigger \
                  /sys/kernel/mm/transparent_hugepage/enabled; do \
                  if [ -e $knob ]; then value=$(cat $knob 2>/dev/null); echo \"${value##*[}\" >$knob; fi; done";
    let refused = |line: &str| line.ends_with(": Read-only file system");
    for chain in pivots(user, "", &root) {
        let outcome = chain.args(["sh", "-c", script]).run();
        let lines: Vec<_> = outcome.stderr.lines().collect();
        assert!(lines.len() >= 2 && lines.iter().all(|line| refused(line)), "{outcome}");
    }
    for chain in pivots(user, "", &root) {
        let outcome = chain.args(["sh", "-c", OWN_KNOBS]).run();
        let lines: Vec<_> = outcome.stderr.lines().collect();
        assert!(lines.len() == 2 && lines.iter().all(|line| refused(line)), "{outcome}");
        assert!(!outcome.stdout.lines().any(|value| value == "77"), "{outcome}");
    }
    for host in hosts(user) {
        let control = Chain::new(user, &format!("{host} -n -i sh -c")).arg(OWN_KNOBS).run();
        control.expect(0, "77\n77\n", "");
    }
    // Those of the host nobody but its root can write; here too with the value that each has.
    if user.is_root() {
        let script = "cd /proc/sys/kernel; for knob in core_pattern modprobe; do [ -e $knob ] || continue; value=$(cat $knob); \
                      echo \"$value\" >$knob && [ \"$(cat $knob)\" = \"$value\" ] || exit 9; done";
        Chain::new(user, "sh -c").arg(script).run().expect(0, "", "");
    }
}

/// A format has the kernel execute a program that its maker names.
fn f9_no_binary_format_is_registered(user: User) {
    let root = rootfs(user);
    let attack = "mount -t binfmt_misc none /tmp && echo mounted; \
                  /bin/probe append /proc/sys/fs/binfmt_misc/register | grep ok";
    for chain in containers(user, &root) {
        chain.args(["sh", "-c", attack]).run().expect(1, "", any());
    }
    // One's own formats, of a user namespace: nobody else's programs are executed by them.
    let scratch = Scratch::new(user);
    let program = scratch.script("program", "\u{7f}CATENA");
    let place = scratch.folder("formats", user);
    let own = |script: &str| {
        let script = format!("mount -t binfmt_misc none $0 && {script}");
        Chain::new(user, "unshare -r -m sh -c").arg(script).args([&place, &program]).run()
    };
    let known = || match own("test -e $0/register").ended {
        Some(catena_tests::Ended::Exit(0)) => Ok(()),
        _ => Err("formats of a user namespace came with Linux 6.7"),
    };
    need!(known());
    let format = r"':catena-test:M::\x7fCATENA::/bin/echo:'";
    own(&format!("echo {format} >$0/register && \"$1\"")).expect(
        0,
        format!("{}\n", program.display()),
        "",
    );
}

//! ns-enter: the seccomp filters of the container hold for who joins it.

use std::io::PipeWriter;

use catena_tests::pivot::isolations;
use catena_tests::{Chain, Running, User, each_user, like, need};
use nix::sys::signal::Signal;

each_user![if User::can_isolate;
    seccomp_filters_are_the_containers,
    a_filter_without_no_new_privs_is_copied_too,
    a_filter_that_lies_gives_no_capability,
];

fn seccomp_filters_are_the_containers(user: User) {
    for isolation in isolations(user) {
        filters_of(user, isolation);
    }
}

fn filters_of(user: User, isolation: &str) {
    let chain = &format!("{isolation} priv-drop --seccomp default --no-nested-userns --");
    let asked = format!("{chain} mini-init -- {{probe}} calls native 470");
    let theirs = Chain::new(user, &asked).run().stdout;
    let line = format!("{chain} mini-init -- {{probe}} signals 1");
    let mut container = Chain::new(user, &line).start();
    container.wait_for("ready\n");
    let init = container.init();
    let enter = |options: &str, deed: &str| {
        let line = format!("ns-enter --no-cgroup {options} {init} -- {{probe}} {deed}");
        Chain::new(user, &line)
    };
    let calls = "calls native 470";
    match user {
        User::Root => assert_eq!(enter("", calls).run().stdout, theirs),
        // The kernel shows them to nobody else.
        User::Ordinary => {
            let refused = "ns-enter: can't copy the seccomp filter *: Permission denied\nhint: *\n";
            enter("", calls).run().expect(125, "", like(refused));
        }
    }
    let default = format!("{isolation} priv-drop -- mini-init -- {{probe}} {calls}");
    let default = Chain::new(user, &default);
    assert_eq!(enter("--seccomp default", calls).run().stdout, default.run().stdout);
    assert_ne!(enter("--no-seccomp", calls).run().stdout, theirs);
    // One that is refused for sure: keyctl(2) is there without a filter.
    let status = |options: &str| {
        let line =
            format!("ns-enter --no-cgroup {options} {init} -- grep Seccomp: /proc/self/status");
        Chain::new(user, &line).run().stdout
    };
    assert_eq!(status("--seccomp default"), "Seccomp:\t2\n");
    assert_eq!(status("--no-seccomp"), "Seccomp:\t0\n");
    container.signal(Signal::SIGTERM);
    container.finish();
}

/// A container as an engine makes it: root inside, a filter, and no no_new_privs. `first` is Python
/// that runs before that, `program` the filter's instructions: code, jt, jf, k.
fn filtered(isolation: &str, first: &str, program: &str) -> (Running, PipeWriter) {
    let script = format!(
        "import ctypes, os, struct\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        {first}\n\
        f = [struct.pack('HBBI', *line) for line in [{program}]]\n\
        b = ctypes.create_string_buffer(b''.join(f))\n\
        p = struct.pack('HxxxxxxP', len(f), ctypes.addressof(b))\n\
        q = ctypes.create_string_buffer(p)\n\
        assert libc.prctl(22, 2, q, 0, 0) == 0\n\
        print('ready', flush=True)\n\
        os.read(0, 1)\n"
    );
    let (held, writer) = std::io::pipe().expect("pipe");
    let line = format!("{isolation} /usr/bin/python3 -c");
    let chain = Chain::new(User::Root, &line).arg(script).descriptor(0, held);
    let mut container = chain.start();
    container.wait_for("ready\n");
    (container, writer)
}

fn a_filter_without_no_new_privs_is_copied_too(user: User) {
    if !user.is_root() {
        return;
    }
    need!(catena_tests::need::program("python3"));
    let keyctl = "(32, 0, 0, 0), (21, 0, 1, 250), (6, 0, 0, 0x50000 | 99), (6, 0, 0, 0x7fff0000)";
    let (container, writer) = filtered("ns-unshare --", "", keyctl);
    let line = format!("ns-enter --no-cgroup {} -- {{probe}} calls native 250", container.init());
    let calls = Chain::new(user, &line).run().stdout;
    // keyctl of x86_64; elsewhere another call.
    assert!(calls.trim_end().ends_with(" 99"), "{calls}");
    let line =
        format!("ns-enter --no-cgroup {} -- grep NoNewPrivs /proc/self/status", container.init());
    Chain::new(user, &line).run().expect(0, "NoNewPrivs:\t0\n", "");
    drop(writer);
    container.finish();
}

/// A filter of the container's own that says of the bounding set what isn't so: it holds for who
/// joins only once that one's capabilities are what they are to be.
fn a_filter_that_lies_gives_no_capability(user: User) {
    if !user.is_root() {
        return;
    }
    need!(catena_tests::need::program("python3"));
    // prctl(2) of x86_64 with PR_CAPBSET_READ or PR_CAPBSET_DROP: 0, and not done.
    let lie = "(32, 0, 0, 0), (21, 0, 4, 157), (32, 0, 0, 16), (21, 1, 0, 23), (21, 0, 1, 24), \
               (6, 0, 0, 0x50000), (6, 0, 0, 0x7fff0000)";
    let drop_module = "assert libc.prctl(24, 16, 0, 0, 0) == 0";
    let bounding = |status: &str| {
        let line = status.lines().find(|line| line.starts_with("CapBnd")).expect("CapBnd");
        line.to_owned()
    };
    let own = std::fs::read_to_string("/proc/self/status").expect("status");
    for isolation in isolations(user) {
        let (container, writer) = filtered(isolation, drop_module, lie);
        let init = container.init();
        let status = std::fs::read_to_string(format!("/proc/{init}/status")).expect("status");
        assert_ne!(bounding(&status), bounding(&own), "the container has lost none");
        let line = format!("ns-enter --no-cgroup {init} -- cat /proc/self/status");
        let joined = Chain::new(user, &line).run();
        assert_eq!(bounding(&joined.stdout), bounding(&status), "{joined}");
        drop(writer);
        container.finish();
    }
}

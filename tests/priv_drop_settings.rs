//! priv-drop: what it sets besides credentials, and its report.

use std::time::Duration;

use catena_tests::pivot::isolations;
use catena_tests::{Chain, Scratch, Seen, User, each_user, like, need};

each_user![if User::can_isolate;
    no_core_dumps_by_default,
    limits_are_set,
    priorities_and_umask,
    more_than_is_allowed_is_refused,
    h13_a_session_keyring_of_its_own,
    secure_bits,
    landlock_lets_nothing_else_through,
    landlock_names_tcp_ports,
    a_label_without_its_module_is_refused,
    standard_io_is_given_to_the_user,
    a_report_of_the_app,
    a_report_alone_drops_nothing,
];

/// How long a report may take, which looks at all files of the host's root.
const REPORT: Duration = Duration::from_secs(120);

fn see(user: User, options: &str) -> Seen {
    Chain::new(user, &format!("ns-unshare -- priv-drop {options} -- {{probe}}")).see()
}

fn shell(user: User, options: &str, script: &str) -> Chain {
    let line = format!("ns-unshare -- priv-drop {options} -- sh -c");
    Chain::new(user, &line).arg(script).deadline(REPORT)
}

fn limit(seen: &Seen, name: &str) -> [String; 2] {
    seen.limits[name].clone()
}

fn no_core_dumps_by_default(user: User) {
    assert_eq!(limit(&see(user, ""), "Max core file size"), ["0", "0"]);
    let seen = see(user, "--rlimit core=4096:8192");
    assert_eq!(limit(&seen, "Max core file size"), ["4096", "8192"]);
    let without = Chain::new(user, "ns-unshare -- {probe}").see();
    assert_ne!(limit(&without, "Max core file size")[1], "0");
}

fn limits_are_set(user: User) {
    let seen = see(user, "--rlimit nofile=64:128 --rlimit cpu=1000");
    assert_eq!(limit(&seen, "Max open files"), ["64", "128"]);
    assert_eq!(limit(&seen, "Max cpu time"), ["1000", "1000"]);
    for wrong in ["", "cpu", "cpu=", "cpu=-1", "cpu=2:1", "nonsense=1"] {
        let chain = Chain::new(user, "priv-drop --rlimit").arg(wrong).args(["--", "{probe}"]);
        chain.run().expect(125, "", like("priv-drop: *"));
    }
}

fn priorities_and_umask(user: User) {
    let seen = see(user, "--nice 7 --oom-score-adj 123 --umask 027");
    assert_eq!((seen.niceness, seen.oom_score_adj.as_str()), (7, "123"));
    assert_eq!(seen.umask, 0o027);
}

fn more_than_is_allowed_is_refused(user: User) {
    if user == User::Ordinary {
        for options in ["--nice -5", "--rlimit nofile=unlimited", "--oom-score-adj -900"] {
            shell(user, options, "true").run().expect(125, "", like("priv-drop: *\nhint: *\n"));
        }
    }
}

/// A host's session with a key, in which the rest of the line is executed. The session is one of the
/// test's own.
const PLANT: &str = r#"
import ctypes, os, sys
call = ctypes.CDLL(None).syscall
assert call(250, 1, None) >= 0  # keyctl: KEYCTL_JOIN_SESSION_KEYRING
assert call(248, b"user", b"catena-test", b"secret", 6, -3) > 0  # add_key
os.execvp(sys.argv[1], sys.argv[1:])
"#;

/// What the session keyring has: the key's content, or nothing.
const READ: &str = r#"
import ctypes
call = ctypes.CDLL(None).syscall
content = ctypes.create_string_buffer(64)
key = call(250, 10, -3, b"user", b"catena-test", 0)  # KEYCTL_SEARCH
found = key > 0 and call(250, 11, key, content, 64) > 0  # KEYCTL_READ
print(content.value.decode() if found else "nothing")
"#;

fn h13_a_session_keyring_of_its_own(user: User) {
    if cfg!(not(target_arch = "x86_64")) {
        // The numbers of the calls are x86_64's.
        return;
    }
    need!(need::program("python3"));
    let read = |line: &str| {
        let host = Chain::new(user, "/usr/bin/python3 -c").arg(PLANT);
        host.args(line.split_whitespace()).args(["/usr/bin/python3", "-c", READ]).run()
    };
    for isolation in isolations(user) {
        // The new keyring alone keeps the key away, and the filter alone.
        for options in ["", "--seccomp none", "--keyring keep"] {
            read(&format!("{isolation} priv-drop {options} --")).expect(0, "nothing\n", "");
        }
        read(&format!("{isolation} priv-drop --seccomp none --keyring keep --"))
            .expect(0, "secret\n", "");
        // No namespace does.
        read(isolation).expect(0, "secret\n", "");
    }
    read("env").expect(0, "secret\n", "");
}

fn secure_bits(user: User) {
    // With noroot uid 0 is nobody special, and keeps only what is ambient.
    let seen = see(user, "--securebits noroot,noroot-locked --caps +NET_RAW");
    assert_eq!((seen.capabilities.effective, seen.capabilities.ambient), (1 << 13, 1 << 13));
    let chain = Chain::new(user, "ns-unshare -- priv-drop --securebits nonsense -- {probe}");
    chain.run().expect(125, "", like("priv-drop: *'nonsense'*\n"));
}

fn landlock_lets_nothing_else_through(user: User) {
    let scratch = Scratch::new(user);
    let (open, closed) = (scratch.folder("open", user), scratch.folder("closed", user));
    let script =
        format!("echo > {0}/a && echo a; echo > {1}/b || echo b", open.display(), closed.display());
    let places = format!(
        "--landlock ro:/usr --landlock ro:/bin --landlock ro:/lib --landlock ro:/lib64 --landlock rw:{}",
        open.display()
    );
    let outcome = shell(user, &places, &script).run();
    outcome.expect(0, "a\nb\n", like("sh: *closed/b: Permission denied\n"));
    // Our own next link is let through.
    let line = format!("ns-unshare -- priv-drop {places} -- mini-init -- /bin/echo started");
    Chain::new(user, &line).run().expect(0, "started\n", "");
    shell(user, "--landlock ro:/nonexistent", "true").run().expect(125, "", like("priv-drop: *"));
}

/// Says what becomes of bind(2) and connect(2) on two ports.
const PORTS: &str = "
import socket, errno
for what, port in [('bind', 4001), ('bind', 4002), ('connect', 4003), ('connect', 4004)]:
    one = socket.socket()
    try:
        getattr(one, what)(('127.0.0.1', port))
        print(what, port, 'ok')
    except OSError as error:
        print(what, port, errno.errorcode[error.errno])
";

fn landlock_names_tcp_ports(user: User) {
    need!(need::program("python3"));
    let ask = |options: &str| {
        let line = format!("ns-unshare -- priv-drop {options} -- /usr/bin/python3 -c");
        Chain::new(user, &line).arg(PORTS).run()
    };
    // Nobody listens there: it is refused by the network, not by Landlock.
    let open = "bind 4001 ok\nbind 4002 ok\nconnect 4003 ECONNREFUSED\nconnect 4004 ECONNREFUSED\n";
    ask("").expect(0, open, "");
    let options = "--landlock-tcp-bind 4001 --landlock-tcp-connect 4003";
    let closed = "bind 4001 ok\nbind 4002 EACCES\nconnect 4003 ECONNREFUSED\nconnect 4004 EACCES\n";
    // Linux 6.7 knows TCP; before it, less than all is an error unless that is allowed.
    let outcome = ask(options);
    if outcome.ended == Some(125.into()) {
        outcome.expect(125, "", like("priv-drop: *--try-landlock*\n"));
        let warning =
            like("priv-drop: not in force: 'TCP ports to bind, TCP ports to connect to': *\n");
        ask(&format!("{options} --try-landlock")).expect(0, open, warning);
    } else {
        outcome.expect(0, closed, "");
        let none = "bind 4001 EACCES\nbind 4002 EACCES\nconnect 4003 EACCES\nconnect 4004 EACCES\n";
        ask("--landlock-tcp-bind none --landlock-tcp-connect none").expect(0, none, "");
    }
    for wrong in ["65536", "-1", "http", ""] {
        let chain = Chain::new(user, "priv-drop --landlock-tcp-bind").arg(wrong);
        chain.args(["--", "true"]).run().expect(125, "", like("priv-drop: *"));
    }
}

fn a_label_without_its_module_is_refused(user: User) {
    let modules = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if !modules.contains("selinuxfs") {
        let outcome = shell(user, "--selinux a:b:c:s0", "true").run();
        outcome.expect(125, "", "priv-drop: can't set the label: 'a:b:c:s0': SELinux is not among this kernel's security modules\n");
    }
    if !std::path::Path::new("/proc/self/attr/apparmor").exists() {
        let outcome = shell(user, "--apparmor tight", "true").run();
        outcome.expect(125, "", "priv-drop: can't set the label: 'tight': AppArmor is not among this kernel's security modules\n");
    }
}

fn standard_io_is_given_to_the_user(user: User) {
    if !user.is_root() {
        return;
    }
    let script = "echo hello > /dev/stdout";
    let start = |option: &str| shell(user, &format!("--user 1500:1600 {option}"), script).run();
    start("").expect(2, "", like("sh: *Permission denied\n"));
    start("--fix-stdio").expect(0, "hello\n", "");
}

fn a_report_of_the_app(user: User) {
    let outcome = shell(user, "--report", "echo app").run();
    let expected =
        like("*\ntight  capabilities         none\n*\ntight  seccomp              filters: 1\n*");
    outcome.expect(0, "app\n", expected);
}

fn a_report_alone_drops_nothing(user: User) {
    let verdict = |line: &str, what: &str| {
        let outcome = Chain::new(user, line).deadline(REPORT).run();
        let report: serde_json::Value = serde_json::from_str(&outcome.stdout).expect("JSON");
        let lines = report["report"].as_array().expect("lines").clone();
        let line = lines.into_iter().find(|line| line["what"] == what).expect("a line");
        line["verdict"].as_str().expect("a verdict").to_owned()
    };
    assert_eq!(verdict("priv-drop --report --json", "seccomp"), "open");
    let inside = "ns-unshare -- priv-drop -- mini-init -- priv-drop --report --json";
    for what in ["seccomp", "capabilities", "no_new_privs", "PID namespace", "core dumps"] {
        assert_eq!(verdict(inside, what), "tight", "{what}");
    }
}

//! notify-bridge: datagrams of an app that means harm.
//!
//! The bridge stands before the links that make namespaces, and sees of them only the numbers of
//! processes and users: what depends on these is tried in each kind of container, the rest without.

use catena_tests::manager::Manager;
use catena_tests::pivot::isolations;
use catena_tests::{Chain, Outcome, Scratch, User, any, each_user, like, need};

each_user![
    if has_python;
    h4_nothing_harmful_gets_through,
    h4_nothing_harmful_gets_through_with_few_descriptors,
    h4_a_barrier_is_answered_by_the_manager,
    h4_a_flood_does_not_block_signals,
    h4_a_process_outside_is_not_heard,
    h4_only_the_app_with_from_main,
    h4_a_main_process_is_translated_and_named_once,
    h4_who_one_claims_to_be,
    h4_descriptors_are_counted_by_the_second,
    h4_descriptors_are_refused_where_none_is_wanted,
];

fn has_python(_: User) -> Result<(), String> {
    need::program("python3").map(drop)
}

/// What each script begins with: `send`, `settle`, which waits until all that was sent has been read, and
/// what they need.
const PRELUDE: &str = r#"
import array, os, socket, struct, sys, time
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
manager.connect(os.environ["NOTIFY_SOCKET"])
def send(message, descriptors=(), credentials=None):
    extra = []
    if descriptors:
        extra.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)))
    if credentials:
        extra.append((socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iii", *credentials)))
    try:
        manager.sendmsg([message], extra)
    except OSError:
        pass  # the kernel refuses already
def settle():
    read, write = os.pipe()
    send(b"BARRIER=1", [write])
    os.close(write)
    os.read(read, 1)
    os.close(read)
"#;

/// Every message that must not arrive, or not whole.
const HARM: &str = r#"
def bridge_descriptors():
    return len(os.listdir(f"/proc/{os.getppid()}/fd"))
settle()
before = bridge_descriptors()
read, write = os.pipe()
folder, path = os.open("/", os.O_RDONLY), os.open("/", os.O_PATH)
space = os.open("/proc/self/ns/net", os.O_RDONLY)
for _ in range(20):
    for message in [b"", b"\0", b"\0\0\0", b"STATUS=nul\0READY=1", b"A" * 65536,
                    b"STATUS=" + b"x" * 4096, b"MAINPID=1", b"MAINPID=4294967297", b"NOTIFYACCESS=all",
                    b"FDSTORE=1\nFDNAME=x", b"BARRIER=1", b"=", b"\n\r\n", b"\xff\xfe=1"]:
        send(message)
    send(b"FDSTORE=1", [read] * 253)
    send(b"FDSTORE=1", [folder])
    send(b"FDSTORE=1", [path])
    send(b"FDSTORE=1", [space])
    send(b"BARRIER=1", [write, write])
    send(b"BARRIER=1\nSTATUS=behind a barrier", [write])
    if os.getuid() == 0:
        send(b"STATUS=forged", credentials=(1, 0, 0))
    send(b"STATUS=x\rMAINPID=1")
    send(b"STATUS=y\\\nMAINPID=1")
# What it has open for a moment is no leak.
for _ in range(100):
    settle()
    after = bridge_descriptors()
    if after <= before:
        break
print("leaked" if after > before else "clean")
send(b"READY=1")
"#;

struct Stage {
    manager: Manager,
    scratch: Scratch,
    user: User,
}

impl Stage {
    fn new(user: User) -> Stage {
        let scratch = Scratch::new(user);
        Stage { manager: Manager::at(&scratch.join("notify")), scratch, user }
    }

    fn chain(&self, first: &str, script: &str) -> Chain {
        let chain = Chain::new(self.user, &format!("{first} /usr/bin/python3 -c"));
        let chain = chain.arg(format!("{PRELUDE}{script}"));
        chain.env("NOTIFY_SOCKET", self.scratch.join("notify"))
    }

    fn run(&self, first: &str, script: &str) -> Outcome {
        self.chain(first, script).run()
    }
}

fn expect_no_harm(user: User, first: &str) {
    let stage = Stage::new(user);
    stage.run(first, HARM).expect(0, "clean\n", any());
    let texts = stage.manager.texts();
    let harmless = |text: &&String| !matches!(text.as_str(), "STATUS=x" | "STATUS=y");
    let others: Vec<_> = texts.iter().filter(harmless).collect();
    assert_eq!(others, ["READY=1"]);
    assert_eq!(texts.len(), 41);
}

fn h4_nothing_harmful_gets_through(user: User) {
    expect_no_harm(user, "notify-bridge --fdstore 4 --");
    // The manager itself hears all of it.
    let stage = Stage::new(user);
    stage.run("", "send(b'STATUS=x\\rMAINPID=1')").expect(0, "", "");
    assert_eq!(stage.manager.next().text, "STATUS=x\rMAINPID=1");
}

fn h4_nothing_harmful_gets_through_with_few_descriptors(user: User) {
    expect_no_harm(user, "prlimit --nofile=20 notify-bridge --fdstore 4 --");
}

fn h4_a_barrier_is_answered_by_the_manager(user: User) {
    let stage = Stage::new(user);
    let script = r#"
send(b"STATUS=before")
settle()
print("answered", flush=True)
"#;
    stage.run("notify-bridge --", script).expect(0, "answered\n", "");
    assert_eq!(stage.manager.texts(), ["STATUS=before"]);
}

fn h4_a_flood_does_not_block_signals(user: User) {
    let scratch = Scratch::new(user);
    // A service manager that never reads.
    let deaf = std::os::unix::net::UnixDatagram::bind(scratch.join("notify")).expect("bind");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(scratch.join("notify"), all).expect("chmod");
    let script = r#"
import signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
manager.setblocking(False)
print("floods", flush=True)
while True:
    try:
        manager.send(b"STATUS=more")
    except BlockingIOError:
        time.sleep(0.001)
"#;
    let chain = Chain::new(user, "notify-bridge -- /usr/bin/python3 -c");
    let chain = chain.arg(format!("{PRELUDE}{script}"));
    let mut running = chain.env("NOTIFY_SOCKET", scratch.join("notify")).start();
    running.wait_for("floods\n");
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.finish().expect(7, "floods\n", any());
    drop(deaf);
}

fn h4_a_process_outside_is_not_heard(user: User) {
    let stage = Stage::new(user);
    let run = stage.scratch.folder("run", user);
    let script = r#"
print(os.environ["NOTIFY_SOCKET"], flush=True)
while not os.path.exists("go"): time.sleep(0.01)
send(b"READY=1")
"#;
    let chain = stage.chain("notify-bridge --", script).directory(&run);
    let mut running = chain.env("RUNTIME_DIRECTORY", &run).start();
    running.wait_for("\n");
    let address = running.stdout().trim_end().to_owned();
    let outside = std::os::unix::net::UnixDatagram::unbound().expect("socket");
    outside.send_to(b"STATUS=from outside", &address).expect("send");
    std::fs::write(run.join("go"), "").expect("write");
    running.finish().expect(0, any(), any());
    assert_eq!(stage.manager.texts(), ["READY=1"]);
}

fn h4_only_the_app_with_from_main(user: User) {
    let script = r#"
child = os.fork()
if child == 0:
    send(b"STATUS=child")
    settle()
    os._exit(0)
os.waitpid(child, 0)
send(b"STATUS=app")
settle()
"#;
    let stage = Stage::new(user);
    stage.run("notify-bridge --from main --", script).expect(0, "", any());
    assert_eq!(stage.manager.texts(), ["STATUS=app"]);
    stage.run("notify-bridge --", script).expect(0, "", "");
    assert_eq!(stage.manager.texts(), ["STATUS=child", "STATUS=app"]);
}

fn h4_a_main_process_is_translated_and_named_once(user: User) {
    need!(user.can_isolate());
    let script = r#"
own = b"%d" % os.getpid()
for message in [b"MAINPID=99", b"MAINPID=" + own + b"\nSTATUS=here", b"MAINPID=1", b"STATUS=end"]:
    send(message)
    settle()
while not os.path.exists("go"): time.sleep(0.01)
"#;
    let stage = Stage::new(user);
    let run = stage.scratch.folder("run", user);
    let go = run.join("go");
    for isolation in isolations(user) {
        let chain = format!("notify-bridge --allow MAINPID -- {isolation} mini-init --");
        let running = stage.chain(&chain, script).directory(&run).start();
        let text = stage.manager.next().text;
        let named = text.strip_prefix("STATUS=here\nMAINPID=").expect("a translated MAINPID");
        let name = std::fs::read_to_string(format!("/proc/{named}/comm")).expect("a process");
        assert_eq!(name, "python3\n");
        let named: i32 = named.parse().expect("a number");
        let parent = |pid: &i32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
        };
        let mut above = std::iter::successors(Some(named), parent).skip(1);
        assert!(above.any(|pid| pid == running.pid()), "{named} is a stranger");
        std::fs::write(&go, "").expect("write");
        running.finish().expect(0, "", "");
        assert_eq!(stage.manager.texts(), ["STATUS=end"]);
        std::fs::remove_file(&go).expect("remove");
    }
}

/// What a child of the app says in the app's name, and as root.
fn h4_who_one_claims_to_be(user: User) {
    need!(user.can_isolate());
    let claim = r#"
import ctypes
app = os.getpid()
read, write = os.pipe()
child = os.fork()
if child == 0:
    LEAVE
    send(b"STATUS=child as app", credentials=(app, 0, 0))
    send(b"STATUS=child as child", credentials=(os.getpid(), 0, 0))
    send(b"STATUS=child")
    os.close(write)
    time.sleep(9)
os.close(write)
os.read(read, 1)
send(b"STATUS=app")
settle()
os.kill(child, 9)
"#;
    let stage = Stage::new(user);
    for isolation in isolations(user) {
        let run = |leave: &str| {
            let chain = format!("notify-bridge --from main -- {isolation} mini-init --");
            stage.run(&chain, &claim.replace("LEAVE", leave)).expect(0, "", any());
            stage.manager.texts()
        };
        // In a user namespace of its own it is root, and may still not claim to be its parent.
        let own = run("assert ctypes.CDLL(None).unshare(0x10000000) == 0");
        assert_eq!(own, ["STATUS=app"], "{isolation}");
        // With the capabilities of the container's own root it may.
        assert_eq!(run("pass"), ["STATUS=child as app", "STATUS=app"], "{isolation}");
    }
}

fn h4_descriptors_are_counted_by_the_second(user: User) {
    let script = r#"
read, write = os.pipe()
for _ in range(400):
    send(b"FDSTORE=1", [read])
    send(b"FDSTOREREMOVE=1")
send(b"READY=1")
"#;
    let stage = Stage::new(user);
    let start = std::time::Instant::now();
    let outcome = stage.run("notify-bridge --fdstore 1 --", script);
    let seconds = usize::try_from(start.elapsed().as_secs()).expect("some seconds");
    outcome.expect(0, "", like("notify-bridge: *too many with descriptors*"));
    let texts = stage.manager.texts();
    let stored = texts.iter().filter(|text| *text == "FDSTORE=1").count();
    assert!((65..=65 * (seconds + 2)).contains(&stored), "{stored} in {seconds} s");
    assert_eq!(texts.last().map(String::as_str), Some("READY=1"));
}

fn h4_descriptors_are_refused_where_none_is_wanted(user: User) {
    need!(kernel_refuses_descriptors());
    let script = r#"
read, write = os.pipe()
try:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [write]))]
    manager.sendmsg([b"BARRIER=1"], rights)
    print("sent")
except PermissionError:
    print("refused")
"#;
    let stage = Stage::new(user);
    stage.run("notify-bridge --deny BARRIER --", script).expect(0, "refused\n", "");
    stage.run("notify-bridge --", script).expect(0, "sent\n", "");
    stage.run("notify-bridge --deny BARRIER --fdstore 1 --", script).expect(0, "sent\n", any());
}

/// SO_PASSRIGHTS, asked of the kernel.
fn kernel_refuses_descriptors() -> Result<(), String> {
    let script = "import socket; socket.socket(socket.AF_UNIX).setsockopt(1, 83, 0)";
    let asked = Chain::new(User::Ordinary, "/usr/bin/python3 -c").arg(script).run();
    match asked.ended {
        Some(catena_tests::Ended::Exit(0)) => Ok(()),
        _ => Err("SO_PASSRIGHTS came with Linux 6.16".into()),
    }
}

//! notify-bridge: other signs of readiness than READY=1.

use std::io::Read;

use catena_tests::manager::Manager;
use catena_tests::{Chain, Scratch, User, each_user, like, need};

each_user![
    if can_isolate_with_python;
    a_newline,
    a_port_in_the_containers_network,
    a_socket,
    a_file,
    a_command,
    not_in_time,
    a_newline_to_whoever_waits,
];

fn can_isolate_with_python(user: User) -> Result<(), String> {
    need::program("python3")?;
    user.can_isolate()
}

const LISTEN: &str = "
import os, socket, sys, time
time.sleep(0.2)
kind, place = sys.argv[1:]
if kind == 'tcp':
    server = socket.create_server(('127.0.0.1', int(place)))
elif kind == 'unix':
    server = socket.socket(socket.AF_UNIX)
    server.bind(place)
    server.listen()
else:
    open(place, 'w')
while not os.path.exists('go'): time.sleep(0.01)
";

/// Runs an app that does `kind` at `place` after a while, behind a bridge with `option`, whose
/// argument that may be.
fn announces(user: User, option: [&str; 2], chain: &str, kind: &str, place: &str) {
    let scratch = Scratch::new(user);
    let manager = Manager::at(&scratch.join("notify"));
    let chain = Chain::new(user, "notify-bridge").args(option).arg("--").args(chain.split(' '));
    let chain = chain.args(["/usr/bin/python3", "-c", LISTEN, kind, place]);
    let chain = chain.directory(scratch.path()).env("NOTIFY_SOCKET", scratch.join("notify"));
    let running = chain.start();
    assert_eq!(manager.next().text, "READY=1");
    std::fs::write(scratch.join("go"), "").expect("write");
    running.finish().expect(0, "", "");
    assert_eq!(manager.texts(), [""; 0]);
}

fn a_newline(user: User) {
    let scratch = Scratch::new(user);
    let manager = Manager::at(&scratch.join("notify"));
    let run = |what: &str| {
        let chain =
            Chain::new(user, "notify-bridge --ready-fd 5 -- ns-unshare -- mini-init -- sh -c");
        chain.arg(what).env("NOTIFY_SOCKET", scratch.join("notify")).run().expect(0, "", "");
        manager.texts()
    };
    assert_eq!(run("echo >&5"), ["READY=1"]);
    assert_eq!(run("printf 'not yet' >&5"), [""; 0]);
    assert_eq!(run("exec 5>&-"), [""; 0]);
}

fn a_port_in_the_containers_network(user: User) {
    announces(user, ["--ready-tcp", "8123"], "ns-unshare -- mini-init --", "tcp", "8123");
}

fn a_socket(user: User) {
    let scratch = Scratch::new(user);
    let path = scratch.folder("run", user).join("socket");
    let path = path.to_str().expect("UTF-8");
    announces(user, ["--ready-unix", path], "ns-unshare -- mini-init --", "unix", path);
}

fn a_file(user: User) {
    let scratch = Scratch::new(user);
    let path = scratch.folder("run", user).join("file");
    let path = path.to_str().expect("UTF-8");
    announces(user, ["--ready-file", path], "ns-unshare -- mini-init --", "file", path);
}

fn a_command(user: User) {
    let scratch = Scratch::new(user);
    let path = scratch.folder("run", user).join("file");
    let path = path.to_str().expect("UTF-8");
    let command = format!("test -e {path} && kill -0 $MAINPID");
    announces(user, ["--ready-exec", &command], "env", "file", path);
}

fn not_in_time(user: User) {
    let chain = "notify-bridge --ready-timeout 0.2 --ready-file /none -- sleep 1000";
    let late = like("notify-bridge: ended the app: it was not ready after 0.2 s\n");
    Chain::new(user, chain).run().expect(125, "", late);
}

fn a_newline_to_whoever_waits(user: User) {
    let run = |script: &str| {
        let (mut read, write) = std::io::pipe().expect("pipe");
        let chain = Chain::new(user, "notify-bridge --notify-fd 7 -- /usr/bin/python3 -c");
        chain.arg(script).descriptor(7, write).run().expect(0, "", "");
        let mut text = String::new();
        read.read_to_string(&mut text).expect("read");
        text
    };
    let send = "import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ['NOTIFY_SOCKET'])
";
    assert_eq!(run(&format!("{send}s.send(b'READY=1'); s.send(b'READY=1')")), "\n");
    assert_eq!(run(&format!("{send}s.send(b'STATUS=not yet')")), "");
}

//! listen-fds: sockets are handed on as systemd does.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use catena_tests::pivot::isolations;
use catena_tests::{Chain, Scratch, User, any, each_user, like, need};
use nix::sys::signal::Signal;

each_user![
    names_and_numbers,
    the_apps_own_pid_across_forks,
    a_server_without_a_network,
    lazily,
    a_chain_for_each_connection,
    connections_end_with_the_server,
    h5_what_others_were_handed_is_not_touched,
    h5_no_more_than_is_open_is_handed_on,
    h5_no_folder_is_handed_on,
    refusals,
];

/// Prints what sd_listen_fds(3) would find.
const REPORT: &str = r#"
if [ "$LISTEN_PID" = $$ ]; then echo mine; else echo not mine; fi
echo "$LISTEN_FDS $LISTEN_FDNAMES ${LISTEN_PIDFDID-unset}"
for fd in 3 4 5 6 7; do readlink /proc/self/fd/$fd | sed 's/[0-9]*]/N]/'; done
"#;

fn names_and_numbers(user: User) {
    let scratch = Scratch::new(user);
    let run = scratch.folder("run", user);
    let chain = Chain::new(user, "listen-fds tcp:127.0.0.1:0 udp:[::1]:0");
    let chain = chain
        .arg(format!("unix:{}/socket,mode=0600,name=local", run.display()))
        .arg(format!("fifo:{}/fifo,name=queue", run.display()))
        .args(["--name", "web", "--", "sh", "-c"])
        .arg(format!("{REPORT}\nstat -c %a {}/socket", run.display()))
        .env("LISTEN_PIDFDID", "1");
    let expected = format!(
        "mine\n4 web:web:local:queue unset\n{}{}/fifo\n600\n",
        "socket:[N]\n".repeat(3),
        run.display()
    );
    chain.run().expect(0, expected, "");
}

fn the_apps_own_pid_across_forks(user: User) {
    need!(user.can_isolate());
    let chain = Chain::new(
        user,
        "listen-fds tcp:127.0.0.1:0,name=a -- nice listen-fds tcp:127.0.0.1:0,name=b -- \
         notify-bridge --ready-fd 9 -- ns-unshare -- mini-init -- sh -c",
    );
    chain.arg(REPORT).run().expect(0, "mine\n2 a:b unset\nsocket:[N]\nsocket:[N]\n", "");
}

fn a_server_without_a_network(user: User) {
    need!(user.can_isolate());
    need!(need::program("python3"));
    let script = "import socket\nserver = socket.socket(fileno=3)\n\
                  print(server.getsockname()[1], flush=True)\n\
                  server.accept()[0].send(b'hello')\n";
    let line = "listen-fds tcp:127.0.0.1:0 -- ns-unshare -- mini-init -- /usr/bin/python3 -c";
    let mut running = Chain::new(user, line).arg(script).start();
    running.wait_for("\n");
    let port: u16 = running.stdout().trim_end().parse().expect("a port");
    let mut text = String::new();
    let mut connection = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    connection.read_to_string(&mut text).expect("read");
    assert_eq!(text, "hello");
    running.finish().expect(0, any(), "");
}

fn lazily(user: User) {
    let scratch = Scratch::new(user);
    let path = scratch.folder("run", user).join("socket");
    let chain = Chain::new(user, "listen-fds --lazy").arg(format!("unix:{}", path.display()));
    let running = chain.args(["--", "echo", "started"]).start();
    running.wait_until("it listens", || path.exists());
    assert_eq!(running.stdout(), "");
    // A socket that has its name is not yet one that is listened at.
    running.wait_until("it takes a connection", || UnixStream::connect(&path).is_ok());
    running.finish().expect(0, "started\n", "");
}

/// A server at a socket in `scratch` that runs `app` for each connection.
fn server(
    user: User,
    path: &std::path::Path,
    options: &str,
    app: &[&str],
) -> catena_tests::Running {
    let chain = Chain::new(user, &format!("listen-fds --accept {options}"));
    let running = chain.arg(format!("unix:{}", path.display())).arg("--").args(app).start();
    running.wait_until("it listens", || UnixStream::connect(path).is_ok());
    running
}

fn ask(path: &std::path::Path, text: &str) -> String {
    use std::io::Write;
    let mut connection = UnixStream::connect(path).expect("connect");
    connection.write_all(text.as_bytes()).expect("write");
    connection.shutdown(std::net::Shutdown::Write).expect("shutdown");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("read");
    answer
}

fn a_chain_for_each_connection(user: User) {
    drop(need!(catena_tests::cell::Cell::new(user)));
    let scratch = Scratch::new(user);
    let path = scratch.folder("run", user).join("socket");
    let running = server(user, &path, "", &["nice", "cat"]);
    for text in ["one", "two"] {
        assert_eq!(ask(&path, text), text);
    }
    running.wait_until("they are over", || running.processes().len() == 1);
    running.signal(Signal::SIGTERM);
    running.finish().expect(Signal::SIGTERM, "", "");
    // No more at a time than allowed: the second one waits for the first.
    let path = path.with_file_name("few");
    let running = server(user, &path, "--max-connections 1", &["cat"]);
    // The one that only tried the socket is over when the next is served.
    assert_eq!(ask(&path, "one"), "one");
    running.wait_until("they are over", || running.processes().len() == 1);
    let first = UnixStream::connect(&path).expect("connect");
    running.wait_until("it is served", || running.processes().len() == 3);
    let second = UnixStream::connect(&path).expect("connect");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(running.processes().len(), 3);
    drop((first, second));
    running.wait_until("they are over", || running.processes().len() == 1);
    running.signal(Signal::SIGTERM);
    running.finish().expect(Signal::SIGTERM, "", "");
}

fn connections_end_with_the_server(user: User) {
    drop(need!(catena_tests::cell::Cell::new(user)));
    let scratch = Scratch::new(user);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let path = scratch.folder(signal.as_str(), user).join("socket");
        let running = server(user, &path, "", &["cat"]);
        let _open = [(); 3].map(|()| UnixStream::connect(&path).expect("connect"));
        running.wait_until("they are served", || running.processes().len() >= 7);
        running.signal(signal);
        // `finish` fails if one of them lives on.
        running.finish().expect(signal, "", "");
    }
}

/// No namespace is made here: the number is that of a process that there is, whatever its namespaces.
fn h5_what_others_were_handed_is_not_touched(user: User) {
    let (_read, write) = std::io::pipe().expect("pipe");
    let chain = Chain::new(user, "listen-fds tcp:127.0.0.1:0 -- sh -c");
    let chain = chain.arg(REPORT).env("LISTEN_PID", "1").env("LISTEN_FDS", "1000000000");
    let chain = chain.env("LISTEN_FDNAMES", "other").descriptor(5, write);
    chain.run().expect(0, "mine\n1 unknown unset\nsocket:[N]\n", "");
}

/// A link that is handed `count` descriptors from 3 on; behind `env` it is the app itself.
fn handed(user: User, link: &str, count: u32) -> Chain {
    let script = format!(r#"LISTEN_PID=$$ LISTEN_FDS=$0 exec {link} sh -c "$1""#);
    Chain::new(user, "sh -c").arg(script).arg(count.to_string()).arg(REPORT)
}

fn h5_no_more_than_is_open_is_handed_on(user: User) {
    need!(user.can_isolate());
    let (_read, write) = std::io::pipe().expect("pipe");
    let refused =
        "ns-unshare: can't hand on the sockets of LISTEN_FDS: '*': descriptor 4 is not open\n";
    let copy = || write.try_clone().expect("duplicate");
    for isolation in isolations(user) {
        for count in [2, 1_000_000_000, u32::MAX] {
            handed(user, isolation, count).descriptor(3, copy()).run().expect(
                125,
                "",
                like(refused),
            );
        }
        let right = handed(user, isolation, 1).descriptor(3, copy()).run();
        right.expect(0, like("mine\n1  unset\npipe:*\n"), any());
    }
    let without = handed(user, "env", 2).descriptor(3, copy()).run();
    without.expect(0, like("mine\n2  unset\npipe:*\n"), any());
}

fn h5_no_folder_is_handed_on(user: User) {
    need!(user.can_isolate());
    let folder = || std::fs::File::open("/").expect("open");
    let refused = "ns-unshare: can't hand on *: descriptor 3 is a directory\n";
    for isolation in isolations(user) {
        handed(user, isolation, 1).descriptor(3, folder()).run().expect(125, "", like(refused));
    }
    let without = handed(user, "env", 1).descriptor(3, folder()).run();
    without.expect(0, like("mine\n1  unset\n/\n*"), any());
}

fn refusals(user: User) {
    let refused = |line: &str| {
        Chain::new(user, line).run().expect(125, "", like("listen-fds: *\n"));
    };
    refused("listen-fds nothing -- true");
    refused("listen-fds tcp:70000 -- true");
    refused("listen-fds unix:relative -- true");
    refused("listen-fds tcp:127.0.0.1:0,name=a:b -- true");
    refused("listen-fds tcp:203.0.113.1:80 -- true");
    refused("listen-fds unix:/none/socket -- true");
    let (_read, write) = std::io::pipe().expect("pipe");
    let chain = Chain::new(user, "listen-fds --keep-fd 3 tcp:127.0.0.1:0 -- true");
    chain.descriptor(3, write).run().expect(125, "", like("listen-fds: *'3': *\n"));
}

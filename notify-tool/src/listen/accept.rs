//! `--accept`: a chain for each connection, which is its stdin and stdout, as inetd(8) had it.
//!
//! Each connection has a process of ours for its monitor. That one changes no credentials, so a
//! parent-death signal ends it with this server; it takes its chain along.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use chain::monitor::Status;
use chain::signal::{Signal, SignalSet};
use chain::sys::{self, Forked};
use chain::{Error, Fork, Next, Result, ResultExt, Role, print_warning};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, getpeername};

/// Serves until a signal says that it is enough, then ends with all connections.
pub fn serve(next: Next, sockets: &[OwnedFd], most: usize) -> Result<Infallible> {
    let what = "can't wait for a connection";
    sys::set_ignored(Signal::CHLD.number(), false).or_fail("can't reset SIGCHLD")?;
    SignalSet::ALL.block().or_fail("can't block signals")?;
    let signals = sys::signalfd(SignalSet::ALL.0).or_fail("can't make a signalfd")?;
    let server = std::process::id();
    let mut workers = BTreeSet::new();
    loop {
        let ready: Vec<bool> = {
            let mut all = vec![PollFd::new(&signals, PollFlags::IN)];
            if workers.len() < most {
                let readable = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
                all.extend(sockets.iter().map(|socket| readable(socket.as_fd())));
            }
            rustix::io::retry_on_intr(|| poll(&mut all, None)).or_fail(what)?;
            all.iter().skip(1).map(|fd| !fd.revents().is_empty()).collect()
        };
        while let Some(info) = sys::read_signal(signals.as_fd()).or_fail("can't read signals")? {
            match Signal::from_number(info.signal) {
                Some(Signal::CHLD) | None => reap(&mut workers),
                Some(signal) if ends(signal) => return finish(&signals, signal, workers),
                Some(_) => {}
            }
        }
        for (socket, _) in sockets.iter().zip(ready).filter(|(_, ready)| *ready) {
            if workers.len() >= most {
                break;
            }
            let connection = match accept_with(socket, SocketFlags::CLOEXEC) {
                Ok(connection) => connection,
                // The caller is gone already, or this process is short of descriptors or memory.
                Err(errno) => {
                    refuse(errno);
                    continue;
                }
            };
            match sys::fork(0, None) {
                Ok(Forked::Parent { pid, .. }) => drop(workers.insert(pid)),
                Ok(Forked::Child) => return connected(next, connection, server),
                Err(error) => print_warning(&Error::new("can't fork").because(error)),
            }
        }
    }
}

/// What a service manager, a terminal or a user ends a server with.
fn ends(signal: Signal) -> bool {
    ["TERM", "INT", "HUP", "QUIT"].iter().any(|name| name.parse() == Ok(signal))
}

fn refuse(errno: Errno) {
    if !matches!(errno, Errno::CONNABORTED | Errno::AGAIN | Errno::INTR) {
        print_warning(&Error::new("can't accept a connection").because(errno));
        // A shortage would last if this process spun.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

fn reap(workers: &mut BTreeSet<i32>) {
    while let Ok(Some((pid, change))) = sys::wait_any() {
        if !matches!(change, sys::Change::Stopped(_)) {
            workers.remove(&pid);
        }
    }
}

/// Hands the signal on and waits for those that it ends.
fn finish(signals: &OwnedFd, signal: Signal, mut workers: BTreeSet<i32>) -> Result<Infallible> {
    let what = "can't wait for the connections to end";
    for pid in &workers {
        let _ = sys::send_signal(*pid, signal.number());
    }
    while !workers.is_empty() {
        let mut child = [PollFd::new(signals, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut child, None)).or_fail(what)?;
        while sys::read_signal(signals.as_fd()).or_fail(what)?.is_some() {}
        reap(&mut workers);
    }
    Status::Signaled(signal).mirror()
}

/// In the connection's own process.
fn connected(mut next: Next, connection: OwnedFd, server: u32) -> Result<Infallible> {
    let what = "can't arrange to die with the server";
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).or_fail(what)?;
    if std::os::unix::process::parent_id() != server {
        // It is gone already.
        sys::exit_now(0);
    }
    // The terminal of the server, if there is one, is not the connection's.
    nix::unistd::setsid().or_fail("can't make a session")?;
    let environment = next.environment();
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "REMOTE_ADDR", "REMOTE_PORT"] {
        environment.remove(name);
    }
    if let Some(peer) = getpeername(&connection).ok().flatten()
        && let Ok(peer) = SocketAddr::try_from(peer)
    {
        environment.set("REMOTE_ADDR", peer.ip().to_canonical().to_string());
        environment.set("REMOTE_PORT", peer.port().to_string());
    }
    let copy = connection.try_clone().or_fail("can't duplicate the connection")?;
    for (fd, number) in [(connection, 0), (copy, 1)] {
        sys::place(fd, number).or_fail("can't pass on the connection")?;
    }
    match next.fork(&Fork::default(), |_| Ok(()))? {
        Role::Child(next) => next.exec(),
        Role::Monitor(monitor) => monitor.run(|_| Ok(())),
    }
}

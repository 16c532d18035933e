//! The processes that look whether the app is ready yet, one for each sign.

use std::ffi::{CString, OsStr};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain::environment::Environment;
use chain::procfs::Procfs;
use chain::signal::Given;
use chain::sys::{self, Change, Forked};
use chain::{Error, Result, ResultExt, leash, namespace, resolve};
use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::processes::Processes;
use crate::ready::ReadyArgs;

/// Between one look and the next.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(1);

/// One sign to look for.
#[derive(Debug, Clone)]
enum Look {
    Tcp(SocketAddr),
    Unix(PathBuf),
    File(PathBuf),
    Exec(CString),
}

/// Starts a process for each sign that is asked for; a newline comes out of its pipe.
pub fn start(
    args: &ReadyArgs,
    child: i32,
    environment: &Environment,
    given: Given,
) -> Result<Vec<OwnedFd>> {
    let command = args
        .ready_exec
        .as_ref()
        .map(|command| CString::new(command.as_bytes()).or_fail_on("can't run", command));
    let looks = [
        args.ready_tcp.map(Look::Tcp),
        args.ready_unix.clone().map(Look::Unix),
        args.ready_file.clone().map(Look::File),
        command.transpose()?.map(Look::Exec),
    ];
    let start = |look| fork(look, child, environment, given);
    looks.into_iter().flatten().map(start).collect()
}

fn fork(look: Look, child: i32, environment: &Environment, given: Given) -> Result<OwnedFd> {
    let what = "can't watch for readiness";
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).or_fail(what)?;
    let parent = std::process::id();
    match sys::fork(0, None).or_fail(what)? {
        Forked::Parent { .. } => Ok(read),
        Forked::Child => {
            drop(read);
            let watch = || -> Result<()> {
                die_with(parent)?;
                given.restore(given.mask).or_fail(what)?;
                look.wait(child, environment)?;
                rustix::io::write(&write, b"\n").or_fail(what).map(drop)
            };
            if let Err(error) = watch() {
                chain::print_warning(&error);
            }
            sys::exit_now(0)
        }
    }
}

impl Look {
    /// Returns once the app is ready.
    fn wait(&self, child: i32, environment: &Environment) -> Result<()> {
        let processes = Processes::new()?;
        let procfs = Procfs::open()?;
        let mut entered = false;
        loop {
            if let Some(app) = processes.app(child) {
                if let Look::Tcp(_) = self
                    && !entered
                {
                    enter_network(&procfs, app)?;
                    entered = true;
                }
                if self.is_ready(&procfs, app, environment)? {
                    return Ok(());
                }
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn is_ready(&self, procfs: &Procfs, app: i32, environment: &Environment) -> Result<bool> {
        Ok(match self {
            Look::Tcp(address) => TcpStream::connect_timeout(address, CONNECT).is_ok(),
            Look::File(path) => find(procfs, app, path).is_some(),
            Look::Unix(path) => find(procfs, app, path).is_some_and(|socket| {
                UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).is_ok()
            }),
            Look::Exec(command) => succeeds(command, app, environment)?,
        })
    }
}

/// Ends this process with its parent, even if that is gone already.
fn die_with(parent: u32) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .or_fail("can't arrange to die with the monitor")?;
    match std::os::unix::process::parent_id() == parent {
        true => Ok(()),
        false => sys::exit_now(0),
    }
}

/// Moves this process into the app's network namespace: by way of the user namespace that owns it,
/// where this one's capabilities don't count.
fn enter_network(procfs: &Procfs, app: i32) -> Result<()> {
    let what = "can't enter the app's network namespace";
    let theirs = namespace::open(procfs, &app.to_string(), "net")?;
    let ours = namespace::open(procfs, &procfs.own_id()?, "net")?;
    if namespace::inode(&theirs)? == namespace::inode(&ours)? {
        return Ok(());
    }
    if setns(&theirs, CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    let owner = sys::owning_user_namespace(theirs.as_fd()).or_fail(what)?;
    leash::rearm(None, || setns(owner, CloneFlags::CLONE_NEWUSER).or_fail(what))?;
    setns(&theirs, CloneFlags::CLONE_NEWNET).or_fail(what)
}

/// What `path` is in the app's root: no symbolic link leads out of that.
fn find(procfs: &Procfs, app: i32, path: &Path) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat(procfs, format!("{app}/root"), flags, Mode::empty()).ok()?;
    resolve::open(root.as_fd(), path, flags, ResolveFlags::IN_ROOT).ok()
}

fn succeeds(command: &CString, app: i32, environment: &Environment) -> Result<bool> {
    let shell = c"/bin/sh";
    let parent = std::process::id();
    match sys::fork(0, None).or_fail("can't fork")? {
        Forked::Child => {
            let run = || -> Result<()> {
                die_with(parent)?;
                for number in [0, 1] {
                    let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty())
                        .or_fail_on("can't open", "/dev/null")?;
                    sys::place(null, number).or_fail_on("can't use", "/dev/null")?;
                }
                let mut environment = environment.clone();
                environment.remove("NOTIFY_SOCKET");
                environment.set("MAINPID", app.to_string());
                let arguments = [shell, c"-c", command];
                let Err(errno) = nix::unistd::execve(shell, &arguments, environment.entries());
                Err(Error::new("can't execute")
                    .object(OsStr::from_bytes(shell.to_bytes()))
                    .because(errno))
            };
            if let Err(error) = run() {
                chain::print_warning(&error);
            }
            sys::exit_now(127)
        }
        Forked::Parent { pid, pidfd } => {
            let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
            while rustix::event::poll(&mut ended, None).is_err() {}
            match sys::wait_any() {
                Ok(Some((ended, change))) if ended == pid => Ok(change == Change::Exited(0)),
                _ => Ok(false),
            }
        }
    }
}

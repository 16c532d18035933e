//! Doing what apps do, the bad ones too.

use std::ffi::{OsStr, OsString};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::call::{self, Entry};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill, raise, sigprocmask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, Uid, chdir, chroot, fchdir, fork, pause, setresuid, setsid};

use crate::{attack, load};

/// Does `deed`; gives the exit status.
pub fn out(deed: &OsStr, words: &[OsString]) -> i32 {
    match (deed.to_str().unwrap_or_default(), words) {
        ("exit", [status]) => number(status),
        ("die", [signal]) => die(signal),
        ("spin", [time]) => load::spin(number(time)),
        ("huge", [pages]) => load::huge(number(pages)),
        ("read-direct", [path, bytes]) => load::read_direct(path, number(bytes)),
        ("together", [fifo, place, time, disk @ ..]) => {
            load::together(fifo, place == "first", number(time), disk.first())
        }
        ("eat", [bytes]) => eat(number(bytes)),
        ("fork", [count]) => fork_many(number(count)),
        ("orphans", [count]) => orphans(number(count)),
        ("daemon", [manner]) => daemon(manner == "deaf"),
        ("deaf", []) => deaf(),
        ("hold", []) => hold(),
        ("signals", [count]) => signals(number(count)),
        ("tree", [seed]) => crate::tree::grow(number(seed)),
        ("storm", [signals, orphans]) => load::storm(number(signals), number(orphans)),
        ("siginfo", [count]) => crate::signals::tell(number(count)),
        ("write", [path, text]) => result(fs::write(path, text.as_encoded_bytes())),
        ("append", [path]) => result(OpenOptions::new().append(true).open(path).map(drop)),
        ("read", [path]) => result(fs::read(path).map(drop)),
        ("abstract", [name]) => result(abstract_socket(name)),
        ("notify", words) => result(notify(words)),
        ("kill", [pid]) => result(kill(Pid::from_raw(number(pid)), None).map_err(io::Error::from)),
        ("escape", [path]) => result(escape(path)),
        ("mount-flags", [path]) => mount_flags(path),
        ("become", [uid, program]) => result(become_user(number(uid), program)),
        ("calls", [entry, last]) => calls(entry, number(last)),
        ("ioctl", [request]) => result(ioctl(number(request))),
        ("push", [text]) => result(push(text)),
        ("attack", []) => attack::on_all(),
        ("swap", [one, other]) => result(attack::swap(one, other)),
        ("overwrite", [name]) => result(attack::overwrite(&name.to_string_lossy())),
        ("detached", [path, fd, command @ ..]) => result(detached(path, number(fd), command)),
        ("copy", []) => result(io::copy(&mut io::stdin(), &mut io::stdout()).map(drop)),
        _ => {
            say(&format!("the probe can't do this: {deed:?} {words:?}"));
            98
        }
    }
}

fn number<N: FromStr>(word: &OsString) -> N {
    let number = word.to_str().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("not a number: {word:?}"))
}

/// Writes a line that is read at once.
pub fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Says `ok`, or the error's name.
fn result(result: io::Result<()>) -> i32 {
    match result {
        Ok(()) => say("ok"),
        Err(error) => match error.raw_os_error() {
            Some(errno) => say(&format!("{:?}", Errno::from_raw(errno))),
            None => say(&error.to_string()),
        },
    }
    0
}

/// A child; the probe has one thread.
pub fn child() -> nix::Result<ForkResult> {
    // SAFETY: the probe never has a second thread, so no lock is held at the fork.
    unsafe { fork() }
}

/// What the filters say of all system calls up to `last`.
fn calls(entry: &OsString, last: libc::c_long) -> i32 {
    let entry = entry.to_str().and_then(Entry::named).expect("a way into the kernel");
    say(&call::ask_all(entry, last).join(" "));
    0
}

/// Asks stdin for `request`, of which the kernel takes the low 32 bits.
fn ioctl(request: libc::c_ulong) -> io::Result<()> {
    let mut argument = [0_u8; 4096];
    // SAFETY: the requests that the tests try read or write at most a page.
    match unsafe { libc::syscall(libc::SYS_ioctl, 0, request, argument.as_mut_ptr()) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Puts `text` before what is typed at the terminal on stdin, as if it had been typed there.
fn push(text: &OsStr) -> io::Result<()> {
    for byte in text.as_encoded_bytes() {
        // SAFETY: TIOCSTI reads one byte during the call.
        if unsafe { libc::ioctl(0, libc::TIOCSTI, std::ptr::from_ref(byte)) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn die(signal: &OsString) -> i32 {
    let name = signal.to_str().unwrap_or_default();
    raise(Signal::from_str(name).expect("a signal's name")).expect("raise");
    say("alive");
    97
}

/// Allocates and touches memory.
fn eat(bytes: usize) -> i32 {
    let mut memory = vec![0_u8; bytes];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
    say("full");
    0
}

/// Forks until it fails, says how far it got, and cleans up.
fn fork_many(count: u32) -> i32 {
    let mut children = Vec::new();
    let mut answer = "enough".to_owned();
    for _ in 0..count {
        match child() {
            Ok(ForkResult::Child) => return hold_quietly(),
            Ok(ForkResult::Parent { child }) => children.push(child),
            Err(errno) => {
                answer = format!("{errno:?}");
                break;
            }
        }
    }
    say(&format!("{} {answer}", children.len()));
    for pid in children {
        let _ = kill(pid, Signal::SIGKILL);
        let _ = waitpid(pid, None);
    }
    0
}

/// Makes orphans that die at once, and says whether somebody reaps them.
fn orphans(count: usize) -> i32 {
    // All of them hold its writing end: it ends when the last one is dying.
    let (deaths, alive) = nix::unistd::pipe().expect("pipe");
    for _ in 0..count {
        match child().expect("fork") {
            ForkResult::Child => {
                if let ForkResult::Parent { .. } = child().expect("fork") {
                    // The grandchild is an orphan from here on; it just exits.
                }
                return 0;
            }
            ForkResult::Parent { child } => {
                waitpid(child, None).expect("waitpid");
            }
        }
    }
    drop(alive);
    nix::unistd::read(&deaths, &mut [0]).expect("read");
    let end = Instant::now() + Duration::from_secs(2);
    let mut left = zombies();
    while left > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(2));
        left = zombies();
    }
    say(&format!("{left} zombies"));
    0
}

/// How many dead processes nobody has waited for.
fn zombies() -> usize {
    let dead = |entry: &fs::DirEntry| {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    };
    fs::read_dir("/proc").expect("/proc").flatten().filter(dead).count()
}

/// Leaves a process in a session of its own behind, and exits as soon as that is ready.
fn daemon(deaf: bool) -> i32 {
    let (reader, writer) = nix::unistd::pipe().expect("pipe");
    match child().expect("fork") {
        ForkResult::Child => {
            setsid().expect("setsid");
            if deaf {
                block(&[Signal::SIGTERM]);
            }
            nix::unistd::write(&writer, b"!").expect("write");
            hold_quietly()
        }
        ForkResult::Parent { .. } => {
            drop(writer);
            nix::unistd::read(&reader, &mut [0]).expect("read");
            0
        }
    }
}

fn block(signals: &[Signal]) -> SigSet {
    let set = signals.iter().copied().collect();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).expect("sigprocmask");
    set
}

/// Hears no SIGTERM.
fn deaf() -> i32 {
    block(&[Signal::SIGTERM]);
    hold()
}

/// Says that it is there and stays.
fn hold() -> i32 {
    say("ready");
    hold_quietly()
}

fn hold_quietly() -> i32 {
    loop {
        pause();
    }
}

/// Says which signals arrive, and exits after `count` of them.
fn signals(count: usize) -> i32 {
    let all: Vec<_> = Signal::iterator().collect();
    let set = block(&all);
    say("ready");
    for _ in 0..count {
        say(set.wait().expect("sigwait").as_str());
    }
    0
}

/// Says how the file system that `path` stands on is mounted.
fn mount_flags(path: &OsString) -> i32 {
    match statvfs(path.as_os_str()) {
        Ok(stat) => say(&format!("{:?}", stat.flags() & (FsFlags::ST_RDONLY | FsFlags::ST_NOSUID))),
        Err(errno) => say(&format!("{errno:?}")),
    }
    0
}

/// Executes `program` as somebody else.
fn become_user(uid: u32, program: &OsString) -> io::Result<()> {
    let uid = Uid::from_raw(uid);
    setresuid(uid, uid, uid)?;
    Err(Command::new(program).exec())
}

/// Executes `command` with descriptor `fd` holding a detached copy of the mount at `path`.
fn detached(path: &OsString, fd: i32, command: &[OsString]) -> io::Result<()> {
    use rustix::mount::{OpenTreeFlags, open_tree};
    let mount = open_tree(rustix::fs::CWD, path.as_os_str(), OpenTreeFlags::OPEN_TREE_CLONE)?;
    // SAFETY: takes two numbers; the probe owns no descriptor but 0 to 2 and `mount`.
    if unsafe { libc::dup2(mount.as_raw_fd(), fd) } == -1 {
        return Err(io::Error::last_os_error());
    }
    drop(mount);
    let [program, words @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
    Err(Command::new(program).args(words).exec())
}

/// The old way out of a chroot: change the root to a folder below, with the working directory
/// outside of it, and climb. Then looks for `path`.
fn escape(path: &OsString) -> io::Result<()> {
    let inside = fs::File::open("/")?;
    fs::create_dir_all("/tmp/pit")?;
    chroot("/tmp/pit")?;
    fchdir(&inside)?;
    for _ in 0..64 {
        chdir("..")?;
    }
    chroot(".")?;
    fs::metadata(path).map(drop)
}

/// Connects to an abstract socket, which belongs to a network namespace and to no file.
fn abstract_socket(name: &OsString) -> io::Result<()> {
    let address = SocketAddr::from_abstract_name(name.as_encoded_bytes())?;
    UnixStream::connect_addr(&address).map(drop)
}

/// Sends each word as a datagram to the service manager.
fn notify(words: &[OsString]) -> io::Result<()> {
    let path = std::env::var_os("NOTIFY_SOCKET").ok_or(io::Error::other("no NOTIFY_SOCKET"))?;
    let socket = UnixDatagram::unbound()?;
    let address = match path.as_encoded_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&path)?,
    };
    for word in words {
        socket.send_to_addr(word.as_encoded_bytes(), &address)?;
    }
    Ok(())
}

//! The lock of a file that a namespace is to be pinned at: of several chains that come at the same
//! moment one makes the namespace.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use chain::sys::{self, Forked};
use chain::{Error, Result, ResultExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, Signal, WaitOptions, pidfd_send_signal, waitpid};

/// How long another chain is waited for. It holds the lock while it makes its namespace: moments.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Locks `fd`, which is `file`, or fails once another process has held the lock for too long:
/// whoever can open a file can lock it, who only reads it too.
pub fn lock(fd: &OwnedFd, file: &Path) -> Result<()> {
    let what = "can't lock";
    match flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(()),
        Err(Errno::WOULDBLOCK) => {}
        Err(errno) => return Err(errno).or_fail_on(what, file),
    }
    if wait(fd)? {
        return Ok(());
    }
    let inode = fstat(fd).or_fail_on("can't examine", file)?.st_ino;
    Err(Error::new(what)
        .object(file)
        .reason(format!("another process holds the lock (/proc/locks: inode {inode})"))
        .hint("whoever may read the file can do that: without the file, one is made that only its owner can open"))
}

/// Waits for the lock; false if it can't be had in time. flock(2) knows no timeout, so a child waits
/// for it: the lock is the open file's, and so this process's too.
fn wait(fd: &OwnedFd) -> Result<bool> {
    let parent = nix::unistd::getpid();
    // As in `outsider`.
    sys::set_ignored(chain::signal::Signal::CHLD.number(), false).or_fail("can't reset SIGCHLD")?;
    match sys::fork(0, None).or_fail("can't fork")? {
        Forked::Child => {
            let is_orphan = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
                .is_err()
                || nix::unistd::getppid() != parent;
            let locked =
                !is_orphan && retry_on_intr(|| flock(fd, FlockOperation::LockExclusive)).is_ok();
            sys::exit_now(u8::from(!locked));
        }
        Forked::Parent { pid, pidfd } => {
            let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
            let told = retry_on_intr(|| poll(&mut ended, Some(&PATIENCE)));
            if told.or_fail("can't wait for a lock")? == 0 {
                // It may have ended in between, with the lock.
                let _ = pidfd_send_signal(pidfd.as_fd(), Signal::KILL);
            }
            let status = retry_on_intr(|| waitpid(Pid::from_raw(pid), WaitOptions::empty()))
                .or_fail("can't wait for a lock")?;
            Ok(status.is_some_and(|(_, status)| status.exit_status() == Some(0)))
        }
    }
}

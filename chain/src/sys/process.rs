//! Processes: fork into namespaces and cgroups, wait, end.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::checked;

/// linux/sched.h; libc's constant is too narrow for it.
pub(super) const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which process this is after [`fork`].
#[derive(Debug)]
pub enum Forked {
    /// The old one.
    Parent {
        /// The child's id in this process's PID namespace.
        pid: i32,
        /// The child, whatever happens to its id; close-on-exec.
        pidfd: OwnedFd,
    },
    /// The new one.
    Child,
}

/// Forks, the child being put in new namespaces (`CLONE_NEW*` in `flags`) and into `cgroup` from
/// its first instruction on. clone(2) suffices unless a cgroup or CLONE_NEWTIME asks for clone3
/// (Linux 5.7), which seccomp profiles of container engines refuse.
pub fn fork(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    let mut pidfd: RawFd = -1;
    let flags = flags | libc::CLONE_PIDFD as u64;
    let pid = if cgroup.is_some() || flags & libc::CLONE_NEWTIME as u64 != 0 {
        // SAFETY: an all-zero clone_args is valid.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = flags;
        args.pidfd = (&raw mut pidfd) as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        if let Some(cgroup) = cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd() as u64;
        }
        // SAFETY: without CLONE_VM the child gets its own copy of all memory and the same stack,
        // as with fork(2); the process has one thread, so no lock is held by another.
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) }
    } else {
        // SAFETY: as above; a null stack means the caller's, and the third argument is where
        // x86_64 and aarch64 both store the pidfd.
        unsafe {
            libc::syscall(
                libc::SYS_clone,
                flags | libc::SIGCHLD as u64,
                0_usize,
                &raw mut pidfd,
                0_usize,
                0_usize,
            )
        }
    };
    match checked(pid)? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent {
            pid: pid as i32,
            // SAFETY: the kernel stored a new descriptor there, in the parent only.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Ends the process at once: no destructors, no exit handlers, which a forked child must not run.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit never returns and needs no state of this program.
    unsafe { libc::_exit(status.into()) }
}

/// The user namespace that owns namespace `fd` (NS_GET_USERNS, ioctl_ns(2)); EPERM if it lies
/// outside of the caller's.
pub fn owning_user_namespace(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: u64 = 0xb701;
    // SAFETY: this request takes no argument and returns a new descriptor.
    let owner = checked(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_USERNS as _) }.into())?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(owner as RawFd) })
}

/// What waitpid(2) says of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It called exit(3) with this status.
    Exited(u8),
    /// This signal ended it.
    Signaled(i32),
    /// This signal stopped it.
    Stopped(i32),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Exited(code) => write!(f, "exited with {code}"),
            Change::Signaled(signal) => write!(f, "killed by signal {signal}"),
            Change::Stopped(signal) => write!(f, "stopped by signal {signal}"),
        }
    }
}

/// Collects one change of state of any child, or `None` if there is none now; ECHILD if there is
/// no child. (`nix` knows no real-time signals here.)
pub fn wait_any() -> io::Result<Option<(i32, Change)>> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::WUNTRACED) };
    let pid = checked(pid.into())? as i32;
    let change = if libc::WIFEXITED(status) {
        Change::Exited(libc::WEXITSTATUS(status) as u8)
    } else if libc::WIFSIGNALED(status) {
        Change::Signaled(libc::WTERMSIG(status))
    } else {
        Change::Stopped(libc::WSTOPSIG(status))
    };
    Ok((pid != 0).then_some((pid, change)))
}

/// Lets the same user's processes copy this one's descriptors where Yama restricts that to
/// ancestors (PR_SET_PTRACER(2const)); without Yama there is nothing to be done.
pub fn allow_descriptor_access() -> io::Result<()> {
    // SAFETY: this prctl takes an integer.
    let result = unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
    match checked(result.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error),
        _ => Ok(()),
    }
}

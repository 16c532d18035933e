//! What happens in the child between fork and exec: from the test runner to the user who types
//! the chain.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid, setsid, write};

use crate::{User, sys};

/// All that the child needs, prepared before the fork, after which nothing may be allocated.
#[derive(Debug)]
pub struct Birth {
    /// The cgroups to enter.
    pub doors: Vec<OwnedFd>,
    /// Who to become.
    pub ids: Option<(Uid, Gid)>,
    /// The supplementary groups.
    pub groups: Vec<Gid>,
    /// Files and folders to lay over others, in a mount namespace of the chain's own.
    pub covers: Vec<(CString, CString)>,
    /// Descriptors to inherit, each at its number.
    pub descriptors: Vec<(OwnedFd, RawFd)>,
    /// Descriptors among 0, 1 and 2 to close.
    pub closed: Vec<RawFd>,
    /// Signals to ignore.
    pub ignored: Vec<Signal>,
    /// Signals to block.
    pub blocked: SigSet,
    /// Whether stdin is a terminal that the chain is to be in control of.
    pub terminal: bool,
}

impl Birth {
    /// One in which nothing is changed but who runs the chain, and which signals it blocks: none.
    pub fn of(user: User) -> Birth {
        let ids = (Uid::from_raw(user.uid()), Gid::from_raw(user.gid()));
        Birth {
            doors: Vec::new(),
            // Only root becomes somebody else.
            ids: User::suite_is_root().then_some(ids),
            groups: Vec::new(),
            covers: Vec::new(),
            descriptors: Vec::new(),
            closed: Vec::new(),
            ignored: Vec::new(),
            blocked: SigSet::empty(),
            terminal: false,
        }
    }

    /// Has it happen in the child of `command`.
    pub fn prepare(self, command: &mut Command) {
        sys::in_the_child(command, move || self.happen());
    }

    fn happen(&self) -> io::Result<()> {
        for door in &self.doors {
            write(door, b"0")?;
        }
        self.cover()?;
        if let Some((uid, gid)) = self.ids {
            setgroups(&self.groups)?;
            setresgid(gid, gid, gid)?;
            setresuid(uid, uid, uid)?;
        }
        if self.terminal {
            setsid()?;
            sys::control_terminal()?;
        }
        umask(Mode::from_bits_truncate(0o022));
        // What the test runner itself has inherited is not the chain's.
        sys::close_from_on_exec(3)?;
        for (fd, number) in &self.descriptors {
            sys::put_at(fd.as_fd(), *number)?;
        }
        for number in &self.closed {
            sys::close(*number);
        }
        // nohup(1) before the test runner is not the chain's.
        sys::forget_ignored_signals();
        for signal in &self.ignored {
            sys::ignore(*signal as i32)?;
        }
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.blocked), None)?;
        Ok(())
    }

    fn cover(&self) -> io::Result<()> {
        if self.covers.is_empty() {
            return Ok(());
        }
        unshare(CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        for (source, target) in &self.covers {
            mount(Some(source.as_c_str()), target.as_c_str(), none, MsFlags::MS_BIND, none)?;
        }
        Ok(())
    }
}

/// A path as the kernel takes it.
pub fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("a path has no NUL")
}

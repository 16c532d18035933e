//! The next link of the chain: what it is, what it is given, and how it is started.

mod exec;
mod inherited;

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd, RawFd};

use crate::descriptors;
use crate::environment::Environment;
use crate::error::{Error, Result, ResultExt};
use crate::handover::Handover;
use crate::image;
use crate::leash;
use crate::names;
use crate::signal::Given;
use crate::start::Start;
use crate::sys;
use crate::terminal::Terminal;
use crate::toolbox::Toolbox;

pub(crate) use exec::c_string;

/// The next link, and all that passes through this one to it.
#[derive(Debug)]
pub struct Next {
    command: Vec<OsString>,
    environment: Environment,
    given: Given,
    toolbox: Toolbox,
    leash: Option<OwnedFd>,
    /// `--keep-fd` of this link and those before.
    keep: Vec<RawFd>,
    /// The descriptors of LISTEN_FDS, if they are for this process.
    listen: Vec<RawFd>,
    mount_namespace: Option<u64>,
    /// This link has changed what an exec goes by.
    needs_exec: bool,
    /// This program's file is from the root that the next link will be in, or from the toolbox.
    is_in_own_root: bool,
    /// The controlling terminal.
    pub(crate) terminal: Option<Terminal>,
}

impl Next {
    /// Takes stock of what this process was given, and closes everything else to the next exec.
    pub(crate) fn new(
        command: Vec<OsString>,
        mut environment: Environment,
        handover: Option<Handover>,
        keep_fd: &[RawFd],
    ) -> Result<Self> {
        let terminal = match &handover {
            None => Terminal::of_this_session()?,
            Some(handover) => Terminal::handed_on(handover.foreground)?,
        };
        let handover = handover.unwrap_or_default();
        let mut given = Given::at_start().or_fail("can't read the signal mask")?;
        if let Some(mask) = handover.mask {
            given.mask = mask;
        }
        let listen = descriptors::listen_fds(&environment)?;
        let mut keep = handover.keep;
        let next_is_ours = command.first().is_some_and(|word| names::is_ours(word));
        for &fd in keep_fd {
            descriptors::check_kept(fd, next_is_ours)?;
            if !keep.contains(&fd) {
                keep.push(fd);
            }
        }
        descriptors::close_all_on_exec()?;
        let adopted = handover.leash.map(sys::adopt).transpose();
        let leash = adopted.or_fail("can't take over the leash")?;
        if !listen.is_empty() {
            // It names the first link's pidfd of itself (systemd 260), not the app's.
            environment.remove("LISTEN_PIDFDID");
        }
        Ok(Next {
            command,
            environment,
            given,
            toolbox: Toolbox::from_handover(handover.toolbox)?,
            leash,
            keep,
            listen,
            mount_namespace: handover.mount_namespace,
            needs_exec: false,
            is_in_own_root: true,
            terminal,
        })
    }

    /// The words of the next link.
    pub fn command(&self) -> &[OsString] {
        &self.command
    }

    /// The environment of the next link, to be changed.
    pub fn environment(&mut self) -> &mut Environment {
        &mut self.environment
    }

    /// The inode of the mount namespace that a link before this one made for the chain.
    pub fn mount_namespace(&self) -> Option<u64> {
        self.mount_namespace
    }

    /// Has the next link be executed even where this process could go on as it (see `image`), unless an
    /// exec would leave this process the capabilities and labels that it has by now.
    pub fn exec_anew_unless(&mut self, changes_nothing: bool) {
        self.needs_exec |= !changes_nothing;
    }

    /// Tells the links to come that this mount namespace was made for the chain.
    pub fn set_mount_namespace(&mut self, inode: Option<u64>) {
        self.mount_namespace = inode;
    }

    /// Gives the links to come the toolbox `folder`, a detached mount.
    pub fn set_toolbox(&mut self, folder: OwnedFd) {
        self.toolbox = Toolbox::Detached(folder);
        self.is_in_own_root = false;
    }

    /// Whether the toolbox has been detached already by a link before.
    pub fn has_detached_toolbox(&self) -> bool {
        matches!(self.toolbox, Toolbox::Detached(_))
    }

    /// The folder that the next link is executed from, if it is one of ours: for a rule that is
    /// to let it through.
    pub fn own_folder(&self) -> Result<Option<OwnedFd>> {
        match self.command.first() {
            Some(word) if names::is_ours(word) => self.toolbox.open().map(Some),
            _ => Ok(None),
        }
    }

    /// What this process may go on by as the next link, in place of an exec.
    pub(crate) fn follower(&self) -> Option<fn(Start) -> !> {
        let name = self.command.first().filter(|_| !self.needs_exec)?.to_str()?;
        image::follower(name, self.is_in_own_root)
    }

    /// In a forked child: a descriptor that is hung up once the monitor is gone (poll(2)).
    pub fn leash(&self) -> Result<OwnedFd> {
        let leash = self.leash.as_ref().ok_or_else(|| Error::new("no monitor"))?;
        leash.try_clone().or_fail("can't duplicate a descriptor")
    }

    /// Runs `change`, which changes credentials, without coming loose from the monitor.
    pub fn change_credentials<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        leash::rearm(self.leash.as_ref().map(AsFd::as_fd), change)
    }

    /// Whether the next link is one of ours and is executed from the toolbox that was detached.
    pub(crate) fn passes_toolbox_on(&self) -> bool {
        self.has_detached_toolbox() && self.command.first().is_some_and(|word| names::is_ours(word))
    }

    /// Lets go of the toolbox, where no link to come is executed from it.
    pub(crate) fn close_toolbox(&mut self) {
        self.toolbox = Toolbox::BesideThis;
    }

    /// In the child after the fork: takes the leash, and rewrites the variables that name a
    /// process, if they named the one that forked. Another's number has no meaning in a new PID
    /// namespace, where it may be this child's by chance: such a variable goes.
    pub(crate) fn become_child(&mut self, leash: OwnedFd, forker: u32, new_pid_namespace: bool) {
        self.leash = Some(leash);
        for name in ["LISTEN_PID", "WATCHDOG_PID"] {
            let named = self.environment.get(name).and_then(OsStr::to_str);
            if named.and_then(|pid| pid.parse().ok()) == Some(forker) {
                self.environment.set(name, std::process::id().to_string());
            } else if new_pid_namespace {
                self.environment.remove(name);
            }
        }
    }
}

//! Going in: what is opened before, the one setns(2), and what is done behind it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use chain::procfs::Procfs;
use chain::{Errno, Error, Next, Result, ResultExt};
use confine::seccomp::Filters;
use nix::sched::{CloneFlags, setns};
use rustix::fs::{Mode, OFlags, openat};

use super::cgroups::Doors;
use super::privileges::Privileges;
use super::target::Target;
use super::toolbox::Toolbox;
use super::{NsEnter, not_dumpable};
use crate::namespaces::Kind;

/// All that is needed inside, gathered outside.
#[derive(Debug)]
pub(super) struct Entry {
    target: Target,
    kinds: Vec<Kind>,
    doors: Doors,
    /// The container's root and the working directory of its process.
    places: Option<(OwnedFd, OwnedFd)>,
    privileges: Option<Privileges>,
    toolbox: Option<Toolbox>,
}

impl Entry {
    /// Reads and opens all that is needed of `target`, then makes sure that it was `target`'s.
    pub(super) fn prepare(
        arguments: &NsEnter,
        procfs: &Procfs,
        target: Target,
        kinds: Vec<Kind>,
        everything: bool,
        next: &mut Next,
    ) -> Result<Self> {
        let has = |kind| kinds.contains(&kind);
        let pid = target.pid;
        let doors = match (everything || arguments.cgroup) && !arguments.no_cgroup {
            true => Doors::of(procfs, pid)?,
            false => Doors::default(),
        };
        let places = if has(Kind::Mount) {
            Some((folder(procfs, pid, "root")?, folder(procfs, pid, "cwd")?))
        } else {
            None
        };
        let exposed = has(Kind::Mount) || has(Kind::Pid) || has(Kind::User);
        let privileges = match (exposed, arguments.privileged) {
            (false, _) => None,
            (true, true) => has(Kind::User).then(Privileges::of_root),
            (true, false) => {
                Some(Privileges::of(procfs, pid, has(Kind::User), &arguments.seccomp, next)?)
            }
        };
        let toolbox = match &arguments.toolbox {
            Some(_) if !has(Kind::Mount) => {
                return Err(Error::new("--toolbox needs the mount namespace").hint("add --mount"));
            }
            Some(folder) => Some(Toolbox::open(folder)?),
            None => None,
        };
        target.check(procfs)?;
        Ok(Entry { target, kinds, doors, places, privileges, toolbox })
    }

    /// Whether the container's namespace of `kind` is joined.
    pub(super) fn joins(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// Joins the cgroup, so that its limits hold from the first moment inside; then all namespaces
    /// at once.
    pub(super) fn go_in(&self) -> Result<()> {
        self.doors.pass()?;
        if let Some(privileges) = &self.privileges {
            privileges.take_groups_outside()?;
        }
        let flags = self.kinds.iter().fold(0, |flags, kind| flags | kind.flag());
        if flags != 0 {
            let flags = CloneFlags::from_bits_retain(flags as i32);
            setns(self.target.pidfd(), flags).or_fail("can't join the namespaces").map_err(
                |error| {
                    error.hint_if(
                        Errno::EPERM,
                        "that needs CAP_SYS_ADMIN, which joining the user namespace gives its owner: add --user",
                    )
                },
            )?;
        }
        not_dumpable()
    }

    /// Takes the container's place as its own process has it, and its privileges; the seccomp
    /// filters are to be loaded last.
    pub(super) fn settle(self, next: &mut Next) -> Result<Filters> {
        let Entry { target, doors, places, privileges, toolbox, .. } = self;
        drop((target, doors));
        if let Some((root, place)) = places {
            let what = "can't enter the container's root";
            nix::unistd::fchdir(&root).or_fail(what)?;
            nix::unistd::chroot(".").or_fail(what)?;
            drop(root);
            if let Some(toolbox) = toolbox {
                toolbox.bring(next)?;
            }
            nix::unistd::fchdir(&place).or_fail(what)?;
            drop(place);
            // A working directory of no name here would be a way out (CVE-2024-21626).
            if !nix::unistd::getcwd().is_ok_and(|place| place.is_absolute()) {
                nix::unistd::chdir("/").or_fail(what)?;
            }
        }
        match privileges {
            Some(privileges) => next.change_credentials(|| {
                let filters = privileges.become_them()?;
                not_dumpable().map(|()| filters)
            }),
            None => Ok(Filters::default()),
        }
    }
}

/// `--chdir`, with the privileges of COMMAND.
pub(super) fn change_directory(folder: &Path) -> Result<()> {
    let what = "can't change to the directory";
    nix::unistd::chdir(folder).or_fail_on(what, folder)?;
    if !nix::unistd::getcwd().or_fail_on(what, folder)?.is_absolute() {
        return Err(Error::new(what).object(folder).reason("it lies outside of the root"));
    }
    Ok(())
}

/// Where the magic link /proc/`pid`/`link` leads.
fn folder(procfs: &Procfs, pid: i32, link: &str) -> Result<OwnedFd> {
    let process = procfs.file(&pid.to_string(), OFlags::PATH | OFlags::DIRECTORY)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(process.as_fd(), link, flags, Mode::empty())
        .or_fail_on("can't open", format!("/proc/{pid}/{link}"))
}

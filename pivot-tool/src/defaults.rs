//! The file systems that a program expects of Linux, as harmless as they can be.

use std::os::fd::AsFd;
use std::path::Path;

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt, namespace};
use clap::ValueEnum;
use rustix::fs::{OFlags, readlinkat, symlinkat};
use rustix::mount::MountAttrFlags;

use crate::mount::{Mount, NOEXEC, RDONLY, SAFE, Setting, attach_failed};
use crate::place::{self, Kind};
use crate::tree::{Tree, Whose};
use crate::{device, mask};

/// The inode of the first cgroup namespace (PROC_CGROUP_INIT_INO, linux/proc_ns.h).
pub const FIRST_CGROUP_NAMESPACE: u64 = 0xefff_fffb;

/// Links in a new /dev, and what they lead to.
pub const LINKS: &[(&str, &str)] = &[
    ("ptmx", "pts/ptmx"),
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];

/// Which /proc or /sys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kernel {
    /// A new one, of the namespaces that this process is in
    New,
    /// The one of the current root
    Bind,
    /// None
    None,
}

/// Which /dev.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dev {
    /// null, zero, full, random, urandom, tty, pts, shm, mqueue, console if there is a terminal
    Minimal,
    /// The one of the current root
    Host,
    /// None
    None,
}

/// What may be done to the cgroups that /sys/fs/cgroup shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Cgroups {
    #[default]
    /// Look at them, where the cgroup namespace is one's own
    Ro,
    /// Make and change those below the cgroup where the cgroup namespace was made
    Rw,
}

/// The choice among them.
#[derive(Debug)]
pub struct Defaults {
    /// Which /proc.
    pub proc: Kernel,
    /// Which /sys; undecided, it is a new one where that is allowed.
    pub sys: Option<Kernel>,
    /// What may be done below /sys/fs/cgroup.
    pub cgroups: Cgroups,
    /// Which /dev.
    pub dev: Dev,
    /// A new /run and /tmp.
    pub scratch: bool,
}

impl Defaults {
    /// The top folders where something is mounted.
    pub fn tops(&self) -> Vec<&'static str> {
        let chosen = [
            (self.proc != Kernel::None, "proc"),
            (self.sys != Some(Kernel::None), "sys"),
            (self.dev != Dev::None, "dev"),
            (self.scratch, "run"),
            (self.scratch, "tmp"),
        ];
        chosen.into_iter().filter(|(chosen, _)| *chosen).map(|(_, name)| name).collect()
    }

    /// Mounts them.
    pub fn mount(&self, tree: &mut Tree, procfs: &Procfs) -> Result<()> {
        self.mount_proc(tree)?;
        self.mount_sys(tree, procfs)?;
        match self.dev {
            Dev::Minimal => {
                let dev = tmpfs("0755", SAFE | NOEXEC)?;
                attach_top(tree, &dev, "/dev", Whose::Own)?;
                fill_dev(&dev, procfs)?;
            }
            Dev::Host => {
                let dev = bind("/dev", MountAttrFlags::MOUNT_ATTR_NOSUID | NOEXEC)?;
                attach_top(tree, &dev, "/dev", Whose::Bound)?;
            }
            Dev::None => {}
        }
        if self.scratch {
            tree.mount(&tmpfs("0755", SAFE)?, Path::new("/run"), Kind::Folder, Whose::Own)?;
            tree.mount(&tmpfs("1777", SAFE)?, Path::new("/tmp"), Kind::Folder, Whose::Own)?;
        }
        Ok(())
    }

    fn mount_proc(&self, tree: &mut Tree) -> Result<()> {
        let proc = match self.proc {
            Kernel::New => new_proc()?,
            Kernel::Bind => bind("/proc", SAFE | NOEXEC)?,
            Kernel::None => return Ok(()),
        };
        attach_top(tree, &proc, "/proc", Whose::Bound)?;
        mask::Masks::new()?.hide_all(&proc, mask::PROC_HIDDEN)?;
        mask::make_all_read_only(&proc, mask::PROC_READ_ONLY)
    }

    /// A sysfs shows the network namespace of who mounts it, and only its owner may; otherwise the
    /// host's is shown.
    fn mount_sys(&self, tree: &mut Tree, procfs: &Procfs) -> Result<()> {
        let attributes = SAFE | NOEXEC | RDONLY;
        let sys = match self.sys {
            Some(Kernel::New) => new_sys(attributes)?,
            Some(Kernel::Bind) => bind("/sys", attributes)?,
            Some(Kernel::None) if self.cgroups == Cgroups::Rw => {
                return Err(not_writable().reason("there is no /sys"));
            }
            Some(Kernel::None) => return Ok(()),
            None => match unless_of_others(new_sys(attributes), procfs, "net")? {
                Some(sys) => sys,
                None => bind("/sys", attributes)?,
            },
        };
        attach_top(tree, &sys, "/sys", Whose::Bound)?;
        self.mount_cgroup(&sys, procfs)?;
        let mut masks = mask::Masks::new()?;
        masks.hide_all(&sys, mask::SYS_HIDDEN)?;
        masks.hide_all(&sys, &mask::thermal_throttle(sys.as_fd())?)
    }

    /// A cgroup2 that begins at the cgroup of who made the cgroup namespace. In the host's own no
    /// new one is mounted: that would reset the mount options of the hierarchy for the whole host.
    fn mount_cgroup(&self, sys: &Mount, procfs: &Procfs) -> Result<()> {
        let own = namespace::open(procfs, &procfs.own_id()?, "cgroup")?;
        if namespace::inode(own)? == FIRST_CGROUP_NAMESPACE {
            return self.without_cgroup();
        }
        let attributes = match self.cgroups {
            Cgroups::Ro => SAFE | NOEXEC | RDONLY,
            Cgroups::Rw => SAFE | NOEXEC,
        };
        let place = match place::open_plain(sys.as_fd(), Path::new("fs/cgroup"), OFlags::PATH) {
            Ok(place) => place,
            // A kernel without cgroups.
            Err(rustix::io::Errno::NOENT) if self.cgroups == Cgroups::Ro => return Ok(()),
            Err(errno) => return Err(errno).or_fail_on("can't open", "/sys/fs/cgroup"),
        };
        let made = Mount::new("cgroup2", &[], attributes);
        match unless_of_others(made, procfs, "cgroup")? {
            Some(mount) => mount
                .attach(place)
                .map_err(|errno| attach_failed("can't mount at", "/sys/fs/cgroup", errno)),
            None => self.without_cgroup(),
        }
    }

    /// What is left where the cgroup namespace is somebody else's.
    fn without_cgroup(&self) -> Result<()> {
        match self.cgroups {
            Cgroups::Ro => Ok(()),
            Cgroups::Rw => Err(not_writable()
                .reason("all cgroups of the host would be there")
                .hint("it takes a cgroup namespace of one's own: ns-unshare --cgroup")),
        }
    }
}

/// The current root's, with all that is mounted below it.
fn bind(path: &str, attributes: MountAttrFlags) -> Result<Mount> {
    let place = place::host(Path::new(path), OFlags::DIRECTORY)?;
    let copy = Mount::copy_of(place, true).or_fail_on("can't bind", path)?;
    copy.restrict(attributes)?;
    Ok(copy)
}

fn tmpfs(mode: &str, attributes: MountAttrFlags) -> Result<Mount> {
    Mount::new("tmpfs", &[Setting::Value("mode", mode)], attributes)
}

/// Mounts at a top folder that programs trust by its name, and that must not be a link therefore.
fn attach_top(tree: &mut Tree, mount: &Mount, path: &str, whose: Whose) -> Result<()> {
    let what = "can't mount at";
    match readlinkat(tree.root(), path.trim_start_matches('/'), Vec::new()) {
        Ok(_) => {
            let error = Error::new(what).object(path);
            return Err(error.reason("it is a symbolic link in the image"));
        }
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(Error::new(what).object(path).because(errno)),
    }
    tree.mount(mount, Path::new(path), Kind::Folder, whose)
}

fn new_proc() -> Result<Mount> {
    Mount::new("proc", &[], SAFE | NOEXEC).map_err(|error| {
        error.hint_if(
            Errno::EPERM,
            "it takes a PID namespace of one's own (ns-unshare --pid), and a /proc in this mount namespace that nothing is mounted over; --proc=bind shows that one",
        )
    })
}

fn new_sys(attributes: MountAttrFlags) -> Result<Mount> {
    Mount::new("sysfs", &[], attributes).map_err(|error| {
        error.hint_if(
            Errno::EPERM,
            "it takes a network namespace of one's own, and a /sys in this mount namespace that nothing is mounted over; --sys=bind shows that one",
        )
    })
}

fn not_writable() -> Error {
    Error::new("can't give write access to").object("/sys/fs/cgroup")
}

fn fill_dev(dev: &Mount, procfs: &Procfs) -> Result<()> {
    let what = "can't make in /dev";
    for &(name, number) in device::MINIMAL {
        let node = device::open((name, number))?;
        attach_in(dev, &device::mount(&node)?, name, Kind::File)?;
    }
    for &(name, target) in LINKS {
        symlinkat(target, dev, name).or_fail_on(what, name)?;
    }
    let nosuid_noexec = MountAttrFlags::MOUNT_ATTR_NOSUID | NOEXEC;
    let terminals = [
        Setting::Flag("newinstance"),
        Setting::Value("ptmxmode", "0666"),
        Setting::Value("mode", "0620"),
    ];
    let pts = Mount::new("devpts", &terminals, nosuid_noexec)?;
    attach_in(dev, &pts, "pts", Kind::Folder)?;
    attach_in(dev, &tmpfs("1777", SAFE | NOEXEC)?, "shm", Kind::Folder)?;
    if let Some(terminal) = device::terminal(procfs)? {
        attach_in(dev, &device::mount(&terminal)?, "console", Kind::File)?;
    }
    let queues = Mount::new("mqueue", &[], SAFE | NOEXEC);
    match unless_of_others(queues, procfs, "ipc")? {
        Some(queues) => attach_in(dev, &queues, "mqueue", Kind::Folder),
        None => Ok(()),
    }
}

/// A file system that shows a namespace, or none where that namespace belongs to a user namespace
/// outside of ours: only then may the kernel refuse it. Two system calls must say so, that none
/// which fails for another reason leaves the file system out.
fn unless_of_others(made: Result<Mount>, procfs: &Procfs, kind: &str) -> Result<Option<Mount>> {
    match made {
        Ok(mount) => Ok(Some(mount)),
        Err(error) if error.errno() != Some(Errno::EPERM) => Err(error),
        Err(error) if namespace::is_owned(procfs, kind)? => Err(error),
        Err(_) => Ok(None),
    }
}

/// Mounts at a new place `name` in `folder`.
fn attach_in(folder: &Mount, mount: &Mount, name: &str, kind: Kind) -> Result<()> {
    let place =
        place::make(folder.as_fd(), &[name.into()], kind).or_fail_on("can't make in /dev", name)?;
    mount.attach(place).map_err(|errno| attach_failed("can't mount in /dev", name, errno))
}

//! `fs-pivot --explain`: what is mounted where, one line each: `at PLACE: WHAT (ATTRIBUTES)`.

mod root;

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use chain::explain::{self, Explanation, word};
use chain::procfs::Procfs;
use chain::{Result, namespace};
use rustix::fs::OFlags;
use rustix::mount::MountAttrFlags;

use crate::defaults::{Cgroups, Defaults, Dev, FIRST_CGROUP_NAMESPACE, Kernel, LINKS};
use crate::mount::{NOEXEC, RDONLY, SAFE};
use crate::private::Propagation;
use crate::spec::Extra;
use crate::{FsPivot, HOSTS, MACHINE_ID, device, mask, place};

/// The change that a notify-bridge before this link makes: NOTIFY_SOCKET names its socket.
const NOTIFY: &str = "notify";

impl FsPivot {
    pub(crate) fn say(&self, to: &mut Explanation) -> Result<()> {
        let procfs = Procfs::open()?;
        to.step(match self.propagation {
            Propagation::Private => "makes every mount private: none passes to the host or from it",
            Propagation::Slave => {
                "makes every mount a slave: later mounts of the host appear in what is bound"
            }
        });
        to.step("takes the folder of the tools along, read-only: the links to come are executed from there");
        let defaults = self.defaults();
        let socket = notify_place(&defaults, to);
        let parts = self.parts(&defaults, socket.clone())?;
        match to.is_changed(explain::ROOT) {
            true => {
                to.step(format!("at /: {} of the root that it is in by then", word(&self.root)))
            }
            false => self.source(&parts).say(&procfs, to)?,
        }
        defaults.say(&procfs, to)?;
        for (wanted, place, what) in [
            (self.etc_hosts, HOSTS, "a new file with the loopback and the own host name"),
            (self.machine_id, MACHINE_ID, "a new file of random"),
        ] {
            if wanted {
                at(to, place, what, SAFE);
            }
        }
        self.extras.0.iter().for_each(|extra| extra.say(to));
        if let Some(place) = socket {
            at(
                to,
                place,
                "the socket of NOTIFY_SOCKET, which is set to that",
                SAFE | NOEXEC | RDONLY,
            );
        }
        to.step("makes mountpoints that are missing in memory only, never in ROOT");
        to.step(match self.on_rootfs {
            true => "covers the initramfs with this tree (chroot)",
            false => "makes this tree the root (pivot_root) and unmounts the old one",
        });
        to.step(format!("starts what follows in {}", word(self.chdir())));
        to.change(explain::ROOT);
        Ok(())
    }
}

/// Where the socket of NOTIFY_SOCKET goes, if there is one.
fn notify_place(defaults: &Defaults, to: &Explanation) -> Option<PathBuf> {
    let named = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from);
    let named = named.filter(|path| path.is_absolute());
    match (to.is_changed(NOTIFY), named) {
        (false, None) => None,
        (false, Some(path)) if !defaults.scratch => Some(path),
        _ => Some("/run/notify".into()),
    }
}

fn at(to: &mut Explanation, place: impl AsRef<Path>, what: &str, attributes: MountAttrFlags) {
    let names = [
        (MountAttrFlags::MOUNT_ATTR_NOSUID, "nosuid"),
        (MountAttrFlags::MOUNT_ATTR_NODEV, "nodev"),
        (NOEXEC, "noexec"),
        (RDONLY, "ro"),
    ];
    let set = names.iter().filter(|(flag, _)| attributes.contains(*flag));
    let set: Vec<&str> = set.map(|(_, name)| *name).collect();
    let set = if set.is_empty() { String::new() } else { format!(" ({})", set.join(",")) };
    to.step(format!("at {}: {what}{set}", word(place.as_ref())));
}

/// Whether namespace `kind` will belong to the user namespace of this link.
fn is_owned(to: &Explanation, procfs: &Procfs, kind: &str) -> Result<bool> {
    match (to.is_changed(kind), to.is_changed("user")) {
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) => namespace::is_owned(procfs, kind),
    }
}

/// Whether a cgroup2 can be mounted without a change to the host's.
fn has_own_cgroups(to: &Explanation, procfs: &Procfs) -> Result<bool> {
    let own = namespace::open(procfs, &procfs.own_id()?, "cgroup")?;
    let is_first = namespace::inode(own)? == FIRST_CGROUP_NAMESPACE;
    Ok((to.is_changed("cgroup") || !is_first) && is_owned(to, procfs, "cgroup")?)
}

impl Defaults {
    fn say(&self, procfs: &Procfs, to: &mut Explanation) -> Result<()> {
        match self.proc {
            Kernel::New => at(to, "/proc", "a new procfs, of the pid namespace", SAFE | NOEXEC),
            Kernel::Bind => at(to, "/proc", "the present one", SAFE | NOEXEC),
            Kernel::None => {}
        }
        if self.proc != Kernel::None {
            say_masks(to, "/proc", mask::PROC_HIDDEN, "hidden");
            say_masks(to, "/proc", mask::PROC_READ_ONLY, "read-only");
        }
        self.say_sys(procfs, to)?;
        match self.dev {
            Dev::Minimal => say_dev(procfs, to)?,
            Dev::Host => {
                at(to, "/dev", "the present one", MountAttrFlags::MOUNT_ATTR_NOSUID | NOEXEC)
            }
            Dev::None => {}
        }
        if self.scratch {
            at(to, "/run", "an empty tmpfs", SAFE);
            at(to, "/tmp", "an empty tmpfs", SAFE);
        }
        Ok(())
    }

    fn say_sys(&self, procfs: &Procfs, to: &mut Explanation) -> Result<()> {
        let attributes = SAFE | NOEXEC | RDONLY;
        let new_if_own = || match is_owned(to, procfs, "net")? {
            true => Ok(Kernel::New),
            false => Ok(Kernel::Bind),
        };
        match self.sys.map_or_else(new_if_own, Ok)? {
            Kernel::New => at(to, "/sys", "a new sysfs, of the network namespace", attributes),
            Kernel::Bind => at(to, "/sys", "the present one", attributes),
            Kernel::None => return Ok(()),
        }
        if Path::new("/sys/fs/cgroup").exists() && has_own_cgroups(to, procfs)? {
            let (what, attributes) = match self.cgroups {
                Cgroups::Ro => ("the cgroups from the present one on", attributes),
                Cgroups::Rw => {
                    ("the cgroups from the present one on, to be changed", SAFE | NOEXEC)
                }
            };
            at(to, "/sys/fs/cgroup", what, attributes);
        }
        say_masks(to, "/sys", mask::SYS_HIDDEN, "hidden");
        let sys = place::host(Path::new("/sys"), OFlags::DIRECTORY)?;
        let throttle = mask::thermal_throttle(sys.as_fd())?;
        say_masks(to, "/sys", &throttle, "hidden");
        Ok(())
    }
}

/// What is done to those of `names` that there are.
fn say_masks(to: &mut Explanation, top: &str, names: &[impl AsRef<Path>], what: &str) {
    for name in names {
        let path = Path::new(top).join(name);
        if path.symlink_metadata().is_ok() {
            at(to, path, what, MountAttrFlags::empty());
        }
    }
}

fn say_dev(procfs: &Procfs, to: &mut Explanation) -> Result<()> {
    at(to, "/dev", "a new tmpfs", SAFE | NOEXEC);
    let device = MountAttrFlags::MOUNT_ATTR_NOSUID | NOEXEC | RDONLY;
    for (name, _) in device::MINIMAL {
        at(to, Path::new("/dev").join(name), "the host's device", device);
    }
    let links: Vec<&str> = LINKS.iter().map(|(name, _)| *name).collect();
    to.step(format!("makes the usual links in /dev: {}", links.join(" ")));
    at(to, "/dev/pts", "new terminals", MountAttrFlags::MOUNT_ATTR_NOSUID | NOEXEC);
    at(to, "/dev/shm", "an empty tmpfs", SAFE | NOEXEC);
    if device::terminal(procfs)?.is_some() {
        at(to, "/dev/console", "the terminal on standard input", device);
    }
    if is_owned(to, procfs, "ipc")? {
        at(to, "/dev/mqueue", "the message queues of the ipc namespace", SAFE | NOEXEC);
    }
    Ok(())
}

impl Extra {
    fn say(&self, to: &mut Explanation) {
        match self {
            Extra::Bind { source, place, attributes, recursive, idmap } => {
                let below = if *recursive { ", with all that is mounted below it" } else { "" };
                let owners = if idmap.is_empty() { "" } else { ", with other owners" };
                at(to, place, &format!("{} of the host{below}{owners}", word(source)), *attributes);
            }
            Extra::Tmpfs { place, attributes, settings } => {
                let settings: Vec<_> =
                    settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
                at(to, place, &format!("an empty tmpfs, {}", settings.join(",")), *attributes);
            }
            Extra::Mqueue(place) => {
                at(to, place, "the message queues of the ipc namespace", SAFE | NOEXEC);
            }
            Extra::Device(place) => {
                let device = MountAttrFlags::MOUNT_ATTR_NOSUID | NOEXEC | RDONLY;
                at(to, place, "the host's device", device);
            }
            Extra::Descriptor { fd, place } => {
                at(to, place, &format!("the mount that descriptor {fd} holds"), SAFE);
            }
            Extra::Copy { source, place } => {
                at(to, place, &format!("a private copy of {} of the host", word(source)), SAFE);
            }
            Extra::Mask(path) => at(to, path, "hidden", MountAttrFlags::empty()),
            Extra::ReadOnly(path) => at(to, path, "read-only", MountAttrFlags::empty()),
        }
    }
}

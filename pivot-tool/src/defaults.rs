//! The file systems that a program expects of Linux, as harmless as they can be.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt, namespace};
use rustix::fs::{OFlags, readlinkat, symlinkat};
use rustix::mount::MountAttrFlags;

use crate::mount::{Mount, NOEXEC, RDONLY, SAFE, Setting, attach_failed};
use crate::place::{self, Kind};
use crate::tree::Tree;
use crate::{device, mask};

/// Where they go: top folders.
pub const TOPS: &[&str] = &["proc", "sys", "dev", "run", "tmp"];
/// The inode of the first cgroup namespace (PROC_CGROUP_INIT_INO, linux/proc_ns.h).
const FIRST_CGROUP_NAMESPACE: u64 = 0xefff_fffb;

/// Their places as paths.
pub fn places() -> impl Iterator<Item = PathBuf> {
    TOPS.iter().map(|name| Path::new("/").join(name))
}

/// Mounts them all.
pub fn mount(tree: &mut Tree, procfs: &Procfs) -> Result<()> {
    let mut masks = mask::Masks::new()?;
    let proc = new_proc()?;
    attach_top(tree, &proc, "/proc")?;
    masks.hide(&proc, mask::PROC_HIDDEN)?;
    mask::make_read_only(&proc, mask::PROC_READ_ONLY)?;

    let sys = sys(procfs)?;
    attach_top(tree, &sys, "/sys")?;
    mount_cgroup(&sys, procfs)?;
    masks.hide(&sys, mask::SYS_HIDDEN)?;
    masks.hide(&sys, &mask::thermal_throttle(&sys)?)?;

    let dev = tmpfs("0755", SAFE | NOEXEC)?;
    attach_top(tree, &dev, "/dev")?;
    fill_dev(&dev, procfs)?;

    tree.mount_own(&tmpfs("0755", SAFE)?, Path::new("/run"))?;
    tree.mount_own(&tmpfs("1777", SAFE)?, Path::new("/tmp"))
}

fn tmpfs(mode: &str, attributes: MountAttrFlags) -> Result<Mount> {
    Mount::new("tmpfs", &[Setting::Value("mode", mode)], attributes)
}

/// Mounts at a top folder that programs trust by its name, and that must not be a link therefore.
fn attach_top(tree: &mut Tree, mount: &Mount, path: &str) -> Result<()> {
    if readlinkat(tree.root(), path.trim_start_matches('/'), Vec::new()).is_ok() {
        return Err(Error::new("can't mount at")
            .object(path)
            .reason("it is a symbolic link in the image"));
    }
    tree.mount_own(mount, Path::new(path))
}

fn new_proc() -> Result<Mount> {
    Mount::new("proc", &[], SAFE | NOEXEC).map_err(|error| {
        error.hint_if(
            Errno::EPERM,
            "it takes a PID namespace of one's own (ns-unshare --pid), and a /proc in this mount namespace that nothing is mounted over",
        )
    })
}

/// A sysfs shows the network namespace of who mounts it, and only its owner may; otherwise the
/// host's is shown.
fn sys(procfs: &Procfs) -> Result<Mount> {
    let attributes = SAFE | NOEXEC | RDONLY;
    if namespace::is_owned(procfs, "net")? {
        return Mount::new("sysfs", &[], attributes).map_err(|error| {
            error.hint_if(
                Errno::EPERM,
                "it takes a /sys in this mount namespace that nothing is mounted over",
            )
        });
    }
    let host = place::host(Path::new("/sys"), OFlags::DIRECTORY)?;
    let copy = Mount::copy_of(host, true).or_fail_on("can't bind", "/sys")?;
    copy.restrict(attributes)?;
    Ok(copy)
}

/// A cgroup2 that begins at the cgroup of who made the cgroup namespace. In the host's own no new
/// one is mounted: that would reset the mount options of the hierarchy for the whole host.
fn mount_cgroup(sys: &Mount, procfs: &Procfs) -> Result<()> {
    let own = namespace::open(procfs, &procfs.own_id()?, "cgroup")?;
    let is_first = namespace::inode(own)? == FIRST_CGROUP_NAMESPACE;
    let place = place::open_plain(sys.as_fd(), Path::new("fs/cgroup"), OFlags::PATH);
    let Ok(place) = place else {
        // A kernel without cgroups.
        return Ok(());
    };
    if is_first || !namespace::is_owned(procfs, "cgroup")? {
        return Ok(());
    }
    let mount = Mount::new("cgroup2", &[], SAFE | NOEXEC | RDONLY)?;
    mount.attach(place).map_err(|errno| attach_failed("can't mount at", "/sys/fs/cgroup", errno))
}

fn fill_dev(dev: &Mount, procfs: &Procfs) -> Result<()> {
    let what = "can't make in /dev";
    for &(name, number) in device::MINIMAL {
        let node = device::open((name, number))?;
        attach_in(dev, &device::mount(&node)?, name, Kind::File)?;
    }
    for (name, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
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
    if namespace::is_owned(procfs, "ipc")? {
        attach_in(dev, &Mount::new("mqueue", &[], SAFE | NOEXEC)?, "mqueue", Kind::Folder)?;
    }
    Ok(())
}

/// Mounts at a new place `name` in `folder`.
fn attach_in(folder: &Mount, mount: &Mount, name: &str, kind: Kind) -> Result<()> {
    let here: OwnedFd = folder.as_fd().try_clone_to_owned().or_fail("can't duplicate")?;
    let place = place::make(here, &[name.into()], kind).or_fail_on("can't make in /dev", name)?;
    mount.attach(place).map_err(|errno| attach_failed("can't mount in /dev", name, errno))
}

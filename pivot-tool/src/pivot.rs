//! Leaving the old root.

use std::os::fd::OwnedFd;
use std::path::Path;

use chain::mountinfo;
use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt, toolbox};
use rustix::fs::{OFlags, statfs};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{chroot, fchdir, getcwd, pivot_root};

use crate::mount::{Mount, RDONLY, SAFE};
use crate::place;

/// Makes `root`, attached over the old one, the root, `folder` in it the working directory, and
/// lets go of the old one with all that is mounted there.
pub fn leave_for(root: &Mount, folder: OwnedFd, name: &Path) -> Result<()> {
    fchdir(root).or_fail("can't change to the new root")?;
    // With both names the same, the old root lands on top of the new one (pivot_root(2)).
    pivot_root(".", ".").or_fail("can't make the new root the root").map_err(|error| {
        error.hint_if(
            Errno::EINVAL,
            "the current root must be a mount point (not a chroot) of this mount namespace",
        )
    })?;
    unmount(".", UnmountFlags::DETACH).or_fail("can't unmount the old root")?;
    enter(folder, name)
}

/// The same where the old root is the initramfs, which can't be left: the new root covers it.
pub fn cover_with(root: &Mount, folder: OwnedFd, name: &Path) -> Result<()> {
    fchdir(root).or_fail("can't change to the new root")?;
    chroot(".").or_fail("can't make the new root the root")?;
    enter(folder, name)
}

fn enter(folder: OwnedFd, name: &Path) -> Result<()> {
    let what = "can't change to";
    fchdir(folder).or_fail_on(what, name)?;
    // A folder outside of the root shows as "(unreachable)/..." here, and as no error.
    let reached = getcwd(Vec::new()).or_fail_on(what, name)?;
    if reached.to_bytes().starts_with(b"/") {
        Ok(())
    } else {
        Err(Error::new(what).object(name).reason("it lies outside of the new root"))
    }
}

/// Checks that the current root is the initramfs if, and only if, the user says so: a container
/// on it is weaker, since the old root stays below the new one.
pub fn check_rootfs(expected: bool, procfs: &Procfs) -> Result<()> {
    let error = Error::new("refused");
    match (is_on_initramfs(procfs)?, expected) {
        (true, false) => Err(error
            .reason("the current root is the initramfs, which pivot_root(2) can't leave")
            .hint("--on-rootfs covers it instead; programs with CAP_SYS_ADMIN can uncover it")),
        (false, true) => Err(error.reason("--on-rootfs: the current root is no initramfs")),
        _ => Ok(()),
    }
}

/// linux/magic.h; the initramfs is one of the two.
const RAMFS_MAGIC: u64 = 0x8584_58f6;
const TMPFS_MAGIC: u64 = 0x0102_1994;

fn is_on_initramfs(procfs: &Procfs) -> Result<bool> {
    let magic = statfs("/").or_fail_on("can't examine", "/")?.f_type as u64;
    if ![RAMFS_MAGIC, TMPFS_MAGIC].contains(&magic) {
        return Ok(false);
    }
    let mounts = mountinfo::read(procfs)?;
    Ok(mounts.iter().any(|mount| mount.point == Path::new("/") && mount.kind == "rootfs"))
}

/// The folder of our own tools as a mount of its own, so that it outlives the old root. The app
/// must not be able to change what it executes there.
pub fn detach_toolbox() -> Result<OwnedFd> {
    let folder = toolbox::own_folder()?;
    let place = place::host(&folder, OFlags::DIRECTORY)?;
    let what = "can't take the tools along from";
    let copy = Mount::copy_of(place, true).or_fail_on(what, &folder)?;
    copy.restrict(SAFE | RDONLY)?;
    Ok(copy.into_descriptor())
}

//! Namespaces of this process: which one, and whether it is ours to change.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, openat};

use crate::error::{Result, ResultExt};
use crate::procfs::Procfs;
use crate::sys;

/// Opens namespace `kind` (`mnt`, `net`, `user`, ...: namespaces(7)) of process `pid` as `procfs`
/// names it.
pub fn open(procfs: &Procfs, pid: &str, kind: &str) -> Result<OwnedFd> {
    let folder = procfs.file(&format!("{pid}/ns"), OFlags::PATH | OFlags::DIRECTORY)?;
    // A namespace file is a magic link, which openat2's NO_SYMLINKS would refuse.
    openat(&folder, kind, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .or_fail_on("can't open", format!("/proc/{pid}/ns/{kind}"))
}

/// The inode that tells one namespace from another.
pub fn inode(namespace: impl AsFd) -> Result<u64> {
    Ok(fstat(namespace).or_fail("can't examine a namespace")?.st_ino)
}

/// Whether this process's namespace `kind` belongs to its user namespace, so that capabilities
/// there count for it.
pub fn is_owned(procfs: &Procfs, kind: &str) -> Result<bool> {
    let own = procfs.own_id()?;
    let namespace = open(procfs, &own, kind)?;
    match sys::owning_user_namespace(namespace.as_fd()) {
        Ok(owner) => Ok(inode(owner)? == inode(open(procfs, &own, "user")?)?),
        // The owner lies outside of our user namespace.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(false),
        Err(error) => Err(error).or_fail("can't find the owner of a namespace"),
    }
}

//! Whether the mount namespace is ours to change: pivot_root(2) moves the root of every process
//! in it.

use std::os::fd::AsFd;

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, namespace};
use clap::ValueEnum;
use rustix::fs::OFlags;
use rustix::mount::MountPropagationFlags;
use rustix::process::getppid;

use crate::mount::without_privilege;
use crate::place;

/// The inode of the first user namespace (PROC_USER_INIT_INO, linux/proc_ns.h).
const FIRST_USER_NAMESPACE: u64 = 0xefff_fffd;

/// Whether this is the host's user namespace.
pub fn in_first_user_namespace(procfs: &Procfs) -> Result<bool> {
    let own = namespace::open(procfs, &procfs.own_id()?, "user")?;
    Ok(namespace::inode(own)? == FIRST_USER_NAMESPACE)
}

/// Refuses a mount namespace that other processes are in. `made` is the one that a link of this
/// chain made for it; that is proof enough. Otherwise the parent and PID 1 must be in others. If
/// that can't be seen, the namespace must at least belong to a user namespace that is not the
/// host's, and so can't be the host's.
pub fn check(procfs: &Procfs, made: Option<u64>) -> Result<()> {
    let own_id = procfs.own_id()?;
    let own = namespace::inode(namespace::open(procfs, &own_id, "mnt")?)?;
    if made == Some(own) {
        return Ok(());
    }
    // Ids mean something in the procfs of this PID namespace only.
    let mut seen_apart = own_id == std::process::id().to_string();
    if seen_apart {
        let parent = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        let init = if own_id == "1" { parent } else { 1 };
        for process in [parent, init] {
            match namespace_of(procfs, process) {
                Some(inode) if inode == own => return Err(shared()),
                Some(_) => {}
                None => seen_apart = false,
            }
        }
    }
    let apart =
        seen_apart || (!in_first_user_namespace(procfs)? && namespace::is_owned(procfs, "mnt")?);
    if apart { Ok(()) } else { Err(shared()) }
}

/// The mount namespace of another process, if it can be seen; 0 stands for a parent outside of
/// this PID namespace.
fn namespace_of(procfs: &Procfs, process: i32) -> Option<u64> {
    if process == 0 {
        return None;
    }
    namespace::inode(namespace::open(procfs, &process.to_string(), "mnt").ok()?).ok()
}

fn shared() -> Error {
    Error::new("refused to change the root of other processes")
        .reason("this mount namespace is not shown to be this chain's own")
        .hint("put 'ns-unshare --' (or 'ns-unshare --mount --') before fs-pivot")
}

/// Whether mounts that the host makes later show up in folders that are bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Propagation {
    #[default]
    /// They don't
    Private,
    /// They do, with the host's own attributes
    Slave,
}

/// Cuts the mount namespace off: nothing mounted from here on is seen by others, nor, unless it
/// is wanted, the reverse.
pub fn cut_off(propagation: Propagation) -> Result<()> {
    let root = place::host("/".as_ref(), OFlags::DIRECTORY)?;
    let kind = match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
    };
    chain::sys::mount_setattr(root.as_fd(), true, 0, 0, kind.bits().into()).map_err(|error| {
        let error = Error::new("can't make the mounts private").because(error).hint_if(
            Errno::EINVAL,
            "the current root is not a mount (a chroot): start outside of it",
        );
        without_privilege(error)
    })
}

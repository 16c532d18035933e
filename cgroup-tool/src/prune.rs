//! Removing what a killed `cg-enter` left behind: unnamed cgroups whose monitor is gone.
//!
//! A monitor holds the lock of its cgroup as long as it lives, and the kernel takes that away with
//! it, however it dies. So a cgroup with a name of ours that can be locked is a
//! leftover, whatever process ids mean here and now.

use std::path::{Path, PathBuf};

use chain::{Errno, Result};

use crate::group::Group;
use crate::hierarchy::Hierarchies;
use crate::{name, removal};

/// Removes the leftovers at `point`, in every hierarchy that has that; gives their paths.
pub fn prune(hierarchies: &Hierarchies, point: Option<&Path>) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for hierarchy in hierarchies.all() {
        if let Some(parent) = hierarchy.parent_if_there(point)? {
            removed.extend(prune_in(&parent)?);
        }
    }
    Ok(removed)
}

/// Removes the leftovers in `parent`, with the processes that are left in them; gives their paths.
fn prune_in(parent: &Group) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for name in parent.children()?.into_iter().filter(|name| name::is_unnamed(name)) {
        let Some(group) = parent.open_if_there(&name)? else {
            continue;
        };
        if is_leftover(&group)? && group.is_still(parent, &name) {
            removal::remove(parent, &name)?;
            removed.push(group.path);
        }
    }
    Ok(removed)
}

/// Whether nobody has its lock. What belongs to another user is left to that one.
fn is_leftover(group: &Group) -> Result<bool> {
    match group.lock() {
        Err(error) if matches!(error.errno(), Some(Errno::EACCES | Errno::EPERM)) => Ok(false),
        locked => locked,
    }
}

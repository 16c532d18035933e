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

/// Of how many cgroups a start sees the names, and of how many of ours among them it tries the locks: it takes
/// no longer the more there are.
const SEEN: usize = 32;
const TRIED: usize = 4;

/// What a start does of that: removes the leftovers among some cgroups in `base`, which holds a part
/// of every one, with all their parts. [`prune`] looks at all.
pub fn prune_some(hierarchies: &Hierarchies, base: &Group, point: Option<&Path>) -> Result<()> {
    let names = base.some_children(SEEN)?.into_iter().filter(|name| name::is_unnamed(name));
    for name in names.take(TRIED) {
        if remove_leftover(base, &name)?.is_none() {
            continue;
        }
        for hierarchy in hierarchies.all()? {
            if let Some(parent) = hierarchy.parent_if_there(point)? {
                remove_leftover(&parent, &name)?;
            }
        }
    }
    Ok(())
}

/// Removes the leftovers at `point`, in every hierarchy that has that; gives their paths.
pub fn prune(hierarchies: &Hierarchies, point: Option<&Path>) -> Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for hierarchy in hierarchies.all()? {
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
        removed.extend(remove_leftover(parent, &name)?);
    }
    Ok(removed)
}

/// Removes the cgroup `name` in `parent` if it is a leftover; gives its path then.
fn remove_leftover(parent: &Group, name: &str) -> Result<Option<PathBuf>> {
    let Some(group) = parent.open_if_there(name)? else {
        return Ok(None);
    };
    if !is_free(&group)? || !group.is_still(parent, name) {
        return Ok(None);
    }
    removal::remove(parent, name)?;
    Ok(Some(group.path))
}

/// Whether nobody has its lock. What belongs to another user is left to that one.
fn is_free(group: &Group) -> Result<bool> {
    match group.lock() {
        Err(error) if matches!(error.errno(), Some(Errno::EACCES | Errno::EPERM)) => Ok(false),
        locked => locked,
    }
}

//! Removing what a killed `cg-enter` left behind: unnamed cgroups whose monitor is gone.
//!
//! A monitor holds a lock on its cgroup's folders as long as it lives, and the kernel takes that
//! lock away with it, however it dies. So a cgroup with a name of ours that can be locked is a
//! leftover, whatever process ids mean here and now.

use chain::{Errno, Result};

use crate::group::Group;
use crate::{name, removal};

/// Removes the leftovers in `parent`, with the processes that are left in them; says how many.
pub fn prune(parent: &Group) -> Result<usize> {
    let mut removed = 0;
    for name in parent.children()?.iter().filter(|name| name::is_unnamed(name)) {
        let group = match parent.open(name) {
            Ok(group) => group,
            Err(error) if error.errno() == Some(Errno::ENOENT) => continue,
            Err(error) => return Err(error),
        };
        if group.lock()? && group.is_still(parent, name) {
            removal::remove(parent, name)?;
            removed += 1;
        }
    }
    Ok(removed)
}

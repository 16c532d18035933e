//! The mounts that come as descriptors (`--mount-fd`): taken from the links to come, for one of a
//! folder leads out of the new root.

use std::collections::BTreeMap;
use std::os::fd::{OwnedFd, RawFd};
use std::path::Path;

use chain::{Errno, Error, Next, Result, ResultExt, sys};

use crate::extras::Extras;
use crate::mount::{Mount, SAFE};
use crate::spec::Extra;

const WHAT: &str = "can't mount the descriptor at";

/// The descriptors, by the numbers that the command line has.
#[derive(Debug)]
pub struct Given(BTreeMap<RawFd, OwnedFd>);

impl Given {
    /// Takes all that are named. What `--keep-fd` names besides can't be a folder.
    pub fn take(next: &mut Next, extras: &Extras) -> Result<Self> {
        let mut given = BTreeMap::new();
        for extra in &extras.0 {
            let Extra::Descriptor { fd, place } = extra else { continue };
            if sys::borrow(*fd).is_none() {
                return Err(Error::new(WHAT).object(place).because(Errno::EBADF));
            }
            // One may be named twice; that it can be mounted once only is said there.
            if !given.contains_key(fd) {
                given.insert(*fd, next.take(*fd)?);
            }
        }
        next.refuse_folders()?;
        Ok(Given(given))
    }

    /// The mount that descriptor `fd` holds.
    pub fn mount(&self, fd: RawFd, place: &Path) -> Result<Mount> {
        let held = self.0.get(&fd).ok_or_else(|| Error::new(WHAT).object(place))?;
        let mount = Mount::from(held.try_clone().or_fail_on(WHAT, place)?);
        mount.restrict(SAFE).map_err(|error| {
            error
                .hint_if(Errno::EINVAL, "--mount-fd takes the root of a mount (open_tree, fsmount)")
        })?;
        Ok(mount)
    }
}

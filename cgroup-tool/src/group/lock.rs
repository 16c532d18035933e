//! The lock of a cgroup, which says "in use".

use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{AtFlags, FlockOperation, OFlags, flock, fstat, statat};

use super::Group;
use crate::explain::explain;
use crate::position::Version;

impl Group {
    /// Takes the lock that says "in use"; false if another process has it, or the cgroup is gone.
    /// It ends with the last copy of its descriptor.
    ///
    /// Whoever can open a file can lock it, so the file is one that only the cgroup's owner can
    /// open: cgroup.kill of v2, which nobody may read. v1 has no such file; there it is the folder.
    pub fn lock(&self) -> Result<bool> {
        if self.locked.get().is_some() {
            return Ok(true);
        }
        let failed = || Error::new("can't lock the cgroup").object(&self.path);
        let fd = match self.version {
            Version::V1 => self.fd.try_clone().or_fail("can't duplicate a descriptor")?,
            Version::V2 => match self.file("cgroup.kill", OFlags::WRONLY) {
                Ok(fd) => fd,
                Err(Errno::ENOENT | Errno::ENODEV) => return Ok(false),
                Err(errno) => return Err(explain(failed().because(errno))),
            },
        };
        match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                self.locked.get_or_init(|| fd);
                Ok(true)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
            Err(errno) => Err(failed().because(Errno::from_raw(errno.raw_os_error()))),
        }
    }

    /// The number of the file whose lock it is, as /proc/locks has it.
    pub fn lock_inode(&self) -> Option<u64> {
        let file = if self.version == Version::V1 { "." } else { "cgroup.kill" };
        statat(&self.fd, file, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| stat.st_ino)
    }

    /// Whether it is still what `parent` calls `name`.
    pub fn is_still(&self, parent: &Group, name: &str) -> bool {
        let inode = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
        match (statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW), fstat(&self.fd)) {
            (Ok(named), Ok(open)) => inode(named) == inode(open),
            _ => false,
        }
    }
}

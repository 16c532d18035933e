//! Descriptors 0 to 2: open, and nothing that leads out of the container.

use nix::errno::Errno;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, fstatfs, major, minor};

use crate::error::{Error, Result, ResultExt};
use crate::sys;

/// The device number of /dev/null (Linux's Documentation/admin-guide/devices.txt).
const NULL_DEVICE: (u32, u32) = (1, 3);
/// nsfs's magic number (linux/magic.h): a descriptor on it can be entered with setns(2).
const NSFS_MAGIC: u64 = 0x6e73_6673;

const NAMES: [&str; 3] = ["standard input", "standard output", "standard error"];

/// Checks what this process was given. A closed one has been opened from /dev/null by Rust's
/// runtime; that is taken only where it really is the null device, which an image can't fake.
pub fn check() -> Result<()> {
    let closed = sys::at_start().closed;
    for (number, name) in (0..).zip(NAMES) {
        let refused = |reason: &str| Err(Error::new("refused").object(name).reason(reason));
        let Some(fd) = sys::borrow(number) else {
            return refused("it is closed");
        };
        let stat = fstat(fd).or_fail_on("can't examine", name).map_err(|error| {
            error.hint_if(
                Errno::EACCES,
                "an AppArmor profile with flags=(attach_disconnected) allows what was opened outside",
            )
        })?;
        if closed & (1 << number) != 0 && (major(stat.st_rdev), minor(stat.st_rdev)) != NULL_DEVICE
        {
            return refused("it is closed, and /dev/null is not the null device");
        }
        let flags = fcntl_getfl(fd).or_fail_on("can't examine", name)?;
        if flags.contains(OFlags::PATH) {
            return refused("it is an O_PATH descriptor, a way out of the container");
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return refused("it is a directory, a way out of the container"),
            FileType::RegularFile => {
                let magic = fstatfs(fd).or_fail_on("can't examine", name)?.f_type;
                if magic as u64 == NSFS_MAGIC {
                    return refused("it is a namespace, a way out of the container");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What tells one standard input from another.
pub fn inode_of_input() -> Option<u64> {
    Some(fstat(sys::borrow(0)?).ok()?.st_ino)
}

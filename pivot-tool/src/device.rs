//! Device nodes of the host, shown only once they are known to be what their name says.

use std::os::fd::OwnedFd;
use std::path::Path;

use chain::{Error, Result, ResultExt};
use rustix::fs::{FileType, OFlags, fstat, major, minor};
use rustix::mount::MountAttrFlags;

use crate::mount::{Mount, NOEXEC, RDONLY};
use crate::place;

/// A character device: name in /dev and number (Linux's Documentation/admin-guide/devices.txt).
pub type Device = (&'static str, (u32, u32));

/// What swallows all.
pub const NULL: Device = ("null", (1, 3));
/// What every program may expect to find in /dev.
pub const MINIMAL: &[Device] = &[
    NULL,
    ("zero", (1, 5)),
    ("full", (1, 7)),
    ("random", (1, 8)),
    ("urandom", (1, 9)),
    ("tty", (5, 0)),
];

/// Opens the host's node: neither a link nor another device in its place will do.
pub fn open((name, number): Device) -> Result<OwnedFd> {
    let path = Path::new("/dev").join(name);
    let node = place::host(&path, OFlags::NOFOLLOW)?;
    let stat = fstat(&node).or_fail_on("can't examine", &path)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != number {
        let (major, minor) = number;
        return Err(Error::new("refused")
            .object(path)
            .reason(format!("it is not character device {major}:{minor}")));
    }
    Ok(node)
}

/// A mount of `node`. It is read-only, which keeps its owner and mode from being changed, not
/// what is written to the device.
pub fn mount(node: &OwnedFd) -> Result<Mount> {
    let mount = Mount::copy_of(node, false).or_fail("can't bind a device")?;
    mount.restrict(MountAttrFlags::MOUNT_ATTR_NOSUID | NOEXEC | RDONLY)?;
    Ok(mount)
}

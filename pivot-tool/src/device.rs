//! Device nodes of the host, shown only once they are known to be what their name says.

use std::io::stdin;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::path::Path;

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{FileType, OFlags, Stat, fstat, major, minor};
use rustix::mount::MountAttrFlags;

use crate::mount::{Mount, NOEXEC, RDONLY};
use crate::overlay::path_of;
use crate::place;

/// A character device: name in /dev and number (Linux's Documentation/admin-guide/devices.txt).
pub type Device = (&'static str, (u32, u32));

/// The major numbers of the nodes in /dev/pts.
const PSEUDOTERMINALS: RangeInclusive<u32> = 136..=143;

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
    let (node, stat) = open_node(&path)?;
    let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
    if !is_device || (major(stat.st_rdev), minor(stat.st_rdev)) != number {
        let (major, minor) = number;
        return Err(Error::new("refused")
            .object(path)
            .reason(format!("it is not character device {major}:{minor}")));
    }
    Ok(node)
}

/// Opens the node that the user named.
pub fn open_any(path: &Path) -> Result<OwnedFd> {
    let (node, stat) = open_node(path)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice | FileType::BlockDevice => Ok(node),
        _ => Err(Error::new("refused").object(path).reason("it is not a device node")),
    }
}

/// The terminal on standard input, if it is one that can be reached by its name.
pub fn terminal(procfs: &Procfs) -> Result<Option<OwnedFd>> {
    let what = "can't examine";
    let own = fstat(stdin()).or_fail_on(what, "standard input")?;
    let is_device = FileType::from_raw_mode(own.st_mode) == FileType::CharacterDevice;
    if !is_device || !PSEUDOTERMINALS.contains(&major(own.st_rdev)) {
        return Ok(None);
    }
    let (node, stat) = match open_node(&path_of(procfs, stdin())?) {
        Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(None),
        found => found?,
    };
    let same = (stat.st_dev, stat.st_ino, stat.st_rdev) == (own.st_dev, own.st_ino, own.st_rdev);
    Ok(same.then_some(node))
}

fn open_node(path: &Path) -> Result<(OwnedFd, Stat)> {
    let node = place::host(path, OFlags::NOFOLLOW)?;
    let stat = fstat(&node).or_fail_on("can't examine", path)?;
    Ok((node, stat))
}

/// A mount of `node`. It is read-only, which keeps its owner and mode from being changed, not
/// what is written to the device.
pub fn mount(node: &OwnedFd) -> Result<Mount> {
    let mount = Mount::copy_of(node, false).or_fail("can't bind a device")?;
    mount.restrict(MountAttrFlags::MOUNT_ATTR_NOSUID | NOEXEC | RDONLY)?;
    Ok(mount)
}

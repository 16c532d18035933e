//! Mounts whose files have other owners than on disk (MOUNT_ATTR_IDMAP of mount_setattr(2)).

use std::os::fd::{AsFd, OwnedFd};

use chain::procfs::Procfs;
use chain::sys::{self, Forked};
use chain::{Errno, Error, Result, ResultExt, namespace};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

use crate::mount::Mount;

/// The flag of clone(2) for a new user namespace.
const CLONE_NEWUSER: u64 = 0x1000_0000;

const ROOT_ONLY: &str = "only root may, in the user namespace that the file system was mounted in: put fs-pivot between 'ns-unshare --mount' and 'ns-unshare --user'";

/// Ids on disk and the ids that they are shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    disk: u32,
    shown: u32,
    count: u32,
}

/// `DISK-SHOWN-COUNT`, several of them joined by `+`.
pub fn parse(text: &str) -> Result<Vec<Range>> {
    text.split('+')
        .map(|range| parse_range(range).ok_or_else(|| Error::new("not DISK-SHOWN-COUNT")))
        .collect()
}

fn parse_range(text: &str) -> Option<Range> {
    let mut numbers = text.split('-').map(|number| match number.as_bytes() {
        // A sign is none of the digits.
        [b'0'..=b'9', ..] => number.parse::<u32>().ok(),
        _ => None,
    });
    let (disk, shown, count) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let fits = |start: u32| start.checked_add(count).is_some();
    let range = Range { disk, shown, count };
    (numbers.next().is_none() && count > 0 && fits(disk) && fits(shown)).then_some(range)
}

/// User namespaces that have the maps of the command line. They are made before the new root is
/// attached: once something covers the root of this process, the kernel takes it for a chroot, in
/// which no user namespace is made (unshare(2)).
#[derive(Debug, Default)]
pub struct Namespaces(Vec<(Vec<Range>, OwnedFd)>);

impl Namespaces {
    /// Makes one for each of `maps`.
    pub fn make<'a>(
        maps: impl Iterator<Item = &'a [Range]>,
        procfs: &Procfs,
    ) -> Result<Namespaces> {
        maps.filter(|ranges| !ranges.is_empty())
            .map(|ranges| Ok((ranges.to_vec(), user_namespace(ranges, procfs)?)))
            .collect::<Result<_>>()
            .map(Namespaces)
    }

    /// Shows the files of `mount`, which is detached, with the owners of `ranges`, in all that is
    /// mounted below it too.
    pub fn apply(&self, mount: &Mount, ranges: &[Range]) -> Result<()> {
        if ranges.is_empty() {
            return Ok(());
        }
        let what = "can't map the owners of a mount";
        let made = self.0.iter().find(|(made, _)| made == ranges);
        let (_, namespace) = made.ok_or_else(|| Error::new(what))?;
        sys::mount_idmap(mount.as_fd(), true, namespace.as_fd()).map_err(|error| {
            Error::new(what)
                .because(error)
                .hint_if(Errno::EPERM, ROOT_ONLY)
                .hint_if(Errno::EINVAL, "this file system, or one mounted below it, can't do it")
        })
    }
}

/// A user namespace with `ranges` as its maps. It is made by a child that waits while they are
/// written, and lives on in the descriptor.
fn user_namespace(ranges: &[Range], procfs: &Procfs) -> Result<OwnedFd> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).or_fail("can't make a pipe")?;
    match sys::fork(CLONE_NEWUSER, None).or_fail("can't make a user namespace")? {
        Forked::Child => {
            drop(write);
            let _ = rustix::io::retry_on_intr(|| rustix::io::read(&read, &mut [0_u8]));
            sys::exit_now(0)
        }
        Forked::Parent { pid, .. } => {
            let namespace = write_maps(ranges, pid, procfs);
            drop(write);
            let pid = Pid::from_raw(pid);
            rustix::io::retry_on_intr(|| waitpid(pid, WaitOptions::empty()))
                .or_fail("can't wait for a child")?;
            namespace
        }
    }
}

fn write_maps(ranges: &[Range], pid: i32, procfs: &Procfs) -> Result<OwnedFd> {
    let line = |range: &Range| format!("{} {} {}\n", range.disk, range.shown, range.count);
    let map: String = ranges.iter().map(line).collect();
    for file in ["uid_map", "gid_map"] {
        let written = procfs.write(&format!("{pid}/{file}"), &map);
        written.map_err(|error| error.hint_if(Errno::EPERM, ROOT_ONLY))?;
    }
    namespace::open(procfs, &pid.to_string(), "user")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let range = |disk, shown, count| Range { disk, shown, count };
        let two = [range(0, 100_000, 65536), range(70000, 5, 1)];
        assert_eq!(parse("0-100000-65536+70000-5-1").unwrap(), two);
        for text in ["", "0-1", "0-1-0", "0-1-2-3", "+0-1-1", "-1-1-1", "0-4294967295-2", "0-+1-1"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

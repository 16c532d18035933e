//! Namespaces that a file keeps alive (`--net=FILE`), as unshare(1) and ip-netns(8) pin them: a
//! bind mount of the namespace, which others enter by that file.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::procfs::Procfs;
use chain::{Errno, Result, ResultExt, namespace};
use nix::sched::{CloneFlags, setns};
use rustix::fs::{FlockOperation, Mode, OFlags, Stat, flock, fstat, fstatfs, open, stat};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::namespaces::Kind;

/// nsfs's magic number (linux/magic.h).
pub const NSFS_MAGIC: u64 = 0x6e73_6673;

/// One file, open: what is there decides.
#[derive(Debug)]
pub enum Pin {
    /// It holds a namespace, to be entered.
    There { kind: Kind, file: PathBuf, namespace: OwnedFd },
    /// It is to hold the new one. The lock keeps others out that want to pin there too.
    Free { kind: Kind, file: PathBuf, lock: OwnedFd },
}

impl Pin {
    /// Opens `file`, and makes it if it is missing. Of several processes that do this at the same
    /// time one finds it free; the others wait until it is not.
    pub fn open(kind: Kind, file: &Path) -> Result<Self> {
        let what = "can't open";
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mode = Mode::from_raw_mode(0o400);
        let open = || open(file, flags | OFlags::CLOEXEC, mode).or_fail_on(what, file);
        let there = |namespace| Pin::There { kind, file: file.to_owned(), namespace };
        let first = open()?;
        if is_namespace(&first, file)? {
            return Ok(there(first));
        }
        let locked = flock(&first, FlockOperation::LockExclusive);
        locked.or_fail_on("can't lock", file)?;
        let second = open()?;
        match is_namespace(&second, file)? {
            true => Ok(there(second)),
            false => Ok(Pin::Free { kind, file: file.to_owned(), lock: first }),
        }
    }

    /// Which kind of namespace it holds or is to hold.
    pub fn kind(&self) -> Kind {
        let (Pin::There { kind, .. } | Pin::Free { kind, .. }) = self;
        *kind
    }

    /// Whether it is at `file`, under this or another name.
    pub fn is_at(&self, file: &Path) -> bool {
        let (Pin::There { namespace: held, .. } | Pin::Free { lock: held, .. }) = self;
        let same = |found: Stat| {
            fstat(held).is_ok_and(|own| (own.st_dev, own.st_ino) == (found.st_dev, found.st_ino))
        };
        stat(file).is_ok_and(same)
    }

    /// Whether the namespace exists already.
    pub fn is_there(&self) -> bool {
        matches!(self, Pin::There { .. })
    }

    /// Enters the namespace, if it exists already.
    pub fn enter(&self) -> Result<()> {
        let Pin::There { kind, file, namespace } = self else { return Ok(()) };
        let flag = CloneFlags::from_bits_retain(kind.flag() as i32);
        setns(namespace.as_fd(), flag).or_fail_on("can't enter the namespace", file).map_err(
            |error| {
                error
                    .hint_if(Errno::EINVAL, "is it one of another kind?")
                    .hint_if(
                        Errno::EPERM,
                        "it takes CAP_SYS_ADMIN in the user namespace that it belongs to, and in one's own",
                    )
            },
        )
    }

    /// Pins the namespace of process `pid`, seen from outside, where it is new.
    pub fn hold(&self, procfs: &Procfs, pid: &str) -> Result<()> {
        let Pin::Free { kind, file, lock } = self else { return Ok(()) };
        let namespace = namespace::open(procfs, pid, kind.name())?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let empty =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        open_tree(namespace, "", flags)
            .and_then(|mount| move_mount(mount, "", lock, "", empty))
            // Other processes of this chain have the descriptor too, and would keep the lock.
            .and_then(|()| flock(lock, FlockOperation::Unlock))
            .or_fail_on("can't pin the namespace at", file)
            .map_err(|error| {
                error.hint_if(
                    Errno::EPERM,
                    "it takes CAP_SYS_ADMIN over the mount namespace: as root, or inside 'ns-unshare --user --map-root --mount'",
                )
            })
    }
}

fn is_namespace(fd: &OwnedFd, file: &Path) -> Result<bool> {
    let found = fstatfs(fd).or_fail_on("can't examine", file)?;
    Ok(found.f_type as u64 == NSFS_MAGIC)
}

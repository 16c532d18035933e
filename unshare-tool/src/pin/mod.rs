//! Namespaces that a file keeps alive (`--net=FILE`), as unshare(1) and ip-netns(8) pin them: a
//! bind mount of the namespace, which others enter by that file.

mod lock;

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt, namespace};
use nix::sched::{CloneFlags, setns};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, fstat, fstatfs};
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
    /// Opens the files, and makes those that are missing. Of several processes that do this at the
    /// same time one finds a file free; the others wait until it is not.
    pub fn open_all<'a>(files: impl IntoIterator<Item = (Kind, &'a PathBuf)>) -> Result<Vec<Self>> {
        let mut pins: Vec<Pin> = Vec::new();
        for (kind, file) in files {
            let pin = Pin::at(kind, file, open(file)?)?;
            let inode = pin.inode()?;
            if pins.iter().any(|other| other.inode().ok() == Some(inode)) {
                return Err(Error::new("two namespaces can't be pinned at").object(file));
            }
            pins.push(pin);
        }
        // In one order for all processes: two that name the same files crosswise would wait for
        // each other.
        let mut free: Vec<&mut Pin> = pins.iter_mut().filter(|pin| !pin.is_there()).collect();
        free.sort_by_key(|pin| pin.inode().ok());
        free.into_iter().try_for_each(Pin::lock)?;
        Ok(pins)
    }

    fn at(kind: Kind, file: &Path, fd: OwnedFd) -> Result<Self> {
        let file = file.to_owned();
        Ok(match is_namespace(&fd, &file)? {
            true => Pin::There { kind, file, namespace: fd },
            false => Pin::Free { kind, file, lock: fd },
        })
    }

    /// Locks the file, and looks once more what is there.
    fn lock(&mut self) -> Result<()> {
        let Pin::Free { kind, file, lock } = self else { return Ok(()) };
        lock::lock(lock, file)?;
        let now = Pin::at(*kind, file, open(file)?)?;
        if now.is_there() {
            *self = now;
        } else if now.inode()? != self.inode()? {
            return Err(Error::new("refused to pin a namespace at")
                .object(self.file())
                .reason("another file has taken its place"));
        }
        Ok(())
    }

    fn file(&self) -> &Path {
        let (Pin::There { file, .. } | Pin::Free { file, .. }) = self;
        file
    }

    /// What tells its file, or the namespace, from all others.
    fn inode(&self) -> Result<(u64, u64)> {
        let (Pin::There { file, namespace: fd, .. } | Pin::Free { file, lock: fd, .. }) = self;
        let found = fstat(fd).or_fail_on("can't examine", file)?;
        Ok((found.st_dev, found.st_ino))
    }

    /// Which kind of namespace it holds or is to hold.
    pub fn kind(&self) -> Kind {
        let (Pin::There { kind, .. } | Pin::Free { kind, .. }) = self;
        *kind
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

fn open(file: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NONBLOCK | OFlags::NOCTTY;
    // Nobody else can open it, and so nobody else can lock it.
    let mode = Mode::from_raw_mode(0o400);
    rustix::fs::open(file, flags | OFlags::CLOEXEC, mode).or_fail_on("can't open", file)
}

fn is_namespace(fd: &OwnedFd, file: &Path) -> Result<bool> {
    let found = fstatfs(fd).or_fail_on("can't examine", file)?;
    Ok(found.f_type as u64 == NSFS_MAGIC)
}

//! The new root while it is filled: where a mountpoint is missing, what may be done about it
//! depends on whose file system it would be made in.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use chain::{Error, Result};
use rustix::fs::OFlags;
use rustix::mount::MountAttrFlags;

use crate::mount::{self, Mount, attach_failed};
use crate::place::{self, Found, Kind};
use crate::scaffold;

/// Whose a mounted file system is, and so what is done where a mountpoint is missing in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Ours, and gone in the end: it is made there.
    Own,
    /// The host's or the kernel's: that is an error.
    Bound,
    /// The image's: a scaffold takes the folder's place.
    Image,
}

/// The new root, attached.
#[derive(Debug)]
pub struct Tree {
    root: Mount,
    /// Mounts of our own, in which anything may be made: a tmpfs, an overlay with an upper layer.
    own: Vec<u64>,
    /// Mounts that the user asked for, in which nothing is made or changed behind his back.
    bound: Vec<u64>,
    /// Our own ones that are made read-only in the end.
    sealed: Vec<Mount>,
}

impl Tree {
    /// A tree whose root is attached.
    pub fn new(root: Mount, whose: Whose) -> Result<Self> {
        let id = mount::mount_id(&root)?;
        let mut tree = Tree { root, own: Vec::new(), bound: Vec::new(), sealed: Vec::new() };
        tree.note(id, whose);
        Ok(tree)
    }

    fn note(&mut self, mount: u64, whose: Whose) {
        match whose {
            Whose::Own => self.own.push(mount),
            Whose::Bound => self.bound.push(mount),
            Whose::Image => {}
        }
    }

    /// Adds a mount of our own that is attached already.
    pub fn add_own(&mut self, mount: u64) {
        self.own.push(mount);
    }

    /// The root folder.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Opens `path` as a process in the tree would.
    pub fn open(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        place::open(self.root(), path, flags)
    }

    /// The place `path`, made if it is missing.
    pub fn place(&mut self, path: &Path, kind: Kind) -> Result<OwnedFd> {
        let what = "can't make a mountpoint";
        let failed = |errno| Error::new(what).object(path).because(errno);
        for _ in 0..2 {
            let (ancestor, names) = match place::find(self.root(), path)? {
                Found::There(place) => {
                    let is_folder = place::is_folder(&place).map_err(failed)?;
                    if is_folder == (kind == Kind::Folder) {
                        return Ok(place);
                    }
                    let found = if is_folder { "it is a folder" } else { "it is not a folder" };
                    return Err(Error::new("can't mount at").object(path).reason(found));
                }
                Found::Missing(ancestor, names) => (ancestor, names),
            };
            let mount = mount::mount_id(&ancestor)?;
            if self.own.contains(&mount) || cfg!(feature = "weakened") {
                return place::make(ancestor.as_fd(), &names, kind).map_err(failed);
            }
            if self.bound.contains(&mount) {
                return Err(Error::new(what)
                    .object(path)
                    .reason("it is missing in a file system that is not the image's")
                    .hint("make it there first"));
            }
            let scaffold = scaffold::over(&ancestor, path)?;
            self.own.push(mount::mount_id(&scaffold)?);
            self.sealed.push(scaffold);
        }
        // What the scaffold stands on was the root folder, which can't be covered any more.
        Err(failed(rustix::io::Errno::NOENT))
    }

    /// Mounts at `path`.
    pub fn mount(&mut self, mount: &Mount, path: &Path, kind: Kind, whose: Whose) -> Result<()> {
        let place = self.place(path, kind)?;
        mount.attach(place).map_err(|errno| attach_failed("can't mount at", path, errno))?;
        self.note(mount::mount_id(mount)?, whose);
        Ok(())
    }

    /// Makes read-only what was writable only to be filled, and the root too if it is to be.
    pub fn finish(self, read_only: bool) -> Result<Mount> {
        for mount in &self.sealed {
            mount.seal()?;
        }
        if read_only {
            self.root.seal()?;
        }
        Ok(self.root)
    }
}

/// The attributes that a copy of the image gets.
pub fn image_attributes(read_only: bool) -> MountAttrFlags {
    if read_only { mount::SAFE | mount::RDONLY } else { mount::SAFE }
}

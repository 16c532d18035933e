//! The new root: a folder of the host, layers as one, or a copy that keeps its changes to itself.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{FileType, OFlags, fstat};

use crate::fill::Host;
use crate::idmap::Range;
use crate::mount::{Mount, attach_failed, mount_id};
use crate::mountinfo;
use crate::overlay::{Layers, Scratch};
use crate::place::{self, Found};
use crate::scaffold::{self, Entry};
use crate::tree::{Tree, image_attributes};

/// What the root is made from.
#[derive(Debug)]
pub struct Source<'a> {
    /// One folder, or the layers of an overlay, uppermost first.
    pub layers: &'a [PathBuf],
    /// Where changes are kept: the upper layer and its work folder.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Changes are kept in memory, and lost.
    pub ephemeral: bool,
    /// There are to be no changes.
    pub read_only: bool,
    /// Other owners than on disk.
    pub idmap: &'a [Range],
    /// Top folders that other file systems will cover anyway.
    pub covered: &'a [&'static str],
    /// All places where something will be mounted.
    pub places: &'a [PathBuf],
}

impl Source<'_> {
    /// Builds the root and attaches it over the old one, which stays the root of this process.
    /// Says too whether its top is to be made read-only once it is filled.
    pub fn attach(&self, host: &Host<'_>) -> Result<(Tree, bool)> {
        let (procfs, old) = (host.procfs, host.root);
        let layers = self
            .layers
            .iter()
            .map(|path| place::host(path, OFlags::DIRECTORY))
            .collect::<Result<Vec<_>>>()?;
        match (layers.as_slice(), self.upper) {
            ([folder], None) if self.ephemeral => {
                let name = &self.layers[0];
                let below = mounts_below(procfs, folder, name)?;
                let tree = if below.is_empty() {
                    self.overlay(procfs, &layers, old)?
                } else {
                    self.overlay_each(procfs, folder, &below, old)?
                };
                Ok((tree, false))
            }
            ([folder], None) => self.bind(folder, host),
            _ => {
                for (layer, name) in layers.iter().zip(self.layers) {
                    if let Some(first) = mounts_below(procfs, layer, name)?.first() {
                        return Err(Error::new("can't use as a layer").object(name).reason(
                            format!(
                                "a file system is mounted below it, at {}, and would be missing",
                                name.join(first).display()
                            ),
                        ));
                    }
                }
                Ok((self.overlay(procfs, &layers, old)?, self.read_only))
            }
        }
    }

    /// The folder itself. Where a mountpoint is missing in its top, the top is a scaffold.
    fn bind(&self, folder: &OwnedFd, host: &Host<'_>) -> Result<(Tree, bool)> {
        let prepare = |mount: Mount| {
            mount.restrict(image_attributes(self.read_only))?;
            host.idmaps.apply(&mount, self.idmap)?;
            Ok(mount)
        };
        if !self.misses_a_place(folder)? {
            let root = Mount::copy_of(folder, true).or_fail_on("can't bind", &self.layers[0])?;
            let root = prepare(root)?;
            attach_root(&root, host.root)?;
            return Ok((Tree::of_image(root), false));
        }
        let content = self.content(folder, |entry| prepare(entry.copy()?))?;
        Ok((self.attach_content(folder, content, host.root)?, true))
    }

    /// Each entry of the top of `folder` with the mount that `show` makes of it. What another file
    /// system will cover is a bare mountpoint.
    fn content(
        &self,
        folder: &OwnedFd,
        mut show: impl FnMut(&Entry) -> Result<Mount>,
    ) -> Result<Vec<(Option<Mount>, Entry)>> {
        let mut content = Vec::new();
        for entry in scaffold::entries(folder.as_fd(), &self.layers[0])? {
            let covered = self.covered.iter().any(|name| entry.name == *name);
            let bare = covered || entry.kind == FileType::Symlink;
            let mount = if bare { None } else { Some(show(&entry)?) };
            content.push((mount, entry));
        }
        Ok(content)
    }

    fn attach_content(
        &self,
        folder: &OwnedFd,
        content: Vec<(Option<Mount>, Entry)>,
        old: &OwnedFd,
    ) -> Result<Tree> {
        let root = scaffold::empty(folder.as_fd())?;
        attach_root(&root, old)?;
        scaffold::fill(&root, content)?;
        Tree::of_own(root)
    }

    fn misses_a_place(&self, folder: &OwnedFd) -> Result<bool> {
        let top = fstat(folder).or_fail_on("can't examine", &self.layers[0])?;
        for path in self.places {
            if let Found::Missing(ancestor, _) = place::find(folder.as_fd(), path)? {
                let ancestor = fstat(ancestor).or_fail_on("can't examine", path)?;
                if (ancestor.st_dev, ancestor.st_ino) == (top.st_dev, top.st_ino) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn overlay(&self, procfs: &Procfs, lower: &[OwnedFd], old: &OwnedFd) -> Result<Tree> {
        let root = match self.upper {
            Some((upper, work)) => {
                let upper_fd = place::host(upper, OFlags::DIRECTORY)?;
                let work_fd = place::host(work, OFlags::DIRECTORY)?;
                Layers { lower, upper: &upper_fd, work: &work_fd }.mount(procfs, upper)?
            }
            None => Scratch::with(old, |scratch| {
                let (upper, work) = scratch.layer(&lower[0])?;
                let name = &self.layers[0];
                Layers { lower, upper: &upper, work: &work }.mount(procfs, name)
            })?,
        };
        attach_root(&root, old)?;
        Tree::of_own(root)
    }

    /// A tmpfs with one overlay for each top folder: an ordinary user can't make one overlay of a
    /// folder below which the host has mounts, since that would show what they hide.
    fn overlay_each(
        &self,
        procfs: &Procfs,
        folder: &OwnedFd,
        below: &[PathBuf],
        old: &OwnedFd,
    ) -> Result<Tree> {
        let mut own = Vec::new();
        let content = Scratch::with(old, |scratch| {
            self.content(folder, |entry| {
                let name = Path::new(&entry.name);
                let is_folder = entry.kind == FileType::Directory;
                if !is_folder || below.iter().any(|mount| mount.starts_with(name)) {
                    let mount = entry.copy()?;
                    mount.restrict(image_attributes(true))?;
                    return Ok(mount);
                }
                let (upper, work) = scratch.layer(&entry.fd)?;
                let lower = std::slice::from_ref(&entry.fd);
                let layers = Layers { lower, upper: &upper, work: &work };
                let mount = layers.mount(procfs, name)?;
                own.push(mount_id(&mount)?);
                Ok(mount)
            })
        })?;
        let mut tree = self.attach_content(folder, content, old)?;
        own.into_iter().for_each(|mount| tree.add_own(mount));
        Ok(tree)
    }
}

/// The mounts below `folder`, by the path that the kernel has for it.
fn mounts_below(procfs: &Procfs, folder: &OwnedFd, name: &Path) -> Result<Vec<PathBuf>> {
    let path = crate::overlay::path_of(procfs, folder)?;
    if !path.is_absolute() {
        return Err(Error::new("can't use as a layer")
            .object(name)
            .reason("it can't be reached from the current root"));
    }
    Ok(mountinfo::below(&mountinfo::read(procfs)?, &path))
}

fn attach_root(root: &Mount, old: &OwnedFd) -> Result<()> {
    root.attach(old).map_err(|errno| {
        attach_failed("can't attach the new root over", "/", errno)
            .hint_if(Errno::EINVAL, "the current root must be a mount of this mount namespace")
    })
}

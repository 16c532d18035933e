//! The new root: a folder of the host, layers as one, or a copy that keeps its changes to itself.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::mountinfo;
use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{FileType, OFlags, fstat};

use crate::fill::Host;
use crate::idmap::Range;
use crate::image;
use crate::mount::{Mount, attach_failed, mount_id};
use crate::overlay::{self, Layers, Scratch};
use crate::place::{self, Found};
use crate::scaffold::{self, Entry};
use crate::tree::{Tree, Whose, image_attributes};

/// What the root is made from.
#[derive(Debug)]
pub struct Source<'a> {
    /// One folder, or the layers of an overlay, uppermost first.
    pub layers: &'a [PathBuf],
    /// It is a file that holds a file system.
    pub image: bool,
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

/// A root that is not attached yet.
#[derive(Debug)]
struct Built {
    root: Mount,
    whose: Whose,
    /// What a tmpfs is to be filled with.
    content: Vec<(Option<Mount>, Entry)>,
    /// Overlays of ours among that.
    own: Vec<u64>,
    /// To be made read-only in the end.
    seal: bool,
}

impl Source<'_> {
    /// Builds the root and attaches it over the old one, which stays the root of this process.
    /// Says too whether its top is to be made read-only once it is filled.
    pub fn attach(&self, host: &Host<'_>) -> Result<(Tree, bool)> {
        let built = if self.image { self.build_from_image(host)? } else { self.build(host)? };
        built.root.attach(host.root).map_err(|errno| {
            attach_failed("can't attach the new root over", "/", errno)
                .hint_if(Errno::EINVAL, "the current root must be a mount of this mount namespace")
        })?;
        scaffold::fill(&built.root, built.content)?;
        let mut tree = Tree::new(built.root, built.whose)?;
        built.own.into_iter().for_each(|mount| tree.add_own(mount));
        Ok((tree, built.seal))
    }

    /// The image lies in the scratch tmpfs while the root is made of it.
    fn build_from_image(&self, host: &Host<'_>) -> Result<Built> {
        let image = image::mount(&self.layers[0], host.procfs)?;
        Scratch::with(host.root, |scratch| {
            let place = scratch.place()?;
            image
                .attach(place)
                .map_err(|errno| attach_failed("can't mount", &self.layers[0], errno))?;
            let folder = place::open_plain(image.as_fd(), Path::new("."), OFlags::PATH)
                .or_fail_on("can't open", &self.layers[0])?;
            if self.ephemeral { self.overlay(&[folder], host) } else { self.bind(&folder, host) }
        })
    }

    fn build(&self, host: &Host<'_>) -> Result<Built> {
        let open = |path: &PathBuf| place::host(path, OFlags::DIRECTORY);
        let layers = self.layers.iter().map(open).collect::<Result<Vec<_>>>()?;
        if let ([folder], None) = (layers.as_slice(), self.upper) {
            if !self.ephemeral {
                return self.bind(folder, host);
            }
            let below = mounts_below(host.procfs, folder, &self.layers[0])?;
            if !below.is_empty() {
                return self.overlay_each(folder, &below, host);
            }
            return self.overlay(&layers, host);
        }
        for (layer, name) in layers.iter().zip(self.layers) {
            if let Some(first) = mounts_below(host.procfs, layer, name)?.first() {
                return Err(Error::new("can't use as a layer").object(name).reason(format!(
                    "a file system is mounted below it, at {}, and would be missing",
                    name.join(first).display()
                )));
            }
        }
        self.overlay(&layers, host)
    }

    /// The folder itself. Where a mountpoint is missing in its top, the top is a scaffold.
    fn bind(&self, folder: &OwnedFd, host: &Host<'_>) -> Result<Built> {
        let prepare = |mount: Mount| {
            mount.restrict(image_attributes(self.read_only))?;
            host.idmaps.apply(&mount, self.idmap)?;
            Ok(mount)
        };
        if self.misses_a_place(folder)? {
            let content = self.content(folder, |entry| prepare(entry.copy()?))?;
            let root = scaffold::empty(folder.as_fd())?;
            return Ok(Built { root, whose: Whose::Own, content, own: Vec::new(), seal: true });
        }
        let root = Mount::copy_of(folder, true).or_fail_on("can't bind", &self.layers[0])?;
        let (root, whose) = (prepare(root)?, Whose::Image);
        Ok(Built { root, whose, content: Vec::new(), own: Vec::new(), seal: false })
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
            let mount = if self.is_bare(&entry) { None } else { Some(show(&entry)?) };
            content.push((mount, entry));
        }
        Ok(content)
    }

    /// Whether an entry of the top is a link, or a mere mountpoint for another file system.
    pub fn is_bare(&self, entry: &Entry) -> bool {
        let covered = self.covered.iter().any(|name| entry.name == *name);
        covered || entry.kind == FileType::Symlink
    }

    /// Whether its top must be a scaffold, since a mountpoint is missing there.
    pub fn misses_a_place(&self, folder: &OwnedFd) -> Result<bool> {
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

    fn overlay(&self, lower: &[OwnedFd], host: &Host<'_>) -> Result<Built> {
        let name = self.layers[0].as_path();
        let mut all: Vec<_> = self.layers.iter().map(PathBuf::as_path).zip(lower).collect();
        let root = match self.upper {
            Some((upper_name, work_name)) => {
                let upper = place::host(upper_name, OFlags::DIRECTORY)?;
                let work = place::host(work_name, OFlags::DIRECTORY)?;
                all.extend([(upper_name, &upper), (work_name, &work)]);
                overlay::check_apart(host.procfs, &all)?;
                Layers { lower, upper: &upper, work: &work }.mount(host.procfs, name)?
            }
            None => {
                overlay::check_apart(host.procfs, &all)?;
                Scratch::with(host.root, |scratch| {
                    let (upper, work) = scratch.layer(&lower[0])?;
                    Layers { lower, upper: &upper, work: &work }.mount(host.procfs, name)
                })?
            }
        };
        let (content, own) = (Vec::new(), Vec::new());
        Ok(Built { root, whose: Whose::Own, content, own, seal: self.read_only })
    }

    /// A tmpfs with one overlay for each top folder: an ordinary user can't make one overlay of a
    /// folder below which the host has mounts, since that would show what they hide.
    fn overlay_each(&self, folder: &OwnedFd, below: &[PathBuf], host: &Host<'_>) -> Result<Built> {
        let mut own = Vec::new();
        let content = Scratch::with(host.root, |scratch| {
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
                let mount = layers.mount(host.procfs, name)?;
                own.push(mount_id(&mount)?);
                Ok(mount)
            })
        })?;
        let root = scaffold::empty(folder.as_fd())?;
        Ok(Built { root, whose: Whose::Own, content, own, seal: false })
    }
}

/// The mounts below `folder`, by the path that the kernel has for it.
pub fn mounts_below(procfs: &Procfs, folder: &OwnedFd, name: &Path) -> Result<Vec<PathBuf>> {
    let path = overlay::path_of(procfs, folder)?;
    if !path.is_absolute() {
        return Err(Error::new("can't use as a layer")
            .object(name)
            .reason("it can't be reached from the current root"));
    }
    Ok(mountinfo::below(&mountinfo::read(procfs)?, &path))
}

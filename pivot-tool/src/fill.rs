//! What the user asked to be mounted in the new root.

use std::os::fd::OwnedFd;
use std::path::Path;

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{Mode, OFlags};

use crate::given::Given;
use crate::idmap::Namespaces;
use crate::mount::{Mount, NOEXEC, SAFE, Setting, attach_failed};
use crate::place::{self, Kind};
use crate::spec::Extra;
use crate::tree::{Tree, Whose};
use crate::{device, files, mask};

/// What mounting takes besides the new root.
#[derive(Debug)]
pub struct Host<'a> {
    /// A checked procfs.
    pub procfs: &'a Procfs,
    /// The root folder of the old root.
    pub root: &'a OwnedFd,
    /// The maps of owners.
    pub idmaps: &'a Namespaces,
    /// The mounts that came as descriptors.
    pub given: &'a Given,
}

impl Host<'_> {
    /// Mounts one.
    pub fn mount(&self, tree: &mut Tree, extra: &Extra) -> Result<()> {
        match extra {
            Extra::Bind { source, place, attributes, recursive, idmap } => {
                let old = place::host(source, OFlags::empty())?;
                let mount = Mount::copy_of(&old, *recursive)
                    .map_err(|errno| bind_failed(source, *recursive, errno))?;
                mount.restrict(*attributes)?;
                self.idmaps.apply(&mount, idmap)?;
                tree.mount(&mount, place, kind_of(&mount, source)?, Whose::Bound)
            }
            Extra::Tmpfs { place, attributes, settings } => {
                let settings: Vec<_> =
                    settings.iter().map(|(name, value)| Setting::Value(name, value)).collect();
                let mount = Mount::new("tmpfs", &settings, *attributes)?;
                tree.mount(&mount, place, Kind::Folder, Whose::Own)
            }
            Extra::Mqueue(place) => {
                let mount = Mount::new("mqueue", &[], SAFE | NOEXEC).map_err(|error| {
                    error.hint_if(Errno::EPERM, "it takes an IPC namespace of one's own")
                })?;
                tree.mount(&mount, place, Kind::Folder, Whose::Bound)
            }
            Extra::Device(place) => {
                let mount = device::mount(&device::open_any(place)?)?;
                tree.mount(&mount, place, Kind::File, Whose::Bound)
            }
            Extra::Descriptor { fd, place } => {
                let mount = self.given.mount(*fd, place)?;
                tree.mount(&mount, place, kind_of(&mount, place)?, Whose::Bound)
            }
            Extra::Copy { source, place } => {
                let mount = files::copy(self.root, source)?;
                tree.mount(&mount, place, Kind::File, Whose::Own)
            }
            Extra::Mask(path) => mask::Masks::new()?.hide(existing(tree, path)?, path),
            Extra::ReadOnly(path) => mask::make_read_only(existing(tree, path)?, path),
        }
    }

    /// Puts a new file at `path`.
    pub fn write(&self, tree: &mut Tree, path: &str, content: &str) -> Result<()> {
        let mount = files::private(self.root, content.as_bytes(), Mode::from_raw_mode(0o644))?;
        tree.mount(&mount, Path::new(path), Kind::File, Whose::Own)
    }
}

/// What a mount's mountpoint has to be.
fn kind_of(mount: &Mount, name: &Path) -> Result<Kind> {
    let is_folder = place::is_folder(mount).or_fail_on("can't examine", name)?;
    Ok(if is_folder { Kind::Folder } else { Kind::File })
}

fn existing(tree: &Tree, path: &Path) -> Result<OwnedFd> {
    tree.open(path, OFlags::PATH).or_fail_on("can't open in the new root", path)
}

fn bind_failed(source: &Path, recursive: bool, errno: rustix::io::Errno) -> Error {
    let error = attach_failed("can't bind", source, errno);
    if recursive {
        error
    } else {
        error.hint_if(
            Errno::EINVAL,
            "mounts below it that the host locked can't be left out: bind it without norec",
        )
    }
}

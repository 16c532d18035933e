//! What is said of the new root.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::Result;
use chain::explain::{Explanation, word};
use chain::procfs::Procfs;
use rustix::fs::{FileType, OFlags};
use rustix::mount::MountAttrFlags;

use super::at;
use crate::mount::{RDONLY, SAFE};
use crate::overlay::path_of;
use crate::place::{self, Found};
use crate::root::{Source, mounts_below};
use crate::scaffold;
use crate::tree::image_attributes;

/// What takes the place of a folder in which a mountpoint is missing.
const SCAFFOLD: &str = "a tmpfs with the mountpoints that are missing, and the entries";

impl Source<'_> {
    pub(super) fn say(&self, procfs: &Procfs, to: &mut Explanation) -> Result<()> {
        let first = &self.layers[0];
        let name = word(first);
        if self.image {
            let what = format!("the file system in the image {name}, by a loop device");
            at(to, "/", &what, image_attributes(true));
            if self.ephemeral {
                at(to, "/", "an overlay of that, changes in memory", SAFE);
            }
            return Ok(());
        }
        let open = |path: &PathBuf| place::host(path, OFlags::DIRECTORY);
        let layers = self.layers.iter().map(open).collect::<Result<Vec<_>>>()?;
        let single = match (layers.as_slice(), self.upper) {
            ([folder], None) => Some(folder),
            _ => None,
        };
        if let Some(folder) = single.filter(|_| !self.ephemeral) {
            let attributes = image_attributes(self.read_only);
            if self.misses_a_place(folder)? {
                let what = format!("{SCAFFOLD} of {name}");
                at(to, "/", &what, SAFE | RDONLY);
                self.say_entries(folder, to, |entry, _| {
                    (format!("{} of the host", word(first.join(entry))), attributes)
                })?;
            } else {
                let what = format!("{name} of the host, with all that is mounted below it");
                at(to, "/", &what, attributes);
            }
            return self.say_scaffolds(procfs, folder, to);
        }
        let below = match single {
            Some(folder) => mounts_below(procfs, folder, first)?,
            None => Vec::new(),
        };
        if let Some(folder) = single.filter(|_| !below.is_empty()) {
            at(to, "/", &format!("a tmpfs with the entries of {name}"), SAFE);
            return self.say_entries(folder, to, |entry, is_folder| {
                let path = word(first.join(entry));
                match !is_folder || below.iter().any(|mount| mount.starts_with(entry)) {
                    true => (format!("{path} of the host"), image_attributes(true)),
                    false => (format!("an overlay of {path}, changes in memory"), SAFE),
                }
            });
        }
        let names: Vec<String> = self.layers.iter().map(word).collect();
        let changes = match self.upper {
            Some((upper, _)) => format!("changes in {}", word(upper)),
            None if self.read_only => "without changes".to_owned(),
            None => "changes in memory".to_owned(),
        };
        let read_only = if self.read_only { RDONLY } else { MountAttrFlags::empty() };
        at(to, "/", &format!("an overlay of {}, {changes}", names.join(" on ")), SAFE | read_only);
        Ok(())
    }

    /// The folders of the image in which a mountpoint is missing: all but the top, and what other
    /// file systems cover.
    fn say_scaffolds(&self, procfs: &Procfs, folder: &OwnedFd, to: &mut Explanation) -> Result<()> {
        let top = path_of(procfs, folder)?;
        let mut said: Vec<PathBuf> = Vec::new();
        for path in self.places {
            let Found::Missing(ancestor, _) = place::find(folder.as_fd(), path)? else { continue };
            let inside = path_of(procfs, &ancestor)?;
            let inside = Path::new("/").join(inside.strip_prefix(&top).unwrap_or(&inside));
            let known = said.iter().chain(self.places).any(|known| inside.starts_with(known));
            if known || inside == Path::new("/") {
                continue;
            }
            let what = format!("{SCAFFOLD} of the image's");
            at(to, &inside, &what, SAFE | RDONLY);
            for entry in scaffold::entries(ancestor.as_fd(), &inside)? {
                if entry.kind != FileType::Symlink {
                    let what = "the image's";
                    at(to, inside.join(&entry.name), what, image_attributes(self.read_only));
                }
            }
            said.push(inside);
        }
        Ok(())
    }

    /// What becomes of each entry of the root's top that is shown by a mount of its own.
    fn say_entries(
        &self,
        folder: &OwnedFd,
        to: &mut Explanation,
        shown: impl Fn(&Path, bool) -> (String, MountAttrFlags),
    ) -> Result<()> {
        for entry in scaffold::entries(folder.as_fd(), &self.layers[0])? {
            if !self.is_bare(&entry) {
                let name = Path::new(&entry.name);
                let (what, attributes) = shown(name, entry.kind == FileType::Directory);
                at(to, Path::new("/").join(name), &what, attributes);
            }
        }
        Ok(())
    }
}

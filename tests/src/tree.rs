//! A folder before and after: all about its files but the time of the last access.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a folder holds.
#[derive(Debug)]
pub struct Tree<'a> {
    folder: &'a Path,
    before: BTreeMap<PathBuf, String>,
}

impl<'a> Tree<'a> {
    /// As it is now.
    pub fn of(folder: &'a Path) -> Self {
        Tree { folder, before: state(folder) }
    }

    /// Fails if anything has changed since.
    #[track_caller]
    pub fn is_unchanged(&self) {
        let after = state(self.folder);
        let paths = self.before.keys().chain(after.keys());
        let differs = |path: &&PathBuf| self.before.get(*path) != after.get(*path);
        let differences: Vec<_> = paths
            .filter(differs)
            .map(|path| (path, self.before.get(path), after.get(path)))
            .collect();
        assert!(differences.is_empty(), "{differences:#?}");
    }
}

fn state(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() && !path.is_symlink() {
            let entries = fs::read_dir(&path).expect("list");
            left.extend(entries.map(|entry| entry.expect("list").path()));
        }
        found.insert(path.clone(), of_one(&path));
    }
    found
}

/// The content by its hash, owner, mode, size, times, extended attributes.
fn of_one(path: &Path) -> String {
    let data = fs::symlink_metadata(path).expect("examine");
    let mut hash = DefaultHasher::new();
    match () {
        () if data.is_symlink() => {
            hash.write(fs::read_link(path).expect("read a link").as_os_str().as_encoded_bytes());
        }
        // The programs are links that all roots share: size and times tell as much.
        () if data.is_file() && data.nlink() == 1 => hash.write(&fs::read(path).expect("read")),
        () => {}
    }
    // Another root's link to it changes a shared program's ctime, and the count.
    let changed = match data.is_dir() || data.nlink() == 1 {
        true => format!("{}.{} {}", data.ctime(), data.ctime_nsec(), data.nlink()),
        false => String::new(),
    };
    format!(
        "{} {:x} {:o} {}:{} {} {}.{} {changed} {:?}",
        data.ino(),
        hash.finish(),
        data.mode(),
        data.uid(),
        data.gid(),
        data.size(),
        data.mtime(),
        data.mtime_nsec(),
        attributes(path)
    )
}

fn attributes(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0_u8; 65536];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap_or(0);
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let name = String::from_utf8_lossy(name).into_owned();
            let mut value = vec![0_u8; 65536];
            let length = rustix::fs::lgetxattr(path, &*name, &mut value).unwrap_or(0);
            value.truncate(length);
            (name, value)
        })
        .collect()
}

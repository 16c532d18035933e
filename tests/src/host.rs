//! What the host looks like, to be compared before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The mounts of this process's namespace.
pub fn mounts() -> BTreeSet<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").expect("read mountinfo");
    text.lines().map(str::to_owned).collect()
}

/// All paths below `folder`, not following links.
pub fn paths(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.append(&mut paths(&entry.path()));
        }
        found.insert(entry.path());
    }
    found
}

//! A folder of an image with a mountpoint more than the image has, the image left as it is: a
//! tmpfs in its place that shows each of its entries, links made anew.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use chain::{Error, Result, ResultExt};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fstat, openat,
    readlinkat, symlinkat,
};

use crate::mount::{Mount, SAFE, Setting, attach_failed};
use crate::place;

/// One mount each: more would slow down every mount of the host.
const MAX_ENTRIES: usize = 256;

/// An entry of a folder.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: OsString,
    /// The entry itself, a link not followed.
    pub fd: OwnedFd,
    /// What it is.
    pub kind: FileType,
}

impl Entry {
    /// A copy of its mount tree.
    pub fn copy(&self) -> Result<Mount> {
        Mount::copy_of(&self.fd, true).or_fail_on("can't bind", &self.name)
    }
}

/// Covers `folder`, which lies at `path`, with a scaffold of itself.
pub fn over(folder: &OwnedFd, path: &Path) -> Result<Mount> {
    let content = entries(folder.as_fd(), path)?
        .into_iter()
        .map(|entry| Ok((entry.copy().map(Some)?, entry)))
        .collect::<Result<Vec<_>>>()?;
    let scaffold = empty(folder.as_fd())?;
    scaffold.attach(folder).map_err(|errno| attach_failed("can't mount at", path, errno))?;
    fill(&scaffold, content)?;
    Ok(scaffold)
}

/// A new tmpfs whose root folder has the owner and mode of `folder`.
pub fn empty(folder: BorrowedFd<'_>) -> Result<Mount> {
    let tmpfs = Mount::new("tmpfs", &[Setting::Value("mode", "0755")], SAFE)?;
    take_after(tmpfs.as_fd(), &fstat(folder).or_fail("can't examine a folder")?)?;
    Ok(tmpfs)
}

/// Gives `folder` the owner and mode that `model` has.
pub fn take_after(folder: BorrowedFd<'_>, model: &Stat) -> Result<()> {
    let what = "can't set the mode of a folder";
    let (user, group) = (Uid::from_raw(model.st_uid), Gid::from_raw(model.st_gid));
    match chownat(folder, "", Some(user), Some(group), AtFlags::EMPTY_PATH) {
        // An owner whom the user namespace doesn't map: the folder stays ours.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(errno) => return Err(errno).or_fail(what),
    }
    let mode = Mode::from_raw_mode(model.st_mode);
    chmodat(folder, ".", mode, AtFlags::empty()).or_fail(what)
}

/// All entries of `folder`, unless there are too many to mount.
pub fn entries(folder: BorrowedFd<'_>, path: &Path) -> Result<Vec<Entry>> {
    let what = "can't list";
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let listing = openat(folder, ".", flags, Mode::empty()).or_fail_on(what, path)?;
    let mut entries = Vec::new();
    for entry in Dir::new(listing).or_fail_on(what, path)? {
        let name =
            OsString::from_vec(entry.or_fail_on(what, path)?.file_name().to_bytes().to_vec());
        if name == "." || name == ".." {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            return Err(Error::new("can't make a mountpoint")
                .object(path)
                .reason(format!("the folder it is missing in has over {MAX_ENTRIES} entries"))
                .hint("make it in the image, or use --ephemeral"));
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(folder, name.as_os_str(), flags, Mode::empty()).or_fail_on(what, &name)?;
        let stat = fstat(&fd).or_fail_on("can't examine", &name)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        entries.push(Entry { name, fd, kind });
    }
    Ok(entries)
}

/// Puts each entry into `folder`, which is attached: a link as a link, anything else as the mount
/// that stands for it, or where there is none as a bare mountpoint.
pub fn fill(folder: &Mount, content: Vec<(Option<Mount>, Entry)>) -> Result<()> {
    let what = "can't copy";
    for (mount, entry) in content {
        let name = entry.name.as_os_str();
        let place = match entry.kind {
            FileType::Symlink => {
                let target = readlinkat(&entry.fd, "", Vec::new()).or_fail_on(what, name)?;
                symlinkat(target, folder, name).or_fail_on(what, name)?;
                continue;
            }
            FileType::Directory => {
                place::make_folder(folder.as_fd(), name, Mode::from_raw_mode(0o755))
            }
            _ => place::make_file(folder.as_fd(), name),
        };
        let place = place.or_fail_on(what, name)?;
        if let Some(mount) = mount {
            mount.attach(place).map_err(|errno| attach_failed("can't mount", name, errno))?;
        }
    }
    Ok(())
}

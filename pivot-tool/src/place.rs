//! Where a path leads inside a root: never outside, whatever symbolic links are there.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use chain::{Errno, Error, Result, ResultExt, resolve};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, chmodat, fstat, mkdirat, openat, readlinkat,
};

/// As many links as the kernel itself follows (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// What a mountpoint has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For a file system or a folder.
    Folder,
    /// For anything else.
    File,
}

/// What is at a path.
#[derive(Debug)]
pub enum Found {
    /// Something.
    There(OwnedFd),
    /// Nothing: the last folder that exists, and the names below it that don't.
    Missing(OwnedFd, Vec<OsString>),
}

/// Opens `path` as chroot(2) into `root` would, but without a way out.
pub fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::IN_ROOT)
}

/// Opens `path` below `root`; a symbolic link on the way is an error.
pub fn open_plain(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

fn open_with(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let how = how | ResolveFlags::NO_MAGICLINKS;
    #[cfg(feature = "weakened")]
    let (path, how) = (path.strip_prefix("/").unwrap_or(path), how & ResolveFlags::empty());
    resolve::open(root, path, flags, how)
}

/// Finds `path` in `root`. A link that leads nowhere (as /etc/resolv.conf does, where /run is
/// empty) leads to a place inside that is missing.
pub fn find(root: BorrowedFd<'_>, path: &Path) -> Result<Found> {
    let failed = |errno| Error::new("can't look up in the root").object(path).because(errno);
    let mut names = names_of(path);
    for _ in 0..MAX_LINKS {
        let (ancestor, depth) = deepest(root, &names).map_err(failed)?;
        let Some(next) = names.get(depth) else {
            return Ok(Found::There(ancestor));
        };
        match readlinkat(&ancestor, next.as_os_str(), Vec::new()) {
            Ok(target) => {
                let target = OsString::from_vec(target.into_bytes());
                let start = if Path::new(&target).has_root() { 0 } else { depth };
                let rest = names.split_off(depth + 1);
                names.truncate(start);
                names.extend(names_of(Path::new(&target)));
                names.extend(rest);
            }
            Err(rustix::io::Errno::NOENT) => {
                let rest = names.split_off(depth);
                if rest.iter().any(|name| name == "..") {
                    return Err(failed(rustix::io::Errno::NOENT));
                }
                return Ok(Found::Missing(ancestor, rest));
            }
            // It is no link: it was made since we looked, or it is a file on the way.
            Err(rustix::io::Errno::INVAL) => return Err(failed(rustix::io::Errno::NOTDIR)),
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(failed(rustix::io::Errno::LOOP))
}

/// The longest beginning of `names` that exists.
fn deepest(root: BorrowedFd<'_>, names: &[OsString]) -> rustix::io::Result<(OwnedFd, usize)> {
    let mut depth = names.len();
    loop {
        let path: PathBuf = names[..depth].iter().collect();
        match open(root, &path, OFlags::PATH) {
            Ok(found) => return Ok((found, depth)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) if depth > 0 => depth -= 1,
            Err(errno) => return Err(errno),
        }
    }
}

fn names_of(path: &Path) -> Vec<OsString> {
    path.components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}

/// Makes `names`, one below the other, in `folder`: folders, the last one being of `kind`.
pub fn make(folder: BorrowedFd<'_>, names: &[OsString], kind: Kind) -> rustix::io::Result<OwnedFd> {
    let (last, above) = names.split_last().ok_or(rustix::io::Errno::EXIST)?;
    let mut made: Option<OwnedFd> = None;
    let folder_mode = Mode::from_raw_mode(0o755);
    for name in above {
        let here = made.as_ref().map_or(folder, AsFd::as_fd);
        made = Some(make_folder(here, name, folder_mode)?);
    }
    let here = made.as_ref().map_or(folder, AsFd::as_fd);
    match kind {
        Kind::File => make_file(here, last),
        Kind::Folder => make_folder(here, last, folder_mode),
    }
}

/// Makes a folder that is not there yet.
pub fn make_folder(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    mkdirat(folder, name, mode)?;
    let made = open_plain(folder, Path::new(name), OFlags::PATH | OFlags::DIRECTORY)?;
    // The umask, which is the app's, may have taken something from the mode.
    chmodat(&made, ".", mode, AtFlags::empty())?;
    Ok(made)
}

/// Makes an empty file that is not there yet.
pub fn make_file(folder: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::from_raw_mode(0o644))
}

/// Whether it is a folder.
pub fn is_folder(place: impl AsFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(place)?.st_mode) == FileType::Directory)
}

/// Opens a path of the host, following links as its user expects.
pub fn host(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
    rustix::fs::open(path, flags, Mode::empty()).or_fail_on("can't open", path).map_err(|error| {
        error.hint_if(
            Errno::EACCES,
            "each folder on the way must be searchable for the user whose ids the namespace maps",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("place-{name}-{}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn missing(root: &Folder, path: &str) -> Option<Vec<OsString>> {
        let root = host(&root.0, OFlags::DIRECTORY).unwrap();
        match find(root.as_fd(), Path::new(path)).unwrap() {
            Found::There(_) => None,
            Found::Missing(_, names) => Some(names),
        }
    }

    #[test]
    fn links_stay_inside() {
        let root = Folder::new("inside");
        std::fs::create_dir(root.0.join("etc")).unwrap();
        symlink("/etc", root.0.join("absolute")).unwrap();
        symlink("../../../etc", root.0.join("etc/up")).unwrap();
        symlink("../run/x/resolv.conf", root.0.join("etc/resolv.conf")).unwrap();
        assert_eq!(missing(&root, "/absolute"), None);
        assert_eq!(missing(&root, "/absolute/passwd"), Some(vec!["passwd".into()]));
        assert_eq!(missing(&root, "/etc/up/up/new"), Some(vec!["new".into()]));
        let rest = ["run", "x", "resolv.conf"].map(OsString::from).to_vec();
        assert_eq!(missing(&root, "/etc/resolv.conf"), Some(rest));
    }

    #[test]
    fn a_way_through_a_file_or_a_circle_is_refused() {
        let root = Folder::new("refused");
        std::fs::write(root.0.join("file"), "").unwrap();
        symlink("circle", root.0.join("circle")).unwrap();
        symlink("none/../file", root.0.join("odd")).unwrap();
        let fd = host(&root.0, OFlags::DIRECTORY).unwrap();
        for path in ["/file/x", "/circle", "/odd"] {
            assert!(find(fd.as_fd(), Path::new(path)).is_err(), "{path}");
        }
    }
}

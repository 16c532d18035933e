//! Where a path leads below a folder: openat2(2), also for where a seccomp filter hides that, as
//! systemd's RestrictSUIDSGID= does, which DynamicUser= implies.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstat, fstatfs, openat, openat2,
    readlinkat, statx,
};
use rustix::io::{Errno, Result};

/// procfs's magic number (linux/magic.h).
pub(crate) const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// How often the kernel is asked again when a rename of others makes a `..` undecidable.
const RETRIES: u32 = 128;
/// As many links as the kernel itself follows (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// Opens `path` below `root`, close-on-exec. `how` has BENEATH or IN_ROOT, and may have NO_SYMLINKS,
/// NO_MAGICLINKS and NO_XDEV; `flags` open what is there, and make nothing.
pub fn open(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> Result<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let flags = flags | OFlags::CLOEXEC;
    let mut left = RETRIES;
    loop {
        match openat2(root, path, flags, Mode::empty(), how) {
            Err(Errno::AGAIN | Errno::INTR) if left > 0 => left -= 1,
            Err(Errno::NOSYS) => return by_steps(root, path, flags, how),
            result => return result,
        }
    }
}

/// The same without openat2(2): each name is opened in the folder before it, and never followed; a
/// link's text is walked in its turn. `..` goes back to a folder that was passed on the way, so none
/// leads above the root.
fn by_steps(
    root: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    how: ResolveFlags,
) -> Result<OwnedFd> {
    let start = openat(root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mount = how.contains(ResolveFlags::NO_XDEV).then(|| mount_id(root)).transpose()?;
    let is_folder = path.as_os_str().as_bytes().ends_with(b"/");
    let flags = if is_folder { flags | OFlags::DIRECTORY } else { flags };
    let mut walk = Walk { way: vec![start], names: VecDeque::new(), how };
    walk.put(path)?;
    let mut links = 0;
    while let Some(name) = walk.names.pop_front() {
        if name == "." {
            continue;
        }
        if name == ".." {
            walk.back()?;
            continue;
        }
        let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = openat(walk.here(), &name, step, Mode::empty())?;
        let kind = FileType::from_raw_mode(fstat(&next)?.st_mode);
        if kind == FileType::Symlink {
            links += 1;
            if links > MAX_LINKS || how.contains(ResolveFlags::NO_SYMLINKS) {
                return Err(Errno::LOOP);
            }
            let target = readlinkat(&next, "", Vec::new())?.into_bytes();
            if is_magic(next.as_fd(), &target)? {
                return Err(if how.contains(ResolveFlags::NO_MAGICLINKS) {
                    Errno::LOOP
                } else {
                    Errno::XDEV
                });
            }
            walk.put(Path::new(&OsString::from_vec(target)))?;
            continue;
        }
        if mount.is_some_and(|own| mount_id(next.as_fd()) != Ok(own)) {
            return Err(Errno::XDEV);
        }
        if walk.names.is_empty() {
            return match flags.contains(OFlags::PATH) {
                // What was examined, whatever has the name by now.
                true if kind == FileType::Directory || !flags.contains(OFlags::DIRECTORY) => {
                    Ok(next)
                }
                true => Err(Errno::NOTDIR),
                false => {
                    let opened =
                        openat(walk.here(), &name, flags | OFlags::NOFOLLOW, Mode::empty())?;
                    // The name may have been given to something else, or been mounted over.
                    match identity(opened.as_fd())? == identity(next.as_fd())? {
                        true => Ok(opened),
                        false => Err(Errno::AGAIN),
                    }
                }
            };
        }
        if kind != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        walk.way.push(next);
    }
    openat(walk.here(), ".", flags, Mode::empty())
}

struct Walk {
    /// The folders from the root to the present one.
    way: Vec<OwnedFd>,
    names: VecDeque<OsString>,
    how: ResolveFlags,
}

impl Walk {
    fn here(&self) -> BorrowedFd<'_> {
        self.way[self.way.len() - 1].as_fd()
    }

    /// Goes on with the names of `path`.
    fn put(&mut self, path: &Path) -> Result<()> {
        if path.has_root() {
            if self.how.contains(ResolveFlags::BENEATH) {
                return Err(Errno::XDEV);
            }
            self.way.truncate(1);
        }
        // Not its components, which know no `.`: behind a file that is an error.
        let names = path.as_os_str().as_bytes().split(|byte| *byte == b'/').map(OsStr::from_bytes);
        let names = names.filter(|name| !name.is_empty());
        for (index, name) in names.enumerate() {
            self.names.insert(index, name.to_owned());
        }
        Ok(())
    }

    fn back(&mut self) -> Result<()> {
        if self.way.len() > 1 {
            self.way.pop();
        } else if self.how.contains(ResolveFlags::BENEATH) {
            return Err(Errno::XDEV);
        }
        Ok(())
    }
}

/// Whether a link is one that procfs follows by itself (proc(5)): all there but `self`, `thread-self`
/// and those that lead by them.
fn is_magic(link: BorrowedFd<'_>, target: &[u8]) -> Result<bool> {
    let is_own = target.starts_with(b"self/") || target.first().is_some_and(u8::is_ascii_digit);
    Ok(fstatfs(link)?.f_type as u64 == PROC_SUPER_MAGIC && !is_own)
}

fn mount_id(place: BorrowedFd<'_>) -> Result<u64> {
    let found = statx(place, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    match StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) {
        true => Ok(found.stx_mnt_id),
        false => Err(Errno::NOSYS),
    }
}

/// Which file it is, and by which mount.
fn identity(place: BorrowedFd<'_>) -> Result<(u64, u64, u64)> {
    let found = fstat(place)?;
    Ok((mount_id(place)?, found.st_dev, found.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, remove_dir_all, write};
    use std::os::unix::fs::symlink;

    /// Every way of up to four names through a small tree of folders, files and links.
    #[test]
    fn the_same_with_and_without_openat2() {
        let top = std::env::temp_dir().join(format!("resolve-{}", std::process::id()));
        let root = top.join("root");
        create_dir_all(root.join("a/b")).unwrap();
        write(root.join("file"), "").unwrap();
        write(root.join("a/b/file"), "").unwrap();
        for (target, link) in [
            ("/a", "absolute"),
            ("../../a/b", "a/up"),
            ("b/../../file", "a/over"),
            ("circle", "circle"),
            ("nothing", "dead"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let folder = std::fs::File::open(&root).unwrap();
        let names = ["a", "b", "file", "..", "absolute", "up", "over", "circle", "dead", "."];
        let plain = [ResolveFlags::empty(), ResolveFlags::NO_SYMLINKS, ResolveFlags::NO_XDEV];
        let ways = [ResolveFlags::BENEATH, ResolveFlags::IN_ROOT];
        let how: Vec<_> = ways.iter().flat_map(|way| plain.map(|more| *way | more)).collect();
        for number in 0..names.len().pow(4) {
            let digit = |place: u32| names[number / names.len().pow(place) % names.len()];
            for path in [
                format!("{}/{}/{}/{}", digit(0), digit(1), digit(2), digit(3)),
                format!("/{}/{}", digit(0), digit(1)),
                format!("{}/{}/", digit(0), digit(1)),
            ] {
                let path = Path::new(&path);
                let how = how[number % how.len()];
                let access = if number % 2 == 0 { OFlags::PATH } else { OFlags::RDONLY };
                let flags = access | OFlags::CLOEXEC;
                let one = openat2(&folder, path, flags, Mode::empty(), how);
                let other = by_steps(folder.as_fd(), path, flags, how);
                let inode = |found: Result<OwnedFd>| found.map(|fd| fstat(fd).unwrap().st_ino);
                assert_eq!(inode(one), inode(other), "{path:?} {how:?}");
            }
        }
        remove_dir_all(top).unwrap();
    }

    #[test]
    fn links_of_procfs() {
        let root = std::fs::File::open("/").unwrap();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        for path in
            ["proc/self", "proc/mounts", "proc/self/fd/1", "proc/self/cwd/x", "proc/self/ns/net"]
        {
            for how in [ResolveFlags::IN_ROOT, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS]
            {
                let path = Path::new(path);
                let one = openat2(&root, path, flags, Mode::empty(), how).map(drop);
                assert_eq!(by_steps(root.as_fd(), path, flags, how).map(drop), one, "{path:?}");
            }
        }
    }

    #[test]
    fn no_other_mount_is_entered() {
        let root = std::fs::File::open("/").unwrap();
        let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_XDEV;
        for path in ["/proc", "/proc/self/stat"] {
            let found = by_steps(root.as_fd(), Path::new(path), OFlags::PATH, how);
            assert_eq!(found.map(drop), Err(Errno::XDEV));
        }
    }
}

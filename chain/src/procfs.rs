//! The procfs at /proc, opened so that nothing mounted over it, or in its place, is read or written.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstat, fstatfs, open, openat,
    openat2, readlinkat, statx,
};

use crate::error::{Error, Result, ResultExt};

/// procfs's magic number (linux/magic.h).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;
/// The inode of procfs's root folder.
const PROC_ROOT_INODE: u64 = 1;

/// The root folder of a procfs.
#[derive(Debug)]
pub struct Procfs(OwnedFd);

impl Procfs {
    /// Opens /proc and checks that it is a procfs's root.
    pub fn open() -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = open("/proc", flags, Mode::empty()).or_fail_on("can't open", "/proc")?;
        let magic = fstatfs(&root).or_fail_on("can't examine", "/proc")?.f_type;
        let inode = fstat(&root).or_fail_on("can't examine", "/proc")?.st_ino;
        if magic as u64 != PROC_SUPER_MAGIC || inode != PROC_ROOT_INODE {
            return Err(Error::new("refused").object("/proc").reason("it is not a procfs"));
        }
        Ok(Procfs(root))
    }

    /// Opens `path` below the root: no symbolic link is followed, no mount crossed.
    pub fn file(&self, path: &str, flags: OFlags) -> Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        rustix::io::retry_on_intr(|| {
            openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
        })
        .or_else(|errno| match errno {
            rustix::io::Errno::NOSYS => self.file_by_steps(path, flags),
            errno => Err(errno),
        })
        .map_err(|errno| {
            Error::new("can't open").object(format!("/proc/{path}")).because(errno).hint_if(
                nix::errno::Errno::EXDEV,
                "something is mounted over it; a procfs without that is needed",
            )
        })
    }

    /// As openat2(2) would, for a seccomp filter that hides it (systemd's RestrictSUIDSGID=, which
    /// DynamicUser= implies): one name at a time, each in the procfs's own mount.
    fn file_by_steps(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let mount = |fd: BorrowedFd<'_>| -> rustix::io::Result<u64> {
            let found = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
            match StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) {
                true => Ok(found.stx_mnt_id),
                false => Err(rustix::io::Errno::NOSYS),
            }
        };
        let own = mount(self.as_fd())?;
        let mut folder: Option<OwnedFd> = None;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            let last = names.peek().is_none();
            let flags = if last { flags } else { OFlags::PATH | OFlags::DIRECTORY };
            let at = folder.as_ref().map_or(self.as_fd(), AsFd::as_fd);
            let next = openat(at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
            let kind = FileType::from_raw_mode(fstat(&next)?.st_mode);
            if matches!(name, "" | "." | "..") || kind == FileType::Symlink {
                return Err(rustix::io::Errno::LOOP);
            }
            if mount(next.as_fd())? != own {
                return Err(rustix::io::Errno::XDEV);
            }
            folder = Some(next);
        }
        folder.ok_or(rustix::io::Errno::NOENT)
    }

    /// The whole of a small file.
    pub fn read(&self, path: &str) -> Result<String> {
        String::from_utf8(self.read_bytes(path)?).map_err(|_| {
            Error::new("can't read").object(format!("/proc/{path}")).reason("not plain text")
        })
    }

    /// As [`Procfs::read`], of a file that has names of others in it.
    pub fn read_bytes(&self, path: &str) -> Result<Vec<u8>> {
        let file = self.file(path, OFlags::RDONLY)?;
        // std::fs::File would ask for the size and the offset, and begin with a few bytes.
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let length = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer))
                .or_fail_on("can't read", format!("/proc/{path}"))?;
            if length == 0 {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&buffer[..length]);
        }
    }

    /// Writes `text` in one write(2), as the kernel's knobs want it.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        let what = "can't write";
        let object = format!("/proc/{path}");
        let mut file = std::fs::File::from(self.file(path, OFlags::WRONLY)?);
        match file.write(text.as_bytes()).or_fail_on(what, &object)? {
            written if written == text.len() => Ok(()),
            _ => Err(Error::new(what).object(object).reason("written in part only")),
        }
    }

    /// The id of the calling process as this procfs names it, which differs from getpid(2)'s if
    /// the procfs belongs to another PID namespace.
    pub fn own_id(&self) -> Result<String> {
        let own = readlinkat(&self.0, "self", Vec::new()).map_err(|errno| {
            Error::new("can't read").object("/proc/self").because(errno).hint_if(
                nix::errno::Errno::ENOENT,
                "/proc belongs to a PID namespace that this process is not in: let ns-unshare mount one (--mount-proc)",
            )
        })?;
        Ok(own.to_string_lossy().into_owned())
    }
}

impl AsFd for Procfs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_with_and_without_openat2() {
        let procfs = Procfs::open().unwrap();
        let own = procfs.own_id().unwrap();
        for path in ["self/stat", "nothing", "..", "self", "sys/kernel/../pid_max"] {
            assert!(procfs.file(path, OFlags::RDONLY).is_err(), "{path}");
            assert!(procfs.file_by_steps(path, OFlags::RDONLY).is_err(), "{path}");
        }
        for path in [format!("{own}/stat"), format!("{own}/ns"), "sys/kernel/pid_max".to_owned()] {
            let (one, other) =
                (procfs.file(&path, OFlags::PATH), procfs.file_by_steps(&path, OFlags::PATH));
            let inode = |fd: Result<OwnedFd>| fstat(fd.unwrap()).unwrap().st_ino;
            assert_eq!(inode(one), inode(other.or_fail("by steps")), "{path}");
        }
    }
}

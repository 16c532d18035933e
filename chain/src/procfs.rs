//! The procfs at /proc, opened so that nothing mounted over it, or in its place, is read or written.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, fstat, fstatfs, open, readlinkat};

use crate::error::{Error, Result, ResultExt};
use crate::resolve::{self, PROC_SUPER_MAGIC};

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
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        resolve::open(self.as_fd(), Path::new(path), flags, how).map_err(|errno| {
            Error::new("can't open").object(format!("/proc/{path}")).because(errno).hint_if(
                nix::errno::Errno::EXDEV,
                "something is mounted over it; a procfs without that is needed",
            )
        })
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
        whole(&file).or_fail_on("can't read", format!("/proc/{path}"))
    }

    /// The parent of process `pid`, 0 if that is in no PID namespace of this procfs; nothing if there
    /// is no such process (any more).
    pub fn parent(&self, pid: i32) -> Option<i32> {
        parent(&self.read(&format!("{pid}/stat")).ok()?)
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

/// The whole of a file of procfs. (std::fs::File would ask for the size and the offset, and begin with a few
/// bytes.) A read may come to less than there is wherever the next line doesn't fit in.
pub(crate) fn whole(file: impl AsFd) -> rustix::io::Result<Vec<u8>> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut buffer))? {
            0 => return Ok(bytes),
            length => bytes.extend_from_slice(&buffer[..length]),
        }
    }
}

/// The parent's id in /proc/PID/stat: the second field after the name, which may hold anything.
fn parent(stat: &str) -> Option<i32> {
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
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
    fn a_name_can_hold_anything() {
        assert_eq!(parent("12 (a) R 9 (x) S 7 12 12 0"), Some(7));
        assert_eq!(parent("12"), None);
    }

    #[test]
    fn no_way_leads_out() {
        let procfs = Procfs::open().unwrap();
        let own = procfs.own_id().unwrap();
        for path in ["self/stat", "nothing", "..", "self", "/proc/stat"] {
            assert!(procfs.file(path, OFlags::RDONLY).is_err(), "{path}");
        }
        for path in [format!("{own}/stat"), format!("{own}/ns"), "sys/kernel/pid_max".to_owned()] {
            assert!(procfs.file(&path, OFlags::PATH).is_ok(), "{path}");
        }
    }
}

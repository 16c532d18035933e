//! Where our own tools are found: the folder of this executable, or after a pivot the detached
//! mount of it that `fs-pivot` passed on.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::error::{Error, Result, ResultExt};
use crate::search;
use crate::sys;

/// The folder that holds our tools.
#[derive(Debug)]
pub enum Toolbox {
    /// The folder of this executable, in the current root.
    BesideThis,
    /// A detached mount, made before the root was changed.
    Detached(OwnedFd),
}

impl Toolbox {
    /// The toolbox that the link before handed on, or the folder of this executable.
    pub fn from_handover(fd: Option<RawFd>) -> Result<Self> {
        match fd {
            None => Ok(Toolbox::BesideThis),
            Some(fd) => {
                let fd = sys::adopt(fd).or_fail("can't take over the toolbox")?;
                Ok(Toolbox::Detached(fd))
            }
        }
    }

    /// The descriptor to hand on, if there is one.
    pub fn descriptor(&self) -> Option<RawFd> {
        match self {
            Toolbox::BesideThis => None,
            Toolbox::Detached(fd) => Some(fd.as_raw_fd()),
        }
    }

    /// Opens the folder, for its place in the file system only (O_PATH).
    pub fn open(&self) -> Result<OwnedFd> {
        use rustix::fs::{CWD, Mode, OFlags, openat};
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let what = "can't open the folder of our own tools";
        match self {
            Toolbox::BesideThis => openat(CWD, own_folder()?, flags, Mode::empty()).or_fail(what),
            Toolbox::Detached(fd) => openat(fd, ".", flags, Mode::empty()).or_fail(what),
        }
    }

    /// Executes tool `name` in place of this process; returns only if that fails.
    pub fn exec(&self, name: &str, arguments: &[CString], environment: &[CString]) -> Error {
        let failed = |error: io::Error| {
            let status = match error.kind() {
                io::ErrorKind::NotFound => crate::error::NOT_FOUND,
                _ => crate::error::NOT_EXECUTABLE,
            };
            let error = Error::new("can't execute").object(name).because(error);
            let absent = "all tools of Catena must be installed in one folder";
            let hints = [(nix::errno::Errno::ENOENT, absent)].into_iter().chain(search::NO_ROOM);
            hints.fold(error.with_status(status), |error, (errno, hint)| error.hint_if(errno, hint))
        };
        let result = match self {
            Toolbox::Detached(fd) => {
                let file = CString::new(name).expect("our names have no NUL");
                let flags = nix::fcntl::AtFlags::empty();
                nix::unistd::execveat(fd, &file, arguments, environment, flags)
            }
            Toolbox::BesideThis => match own_folder() {
                Ok(folder) => {
                    let path = folder.join(name).into_os_string().into_vec();
                    let path = CString::new(path).expect("a path from the kernel has no NUL");
                    nix::unistd::execve(&path, arguments, environment)
                }
                Err(error) => return error,
            },
        };
        let Err(errno) = result;
        failed(errno.into())
    }
}

/// The folder that this executable was started from.
pub fn own_folder() -> Result<PathBuf> {
    let link = "/proc/self/exe";
    let path = std::fs::read_link(link)
        .or_fail_on("can't find our own tools by", link)
        .map_err(|e| e.hint_if(nix::errno::Errno::ENOENT, "a procfs must be mounted at /proc"))?;
    match path.parent() {
        Some(folder) if path.is_absolute() => Ok(folder.to_owned()),
        _ => Err(Error::new("can't find our own tools by").object(link).reason("not a path")),
    }
}

//! Where the app's socket is: a folder of its own, removed at the end, and by the next start if
//! this process was killed.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use chain::environment::Environment;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{self, AtFlags, CWD, Dir, Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with,
};

/// The longest path that fits in sockaddr_un (unix(7)) with its NUL, which some programs need.
const MAX_PATH: usize = 107;
/// What the folders' names begin with.
const PREFIX: &str = "catena-notify-";
/// The socket's name until it gets its secret one.
const FIRST_NAME: &str = "socket";
/// The length of the secret one, and of the folder's random part.
const SECRET: usize = 32;
const RANDOM: usize = 8;

/// The folder and the socket's path in it.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    folder: OwnedFd,
    removed: bool,
}

impl Place {
    /// Makes the folder, so that the socket's path is one that every program can connect to.
    pub fn create(environment: &Environment) -> Result<Self> {
        let name = format!("{PREFIX}{}", random_name(RANDOM)?);
        let socket = random_name(SECRET)?;
        let what = "can't make a folder for the app's socket";
        let mut refused = Error::new(what)
            .reason("the paths in RUNTIME_DIRECTORY and XDG_RUNTIME_DIR are too long");
        for parent in parents(environment) {
            let path = parent.join(&name);
            if path.as_os_str().len() + 1 + SECRET > MAX_PATH {
                continue;
            }
            match private_folder(&path) {
                Ok(folder) => {
                    remove_stale(&parent);
                    return Ok(Place { path: path.join(&socket), folder, removed: false });
                }
                Err(errno) => refused = Error::new(what).object(parent).because(errno),
            }
        }
        Err(refused)
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Binds `socket`, by a path of which /proc/net/unix shows nothing that helps.
    pub fn bind(&self, socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
        bind(socket, &by_descriptor(&self.folder, FIRST_NAME)?)?;
        let all = Mode::from_raw_mode(0o666);
        fs::chmodat(&self.folder, FIRST_NAME, all, AtFlags::empty())?;
        fs::renameat(&self.folder, FIRST_NAME, &self.folder, self.name())
    }

    /// In another process than the one that is to remove it.
    pub fn leave(&mut self) {
        self.removed = true;
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.removed {
            // Nothing can be done about a failure, and what is left harms nobody.
            let _ = fs::unlinkat(&self.folder, FIRST_NAME, AtFlags::empty());
            let _ = fs::unlinkat(&self.folder, self.name(), AtFlags::empty());
            if let Some(folder) = self.path.parent() {
                let _ = fs::unlinkat(CWD, folder, AtFlags::REMOVEDIR);
            }
        }
    }
}

/// Where a socket can be put, the best first. What systemd made for the unit it also removes. An
/// ordinary user's own folder is closed to all others, which is as good; root's may have to be
/// passed by another user, the app's.
fn parents(environment: &Environment) -> Vec<PathBuf> {
    let first = |list: &OsStr| std::env::split_paths(list).next();
    let unit = environment.get("RUNTIME_DIRECTORY").and_then(first);
    let user = match rustix::process::geteuid().is_root() {
        true => None,
        false => environment.get("XDG_RUNTIME_DIR").map(PathBuf::from),
    };
    let fixed = ["/run", "/tmp"].map(PathBuf::from);
    let all = unit.into_iter().chain(user).chain(fixed);
    all.filter(|parent| parent.is_absolute()).collect()
}

/// A new folder that others may pass, but neither list nor change.
fn private_folder(path: &Path) -> Result<OwnedFd, Errno> {
    let raw = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    fs::mkdir(path, Mode::RWXU).map_err(raw)?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = fs::open(path, flags, Mode::empty())
        .and_then(|folder| fs::fchmod(&folder, Mode::from_raw_mode(0o711)).map(|()| folder));
    opened.map_err(|errno| {
        let _ = fs::rmdir(path);
        raw(errno)
    })
}

/// Removes what a process that was killed could not: a socket gets its secret name only once it is
/// bound, so one by that name that refuses a connection has lost its owner. Others' folders can't
/// be listed.
fn remove_stale(parent: &Path) {
    for name in names_in(CWD, parent, PREFIX.len() + RANDOM) {
        if !name.as_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let path = parent.join(name);
        for socket in names_in(CWD, &path, SECRET) {
            let _ = remove_if_dead(&path, &socket);
        }
    }
}

fn remove_if_dead(path: &Path, socket: &OsStr) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = fs::open(path, flags, Mode::empty())?;
    let flags = SocketFlags::CLOEXEC;
    let probe = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    match connect(&probe, &by_descriptor(&folder, socket)?) {
        Err(rustix::io::Errno::CONNREFUSED) => {
            fs::unlinkat(&folder, socket, AtFlags::empty())?;
            fs::unlinkat(CWD, path, AtFlags::REMOVEDIR)
        }
        _ => Ok(()),
    }
}

/// The names of this length in a folder; none if it can't be listed.
fn names_in(at: BorrowedFd<'_>, path: &Path, length: usize) -> Vec<std::ffi::OsString> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(folder) = fs::openat(at, path, flags, Mode::empty()).and_then(Dir::read_from) else {
        return Vec::new();
    };
    folder
        .flatten()
        .map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
        .filter(|name| name.len() == length)
        .collect()
}

/// The address of a socket in an open folder, however long the folder's path.
pub fn by_descriptor(
    folder: &OwnedFd,
    name: impl AsRef<OsStr>,
) -> rustix::io::Result<SocketAddrUnix> {
    let folder = format!("/proc/self/fd/{}", folder.as_raw_fd());
    SocketAddrUnix::new(Path::new(&folder).join(name.as_ref()))
}

/// A name of this many hexadecimal digits that nobody can guess.
pub fn random_name(digits: usize) -> Result<String> {
    let mut random = vec![0_u8; digits / 2];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut random[..], flags).or_fail("can't get random bytes")?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

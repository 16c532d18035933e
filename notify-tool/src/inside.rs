//! The socket that the app sends to.
//!
//! Any user may write to it, since the app's user is not known here; so its address is a secret: a
//! random name in a folder that others may pass but not list, and bound by a path of which
//! /proc/net/unix shows nothing. Only those who were handed NOTIFY_SOCKET know it, and those who
//! may read this user's processes anyway.

use std::ffi::OsStr;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::environment::Environment;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{self, AtFlags, CWD, Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, Shutdown,
    SocketAddrUnix, SocketFlags, SocketType, UCred, bind, recvmsg, shutdown, socket_with, sockopt,
};

use crate::message::MAX_LENGTH;

/// The longest path that fits in sockaddr_un (unix(7)) with its NUL, which some programs need.
const MAX_PATH: usize = 107;
/// The kernel's SCM_MAX_FD: as many descriptors as one datagram can carry.
const MAX_DESCRIPTORS: usize = 253;
/// The socket's name until it gets its secret one.
const FIRST_NAME: &str = "socket";

/// A bound socket, and the folder made for it.
#[derive(Debug)]
pub struct Inside {
    socket: OwnedFd,
    place: Place,
}

/// What must be removed at the end.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    folder: OwnedFd,
    removed: bool,
}

/// A datagram as it came.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub bytes: Vec<u8>,
    /// Its descriptors.
    pub descriptors: Vec<OwnedFd>,
    /// Who sent it, as the kernel knows it.
    pub sender: Option<UCred>,
    /// It was longer than any that systemd takes, or its descriptors could not all be received.
    pub is_cut: bool,
}

impl Inside {
    /// Makes the folder and the socket in it.
    pub fn create(environment: &Environment) -> Result<Self> {
        let what = "can't make the socket for the app";
        let place = Place::create(environment)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).or_fail(what)?;
        sockopt::set_socket_passcred(&socket, true).or_fail(what)?;
        place.bind(socket.as_fd()).or_fail_on(what, &place.path)?;
        Ok(Inside { socket, place })
    }

    /// The value of NOTIFY_SOCKET for the chain.
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// In the child after the fork: what is here is the monitor's to remove.
    pub fn leave_to_the_monitor(mut self) {
        self.place.removed = true;
    }

    /// Takes nothing more, so that what is left to receive has an end.
    pub fn refuse_more(&self) {
        // It can't fail on a socket of this kind.
        let _ = shutdown(&self.socket, Shutdown::Read);
    }

    /// The next datagram, if there is one.
    pub fn receive(&self) -> Result<Option<Received>> {
        let mut bytes = vec![0; MAX_LENGTH];
        let mut space = [MaybeUninit::uninit();
            rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS), ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let result = rustix::io::retry_on_intr(|| {
            let mut parts = [IoSliceMut::new(&mut bytes)];
            recvmsg(&self.socket, &mut parts, &mut control, flags)
        });
        let message = match result {
            Ok(message) => message,
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(errno).or_fail("can't receive from the app"),
        };
        bytes.truncate(message.bytes);
        let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
        let mut received = Received {
            bytes,
            descriptors: Vec::new(),
            sender: None,
            is_cut: message.flags.intersects(cut),
        };
        for part in control.drain() {
            match part {
                RecvAncillaryMessage::ScmRights(fds) => received.descriptors.extend(fds),
                RecvAncillaryMessage::ScmCredentials(sender) => received.sender = Some(sender),
                _ => {}
            }
        }
        Ok(Some(received))
    }
}

impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Place {
    /// Makes the folder, with a path for the socket that every program can connect to.
    fn create(environment: &Environment) -> Result<Self> {
        let name = format!("catena-{}", secret(4)?);
        let socket = secret(16)?;
        let mut refused = Error::new("no folder for the app's socket")
            .reason("none of $RUNTIME_DIRECTORY, /run and /tmp can be used");
        for parent in parents(environment) {
            let path = parent.join(&name);
            if path.as_os_str().len() + 1 + socket.len() > MAX_PATH {
                continue;
            }
            match private_folder(&path) {
                Ok(folder) => {
                    let path = path.join(&socket);
                    let removed = false;
                    return Ok(Place { path, folder, removed });
                }
                Err(errno) => {
                    let what = "can't make a folder for the app's socket";
                    refused = Error::new(what).object(parent).because(errno);
                }
            }
        }
        Err(refused)
    }

    fn bind(&self, socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let path = format!("/proc/self/fd/{}/{FIRST_NAME}", self.folder.as_raw_fd());
        bind(socket, &SocketAddrUnix::new(path)?)?;
        fs::chmodat(&self.folder, FIRST_NAME, Mode::from_raw_mode(0o666), AtFlags::empty())?;
        fs::renameat(&self.folder, FIRST_NAME, &self.folder, self.name())
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

/// Where a socket can be put, the best first. What systemd made for the unit it also removes,
/// should this process be killed. An ordinary user's own folder is closed to all others, which is
/// as good; root's may have to be passed by another user, the app's.
fn parents(environment: &Environment) -> Vec<PathBuf> {
    let unit = environment.get("RUNTIME_DIRECTORY").map(first_of_list);
    let user = match rustix::process::geteuid().is_root() {
        true => None,
        false => environment.get("XDG_RUNTIME_DIR").map(PathBuf::from),
    };
    let fixed = ["/run", "/tmp"].map(PathBuf::from);
    let all = unit.into_iter().chain(user).chain(fixed);
    all.filter(|parent| parent.is_absolute()).collect()
}

fn first_of_list(list: &OsStr) -> PathBuf {
    std::env::split_paths(list).next().unwrap_or_default()
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

/// A name that nobody can guess.
fn secret(bytes: usize) -> Result<String> {
    let mut random = vec![0_u8; bytes];
    let flags = rustix::rand::GetRandomFlags::empty();
    rustix::rand::getrandom(&mut random[..], flags).or_fail("can't get random bytes")?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

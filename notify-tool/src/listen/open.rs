//! Opening what is to be handed on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
    sockopt,
};

use super::address::{Address, Listen, Transport};
use crate::place::by_descriptor;

/// How many connections wait for the app at most; the kernel's own limit, net.core.somaxconn, is
/// the same by default.
const BACKLOG: i32 = 4096;

/// Opens it.
pub fn open(what: &Listen, word: &str) -> Result<OwnedFd> {
    match &what.address {
        Address::Internet(transport, address) => internet(*transport, *address, word),
        Address::Unix(transport, path) => local(*transport, path, what.mode, word),
        Address::Fifo(path) => fifo(path, what.mode).or_fail_on(FAILED, word),
    }
}

const FAILED: &str = "can't listen on";

fn internet(transport: Transport, address: SocketAddr, word: &str) -> Result<OwnedFd> {
    let opened = match try_internet(transport, address) {
        // A host without IPv6: every address of it is every IPv4 address.
        Err(rustix::io::Errno::AFNOSUPPORT) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            let all = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
            try_internet(transport, all)
        }
        opened => opened,
    };
    opened.map_err(|errno| {
        Error::new(FAILED)
            .object(word)
            .because(errno)
            .hint_if(Errno::EACCES, "ports below net.ipv4.ip_unprivileged_port_start are root's")
            .hint_if(Errno::EADDRINUSE, "ss -ltnup shows who listens there")
    })
}

fn try_internet(transport: Transport, address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, kind(transport), SocketFlags::CLOEXEC, None)?;
    if transport == Transport::Stream {
        // As every server does: a port whose last connections have just ended is free.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    bind(&socket, &address)?;
    finish(transport, socket)
}

fn local(transport: Transport, path: &Path, mode: Option<u32>, word: &str) -> Result<OwnedFd> {
    if let Some(name) = path.as_os_str().as_bytes().strip_prefix(b"@") {
        let open = || {
            let flags = SocketFlags::CLOEXEC;
            let socket = socket_with(AddressFamily::UNIX, kind(transport), flags, None)?;
            bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
            finish(transport, socket)
        };
        return open().or_fail_on(FAILED, word);
    }
    remove_if_dead(transport, path).or_fail_on(FAILED, word)?;
    in_file_system(transport, path, mode).or_fail_on(FAILED, word)
}

/// By a descriptor of the folder, so that the path may be longer than sockaddr_un. The socket
/// takes connections only once it has its mode.
fn in_file_system(
    transport: Transport,
    path: &Path,
    mode: Option<u32>,
) -> rustix::io::Result<OwnedFd> {
    let (folder, name) = parent(path)?;
    let socket = socket_with(AddressFamily::UNIX, kind(transport), SocketFlags::CLOEXEC, None)?;
    let old = rustix::process::umask(Mode::from_raw_mode(!mode.unwrap_or(0o666) & 0o777));
    let bound = by_descriptor(&folder, name).and_then(|address| bind(&socket, &address));
    rustix::process::umask(old);
    bound?;
    finish(transport, socket)
}

fn parent(path: &Path) -> rustix::io::Result<(OwnedFd, &std::ffi::OsStr)> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(rustix::io::Errno::INVAL);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((fs::open(folder, flags, Mode::empty())?, name))
}

/// Removes the socket that a server before left behind; one that is served stays, and so the
/// path is in use.
fn remove_if_dead(transport: Transport, path: &Path) -> rustix::io::Result<()> {
    let is_socket =
        fs::lstat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket);
    if !is_socket {
        return Ok(());
    }
    let (folder, name) = parent(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = socket_with(AddressFamily::UNIX, kind(transport), flags, None)?;
    match connect(&probe, &by_descriptor(&folder, name)?) {
        Err(rustix::io::Errno::CONNREFUSED) => fs::unlinkat(&folder, name, AtFlags::empty()),
        _ => Ok(()),
    }
}

/// Opened for reading and writing, so that a writer that goes away is no end of file.
fn fifo(path: &Path, mode: Option<u32>) -> rustix::io::Result<OwnedFd> {
    let wanted = Mode::from_raw_mode(mode.unwrap_or(0o666));
    let old = rustix::process::umask(Mode::empty());
    let made = fs::mknodat(CWD, path, FileType::Fifo, wanted, 0);
    rustix::process::umask(old);
    match made {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fifo = fs::open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(fs::fstat(&fifo)?.st_mode) != FileType::Fifo {
        return Err(rustix::io::Errno::EXIST);
    }
    Ok(fifo)
}

fn finish(transport: Transport, socket: OwnedFd) -> rustix::io::Result<OwnedFd> {
    if transport == Transport::Stream {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

fn kind(transport: Transport) -> SocketType {
    match transport {
        Transport::Stream => SocketType::STREAM,
        Transport::Datagram => SocketType::DGRAM,
    }
}

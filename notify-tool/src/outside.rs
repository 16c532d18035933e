//! The NOTIFY_SOCKET that this process was given: the service manager's.

use std::ffi::{OsStr, OsString};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use chain::environment::Environment;
use chain::{Error, Result, ResultExt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType, connect, sendmsg, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::inside::MAX_DESCRIPTORS;
use crate::place::by_descriptor;

/// How long the end of this process waits for a service manager that does not read.
const PATIENCE: Duration = Duration::from_secs(5);

/// A socket connected to the service manager's.
#[derive(Debug)]
pub struct Outside {
    socket: OwnedFd,
    address: OsString,
}

impl Outside {
    /// Connects to NOTIFY_SOCKET; `None` if there is none.
    pub fn from_environment(environment: &Environment) -> Result<Option<Self>> {
        let address = environment.get("NOTIFY_SOCKET");
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return Ok(None);
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
            .or_fail("can't make a socket")?;
        let outside = Outside { socket, address: address.to_owned() };
        if !matches!(address.as_bytes()[0], b'/' | b'@') {
            return Err(Error::new("can't use NOTIFY_SOCKET")
                .object(address)
                .reason("neither a path from the root nor an abstract address"));
        }
        let connected = outside.connect();
        connected.map_err(|errno| {
            Error::new("can't connect to NOTIFY_SOCKET")
                .object(address)
                .because(errno)
                .hint("without NOTIFY_SOCKET the chain runs by itself: env -u NOTIFY_SOCKET")
        })?;
        Ok(Some(outside))
    }

    fn connect(&self) -> rustix::io::Result<()> {
        if let Some(name) = self.address.as_bytes().strip_prefix(b"@") {
            return connect(&self.socket, &SocketAddrUnix::new_abstract_name(name)?);
        }
        match SocketAddrUnix::new(&*self.address) {
            Ok(address) => connect(&self.socket, &address),
            // Longer than sockaddr_un: by a descriptor of its folder.
            Err(_) => {
                let path = Path::new(&self.address);
                let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
                    return Err(Errno::INVAL);
                };
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let folder = open(folder, flags, Mode::empty())?;
                connect(&self.socket, &by_descriptor(&folder, name)?)
            }
        }
    }

    /// Sends one message without waiting: EAGAIN if the service manager has to read first. One
    /// that was restarted in the meantime is connected to again.
    pub fn send(&self, text: &[u8], descriptors: &[OwnedFd]) -> rustix::io::Result<()> {
        match self.send_once(text, descriptors) {
            Err(Errno::CONNREFUSED | Errno::NOTCONN | Errno::CONNRESET) => {
                self.connect()?;
                self.send_once(text, descriptors)
            }
            result => result,
        }
    }

    fn send_once(&self, text: &[u8], descriptors: &[OwnedFd]) -> rustix::io::Result<()> {
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !borrowed.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&borrowed)) {
            return Err(Errno::TOOMANYREFS);
        }
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        rustix::io::retry_on_intr(|| {
            sendmsg(&self.socket, &[IoSlice::new(text)], &mut control, flags)
        })
        .map(drop)
    }

    /// Sends one message, waiting for a slow service manager until `deadline`.
    pub fn send_until(
        &self,
        deadline: Instant,
        text: &[u8],
        descriptors: &[OwnedFd],
    ) -> rustix::io::Result<()> {
        loop {
            match self.send(text, descriptors) {
                Err(Errno::AGAIN) if wait(self.as_fd(), PollFlags::OUT, deadline) => {}
                result => return result,
            }
        }
    }

    /// Waits until the service manager has dealt with all that was sent: it closes the descriptor
    /// of BARRIER=1 then (sd_notify_barrier(3)). systemd looks a sender up by its process id and
    /// drops what comes from one that is gone.
    pub fn barrier(&self, deadline: Instant) -> Result<()> {
        let what = "can't make sure that the last message arrived";
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).or_fail(what)?;
        let descriptors = [write];
        self.send_until(deadline, b"BARRIER=1", &descriptors)
            .or_fail_on(what, OsStr::new(&self.address))?;
        drop(descriptors);
        if wait(read.as_fd(), PollFlags::empty(), deadline) {
            Ok(())
        } else {
            let error = Error::new(what).object(&self.address);
            Err(error.reason("the service manager does not answer"))
        }
    }

    /// When the patience with the service manager ends, if it begins now.
    pub fn deadline() -> Instant {
        Instant::now() + PATIENCE
    }

    /// The address, for messages.
    pub fn address(&self) -> &OsStr {
        &self.address
    }
}

impl AsFd for Outside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for `events`, or the end of the other side, until `deadline`; says whether that came.
fn wait(fd: BorrowedFd<'_>, events: PollFlags, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::from_borrowed_fd(fd, events)], Some(&timeout)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

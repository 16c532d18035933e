//! The socket that the app sends to.
//!
//! Any user may write to it, since the app's user is not known here; so its address is a secret: a
//! random name in a folder that others may pass but not list. Only those who were handed
//! NOTIFY_SOCKET know it, and those who may look into this user's processes anyway.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use chain::environment::Environment;
use chain::{Errno, Result, ResultExt, sys};
use rustix::net::{
    AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socket_with, sockopt,
};

use crate::control;
use crate::message::MAX_LENGTH;
use crate::place::Place;

/// The kernel's SCM_MAX_FD: as many descriptors as one datagram can carry.
pub const MAX_DESCRIPTORS: usize = 253;
/// Room for them and for the sender's credentials, in words of eight bytes, heads included.
const CONTROL_LENGTH: usize = 2 + MAX_DESCRIPTORS.div_ceil(2) + 2 + 2;

/// A bound socket, and the folder made for it.
#[derive(Debug)]
pub struct Inside {
    socket: OwnedFd,
    place: Place,
}

/// A datagram as it came.
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub bytes: Vec<u8>,
    /// Its descriptors.
    pub descriptors: Vec<OwnedFd>,
    /// The sender's process id, as this process's PID namespace numbers it; 0 if it is not in
    /// there. That is what the kernel vouches for; a user id can be forged in a user namespace.
    pub sender: i32,
    /// It was longer than any that systemd takes, or its descriptors could not all be received.
    pub is_cut: bool,
}

impl Inside {
    /// Makes the folder and the socket in it. Where no message may hold descriptors, the kernel
    /// refuses them, if it can (Linux 6.16); an older one hands them over, and they are closed.
    pub fn create(environment: &Environment, takes_descriptors: bool) -> Result<Self> {
        let what = "can't make the socket for the app";
        let place = Place::create(environment)?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None).or_fail(what)?;
        sockopt::set_socket_passcred(&socket, true).or_fail(what)?;
        if !takes_descriptors {
            match sys::refuse_descriptors(socket.as_fd()) {
                Err(error) if error.raw_os_error() == Some(Errno::ENOPROTOOPT as i32) => {}
                refused => refused.or_fail(what)?,
            }
        }
        place.bind(socket.as_fd()).or_fail_on(what, place.path())?;
        Ok(Inside { socket, place })
    }

    /// The value of NOTIFY_SOCKET for the chain.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// In the child after the fork: what is here is the monitor's to remove.
    pub fn leave_to_the_monitor(mut self) {
        self.place.leave();
    }

    /// Takes nothing more, so that what is left to receive has an end.
    pub fn refuse_more(&self) {
        // It can't fail on a socket of this kind.
        let _ = shutdown(&self.socket, Shutdown::Read);
    }

    /// The next datagram, if there is one.
    pub fn receive(&self) -> Result<Option<Received>> {
        let mut bytes = vec![0; MAX_LENGTH];
        let mut control = [0_u64; CONTROL_LENGTH];
        let datagram = loop {
            match sys::receive(self.as_fd(), &mut bytes, &mut control) {
                Ok(datagram) => break datagram,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).or_fail("can't receive from the app"),
            }
        };
        bytes.truncate(datagram.length);
        let control = control::parse(&control, datagram.control);
        let descriptors = control.descriptors.into_iter().map(sys::adopt);
        Ok(Some(Received {
            bytes,
            descriptors: descriptors
                .collect::<io::Result<_>>()
                .or_fail("can't receive from the app")?,
            sender: control.sender,
            is_cut: datagram.is_cut,
        }))
    }
}

impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

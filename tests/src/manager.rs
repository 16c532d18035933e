//! A service manager's side of sd_notify(3).

use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::sys;

/// What listens at NOTIFY_SOCKET, in a thread, as a service manager does while a service runs.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    messages: Receiver<Message>,
}

/// A datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it says.
    pub text: String,
    /// The process that sent it, as the kernel says. `NotifyAccess=main` takes messages of a
    /// unit's main process only.
    pub sender: i32,
}

impl Manager {
    /// Listens at a path, as systemd does; everybody may send.
    pub fn at(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).expect("bind");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o666)).expect("chmod");
        Manager::of(socket)
    }

    /// Listens at an abstract address.
    pub fn at_abstract(name: &str) -> Manager {
        let address = SocketAddr::from_abstract_name(name).expect("an address");
        Manager::of(UnixDatagram::bind_addr(&address).expect("bind"))
    }

    fn of(socket: UnixDatagram) -> Manager {
        sys::pass_credentials(&socket).expect("SO_PASSCRED");
        let listening = socket.try_clone().expect("dup");
        let (sender, messages) = channel();
        std::thread::spawn(move || listen(&listening, &sender));
        Manager { socket, messages }
    }

    /// The next message, which has to come.
    #[track_caller]
    pub fn next(&self) -> Message {
        let limit = Duration::from_secs(60);
        self.messages.recv_timeout(limit).expect("a message for the manager")
    }

    /// The texts of all that has come by now; after a barrier, that is all that was sent.
    pub fn texts(&self) -> Vec<String> {
        self.messages.try_iter().map(|message| message.text).collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // Ends the thread's wait.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Takes messages until the socket is shut down.
fn listen(socket: &UnixDatagram, messages: &Sender<Message>) {
    while let Ok((bytes, sender, descriptors)) = sys::receive(socket) {
        // What nobody sent is the end.
        if sender == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // A barrier is no message: who sent it waits until its descriptor is closed, and so until all
        // messages before it have been taken (sd_notify_barrier(3)).
        if text != "BARRIER=1" && messages.send(Message { text, sender }).is_err() {
            break;
        }
        drop(descriptors);
    }
}

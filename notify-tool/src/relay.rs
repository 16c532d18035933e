//! From the socket inside to the one outside, as a part of the monitor's loop.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use chain::monitor::Source;
use chain::{Error, Result, print_warning};
use rustix::event::PollFlags;
use rustix::io::Errno;

use crate::inside::{Inside, Received};
use crate::outside::Outside;
use crate::policy::Policy;

/// A message on its way out.
#[derive(Debug)]
struct Outgoing {
    text: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

/// Both sockets, and what is between them.
#[derive(Debug)]
pub struct Relay {
    inside: Inside,
    outside: Outside,
    policy: Policy,
    /// The service manager has to read first; until then nothing is read from inside, so that the
    /// app waits in its own sendmsg(2) as it would without the bridge.
    waiting: Option<Outgoing>,
    has_sent: bool,
    has_failed: bool,
}

impl Relay {
    /// Nothing is on its way yet.
    pub fn new(inside: Inside, outside: Outside, policy: Policy) -> Self {
        Relay { inside, outside, policy, waiting: None, has_sent: false, has_failed: false }
    }

    /// What is to be handed on of a datagram.
    fn judge(&self, received: Received) -> Option<Outgoing> {
        if received.is_cut {
            return None;
        }
        let text = self.policy.judge(&received.bytes).ok()??;
        Some(Outgoing { text, descriptors: Vec::new() })
    }

    fn send(&mut self, message: Outgoing) {
        match self.outside.send(&message.text, &message.descriptors) {
            Ok(()) => self.has_sent = true,
            Err(Errno::AGAIN) => self.waiting = Some(message),
            Err(errno) => self.warn_once(errno),
        }
    }

    /// An app must not end because the service manager can't be told about it.
    fn warn_once(&mut self, errno: Errno) {
        if !std::mem::replace(&mut self.has_failed, true) {
            let error = Error::new("can't hand on to NOTIFY_SOCKET");
            print_warning(&error.object(self.outside.address()).because(errno));
        }
    }

    /// The app is gone: hands on what it left, and lets the service manager take note of it while
    /// this process, which sent it, still exists.
    pub fn finish(mut self) {
        let deadline = Outside::deadline();
        self.inside.refuse_more();
        loop {
            let next = match self.waiting.take() {
                Some(message) => Some(message),
                None => match self.inside.receive() {
                    Ok(Some(received)) => self.judge(received),
                    Ok(None) | Err(_) => break,
                },
            };
            let Some(message) = next else { continue };
            let sent = self.outside.send_until(deadline, &message.text, &message.descriptors);
            match sent {
                Ok(()) => self.has_sent = true,
                Err(errno) => {
                    self.warn_once(errno);
                    break;
                }
            }
        }
        if self.has_sent
            && !self.has_failed
            && let Err(error) = self.outside.barrier(deadline)
        {
            print_warning(&error);
        }
    }
}

impl Source for Relay {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(match self.waiting {
            Some(_) => self.outside.as_fd(),
            None => self.inside.as_fd(),
        })
    }

    fn events(&self) -> PollFlags {
        match self.waiting {
            Some(_) => PollFlags::OUT,
            None => PollFlags::IN,
        }
    }

    fn ready(&mut self) -> Result<()> {
        let message = match self.waiting.take() {
            Some(message) => Some(message),
            None => match self.inside.receive()? {
                Some(received) => self.judge(received),
                None => None,
            },
        };
        if let Some(message) = message {
            self.send(message);
        }
        Ok(())
    }
}

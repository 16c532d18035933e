//! From the socket inside to the one outside, as a part of the monitor's loop.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use chain::monitor::Source;
use chain::{Error, Result, print_warning};
use rustix::event::PollFlags;
use rustix::fs::{FileType, OFlags, fcntl_getfl, fstat, fstatfs};
use rustix::io::Errno;

use crate::inside::{Inside, Received};
use crate::outside::Outside;
use crate::policy::{Judge, Policy, Verdict};
use crate::processes::{Origin, Processes};
use crate::rate::Rate;

/// nsfs's magic number (linux/magic.h): a descriptor on it can be entered with setns(2).
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// Whose messages are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Senders {
    /// Every process of the container
    All,
    /// The app alone: the first process below our own tools
    Main,
}

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
    outside: Option<Outside>,
    judge: Judge,
    rate: Rate,
    senders: Senders,
    processes: Processes,
    readiness: Readiness,
    /// The service manager has to read first; until then nothing is read from inside, so that the
    /// app waits in its own sendmsg(2) as it would without the bridge.
    waiting: Option<Outgoing>,
    /// The app's process id, once it has sent something.
    app: Option<i32>,
    has_announced: bool,
    has_sent: bool,
    /// What has been said on standard error, and how often there was reason to.
    told: BTreeMap<String, u64>,
}

/// Whether the app is ready, and who waits for that besides the service manager.
#[derive(Debug, Default)]
pub struct Readiness {
    /// Set once it is.
    pub is_ready: Rc<Cell<bool>>,
    /// Gets a newline then, as s6 has it.
    pub notify: Option<OwnedFd>,
    /// The message by which this process tells itself so: nobody else knows it.
    pub token: Vec<u8>,
}

impl Relay {
    /// Nothing is on its way yet.
    pub fn new(
        inside: Inside,
        outside: Option<Outside>,
        policy: Policy,
        senders: Senders,
        readiness: Readiness,
    ) -> Result<Self> {
        Ok(Relay {
            inside,
            outside,
            rate: Rate::new(policy.store(), Instant::now()),
            judge: Judge::new(policy),
            senders,
            processes: Processes::new()?,
            readiness,
            waiting: None,
            app: None,
            has_announced: false,
            has_sent: false,
            told: BTreeMap::new(),
        })
    }

    /// What is to be handed on of a datagram.
    fn weigh(&mut self, received: Received) -> Option<Outgoing> {
        let verdict = match self.examine(&received) {
            Ok(verdict) => verdict,
            Err(reason) => {
                self.tell(Error::new("dropped a message from the container").reason(reason));
                return None;
            }
        };
        if let Some(key) = verdict.denied {
            self.explain(key);
        }
        if verdict.ready {
            self.become_ready();
        }
        let mut text = verdict.text;
        let main = verdict.main.filter(|_| !self.has_announced);
        if let Some(main) = main.and_then(|pid| self.processes.translate(received.sender, pid)) {
            self.has_announced = true;
            if !text.is_empty() {
                text.push(b'\n');
            }
            text.extend_from_slice(format!("MAINPID={main}").as_bytes());
        }
        (!text.is_empty()).then(|| Outgoing {
            text,
            descriptors: match verdict.descriptors {
                true => received.descriptors,
                false => Vec::new(),
            },
        })
    }

    fn examine(&mut self, received: &Received) -> Result<Verdict, String> {
        if received.is_cut {
            return Err("it is too long, or its descriptors could not be received".into());
        }
        if received.bytes == self.readiness.token {
            return Ok(Judge::ready());
        }
        match self.processes.origin(received.sender) {
            Origin::App => self.app = Some(received.sender),
            // Only those inside were told the address, and what one of them said last counts.
            Origin::Gone if self.app == Some(received.sender) => {}
            Origin::Container | Origin::Gone if self.senders == Senders::All => {}
            Origin::Container | Origin::Gone => return Err("it is not the app's".into()),
            Origin::Stranger => return Err("it is of a process outside".into()),
        }
        if received.descriptors.iter().any(leads_out) {
            return Err("it holds a directory, an O_PATH descriptor or a namespace".into());
        }
        // A barrier's is closed by the service manager as soon as it is read; dropping one would be
        // an answer, too early.
        let stays = if received.bytes == b"BARRIER=1" { 0 } else { received.descriptors.len() };
        if !self.rate.allows(stays, Instant::now()) {
            return Err("it is one of too many with descriptors within a second".into());
        }
        let judged = self.judge.judge(&received.bytes, received.descriptors.len());
        judged.map_err(|malformed| malformed.to_string())
    }

    fn become_ready(&mut self) {
        self.readiness.is_ready.set(true);
        if let Some(notify) = self.readiness.notify.take() {
            // A reader that is gone doesn't wait for it any more.
            let _ = rustix::io::write(&notify, b"\n");
        }
    }

    fn send(&mut self, message: Outgoing) {
        let Some(outside) = &self.outside else { return };
        match outside.send(&message.text, &message.descriptors) {
            Ok(()) => self.has_sent = true,
            Err(Errno::AGAIN) => self.waiting = Some(message),
            Err(errno) => self.lose(errno),
        }
    }

    /// An app must not end because the service manager can't be told about it.
    fn lose(&mut self, errno: Errno) {
        let address = self.outside.as_ref().map(Outside::address);
        let address = address.unwrap_or_default().to_owned();
        let error = Error::new("can't hand on to NOTIFY_SOCKET");
        self.tell(error.object(address).because(errno));
    }

    fn explain(&mut self, key: &str) {
        let error = Error::new("dropped a field of a message").object(key);
        self.tell(match key {
            "FDSTORE" => error.hint("--fdstore N lets the app store N descriptors"),
            _ => error.hint(format!("--allow {key} hands it on")),
        });
    }

    /// Says on standard error what it has not yet said; the app can't flood the journal.
    fn tell(&mut self, error: Error) {
        let count = self.told.entry(error.to_string()).or_default();
        *count += 1;
        if *count == 1 {
            print_warning(&error);
        }
    }

    fn tell_counts(&self) {
        for (text, count) in self.told.iter().filter(|(_, count)| **count > 1) {
            let what = text.lines().next().unwrap_or_default();
            print_warning(&Error::new(what).reason(format!("{count} times in all")));
        }
    }

    /// The app is gone: hands on what it left, and lets the service manager take note of it while
    /// this process, which sent it, still exists.
    pub fn finish(mut self) {
        self.inside.refuse_more();
        self.drain();
        self.tell_counts();
    }

    fn drain(&mut self) {
        let deadline = Outside::deadline();
        loop {
            let message = match self.waiting.take() {
                Some(message) => Some(message),
                None => match self.inside.receive() {
                    Ok(Some(received)) => self.weigh(received),
                    Ok(None) | Err(_) => break,
                },
            };
            let (Some(message), Some(outside)) = (message, &self.outside) else {
                continue;
            };
            match outside.send_until(deadline, &message.text, &message.descriptors) {
                Ok(()) => self.has_sent = true,
                Err(errno) => return self.lose(errno),
            }
        }
        if let Some(outside) = self.outside.as_ref().filter(|_| self.has_sent)
            && let Err(error) = outside.barrier(deadline)
        {
            print_warning(&error);
        }
    }
}

impl Source for Relay {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match (&self.waiting, &self.outside) {
            (Some(_), Some(outside)) => Some(outside.as_fd()),
            _ => Some(self.inside.as_fd()),
        }
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
            None => match self.inside.receive() {
                Ok(Some(received)) => self.weigh(received),
                Ok(None) => None,
                Err(error) => {
                    self.tell(error);
                    None
                }
            },
        };
        if let Some(message) = message {
            self.send(message);
        }
        Ok(())
    }
}

/// Whether a descriptor gives more than what can be read from it or written to it: systemd would
/// hand it to whatever the unit runs next.
fn leads_out(fd: &OwnedFd) -> bool {
    let is_path = fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::PATH));
    let is_directory =
        fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
    let is_namespace = fstatfs(fd).is_ok_and(|stat| stat.f_type as u64 == NSFS_MAGIC);
    is_path || is_directory || is_namespace
}

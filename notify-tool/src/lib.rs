//! notify-bridge: carries sd_notify(3) from the app in the container to the NOTIFY_SOCKET outside.
//!
//! It is what the service manager started, so it is the unit's main process, whose messages are
//! taken (NotifyAccess=main). It forks the chain, offers it a socket of its own, hands on what the
//! policy allows, and ends the way the app ended.

#![forbid(unsafe_code)]

pub mod control;
mod explain;
mod inside;
mod listen;
pub mod message;
mod outside;
mod place;
pub mod policy;
mod probe;
mod processes;
mod rate;
mod ready;
mod relay;

use std::cell::Cell;
use std::convert::Infallible;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;

use chain::monitor::{Monitor, Source};
use chain::signal::Given;
use chain::{Error, Explanation, Fork, LinkArgs, Next, Result, ResultExt, Role, Tool, sys};
use clap::Parser;
use rustix::pipe::{PipeFlags, pipe_with};

pub use crate::listen::ListenFds;

use crate::inside::Inside;
use crate::outside::Outside;
use crate::policy::Policy;
use crate::ready::{Deadline, ReadyArgs, Sign};
use crate::relay::{Readiness, Relay, Senders};

/// Carry sd_notify from the app in the container to the service manager outside
///
/// Without NOTIFY_SOCKET there is nothing to carry, and COMMAND takes this process's place.
#[derive(Debug, Parser)]
#[command(name = "notify-bridge", version)]
pub struct NotifyBridge {
    /// Hand on these fields too: MAINPID, NOTIFYACCESS
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', value_parser = policy::known_key)]
    allow: Vec<String>,

    /// Don't hand on these fields
    #[arg(long, value_name = "KEY,...", value_delimiter = ',', value_parser = policy::known_key)]
    deny: Vec<String>,

    /// Let the app store up to N descriptors (FDSTORE=1)
    #[arg(long, value_name = "N", default_value_t = 0)]
    fdstore: usize,

    /// Whose messages to take
    #[arg(long, value_enum, default_value_t = Senders::All)]
    from: Senders,

    #[command(flatten)]
    ready: ReadyArgs,

    #[command(flatten)]
    link: LinkArgs,
}

impl Tool for NotifyBridge {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn explain(&self, to: &mut Explanation) -> Result<()> {
        self.say(to);
        Ok(())
    }

    fn run(self, mut next: Next) -> Result<Infallible> {
        let outside = Outside::from_environment(next.environment())?;
        if outside.is_none() && !self.ready.is_needed() {
            return next.exec();
        }
        let notify = self.ready.notify_fd.map(duplicate).transpose()?;
        let policy = Policy::new(&self.allow, &self.deny, self.fdstore);
        let inside = Inside::create(next.environment(), policy.takes_descriptors())?;
        next.environment().set("NOTIFY_SOCKET", inside.path());
        let environment = next.environment().clone();
        let given = Given::at_start().or_fail("can't read the signal mask")?;
        let newline = self.ready.ready_fd.map(|_| pipe_with(PipeFlags::CLOEXEC));
        let (read, write) = newline.transpose().or_fail("can't make a pipe")?.unzip();

        match next.fork(&Fork::default(), |_| Ok(()))? {
            Role::Child(mut next) => {
                inside.leave_to_the_monitor();
                drop((outside, notify, read));
                if let (Some(number), Some(write)) = (self.ready.ready_fd, write) {
                    next.give(number, vec![write])?;
                }
                next.exec()
            }
            Role::Monitor(monitor) => {
                drop(write);
                // Orphans of the container stay below this process, and so are known to be its.
                nix::sys::prctl::set_child_subreaper(true).or_fail("can't adopt orphans")?;
                let looks = probe::start(&self.ready, monitor.child(), &environment, given)?;
                let path = inside.path().to_owned();
                let signs = read.into_iter().chain(looks);
                let token = place::random_name(32)?.into_bytes();
                let sign = |pipe| Sign::new(pipe, path.clone(), token.clone());
                let signs = signs.map(sign).collect();
                let readiness = Readiness { is_ready: Rc::default(), notify, token };
                self.serve(monitor, inside, outside, policy, readiness, signs)
            }
        }
    }
}

impl NotifyBridge {
    /// Relays until the chain has ended, and ends as it did.
    fn serve(
        &self,
        mut monitor: Monitor,
        inside: Inside,
        outside: Option<Outside>,
        policy: Policy,
        readiness: Readiness,
        mut signs: Vec<Sign>,
    ) -> Result<Infallible> {
        let has_passed = Rc::new(Cell::new(false));
        let is_ready = Rc::clone(&readiness.is_ready);
        let mut relay = Relay::new(inside, outside, policy, self.from, readiness)?;
        let timeout = self.ready.ready_timeout;
        let mut deadline =
            Deadline::new(timeout, monitor.child(), is_ready, Rc::clone(&has_passed))?;
        let mut sources: Vec<&mut dyn Source> = vec![&mut relay, &mut deadline];
        sources.extend(signs.iter_mut().map(|sign| sign as &mut dyn Source));
        let status = monitor.wait(&mut sources)?;
        relay.finish();
        match timeout.filter(|_| has_passed.get()) {
            None => monitor.finish(status),
            Some(timeout) => Err(Error::new("ended the app")
                .reason(format!("it was not ready after {} s", timeout.as_secs_f64()))),
        }
    }
}

/// A copy of a descriptor that this process was given, which the chain does not get.
fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    let what = "can't use descriptor";
    let given = sys::borrow(fd)
        .ok_or_else(|| Error::new(what).object(fd.to_string()).reason("it is not open"))?;
    rustix::io::fcntl_dupfd_cloexec(given, 3).or_fail_on(what, fd.to_string())
}

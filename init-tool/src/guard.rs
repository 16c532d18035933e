//! A guard outside of a PID namespace.
//!
//! The end of a namespace's PID 1 ends all in it, whatever ended that. Elsewhere nobody would end what
//! a killed subreaper leaves, or take a terminal back that was made raw. So the process that was
//! started stays outside, as the monitor of the one that does the work: each kills all that is left
//! if the other is gone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use chain::monitor::{Source, Target};
use chain::signal::Signal;
use chain::{Error, Fork, Lead, Next, Result, Role};
use rustix::event::PollFlags;

/// Tells the process inside that its guard is gone.
#[derive(Debug)]
pub(crate) struct Guard(OwnedFd);

/// Forks; returns in the process inside.
pub(crate) fn stay_outside(next: Next, ends_the_rest: bool) -> Result<(Next, Guard)> {
    // One that ends nothing: the process inside has something to do yet.
    let how = Fork { death_signal: Signal::CHLD, ..Fork::default() };
    match next.fork(&how, |_| Ok(()))? {
        Role::Child(next) => {
            // A signal to the job's group comes once, by way of the guard.
            next.lead(Lead::Monitor)?;
            let leash = next.leash()?;
            Ok((next, Guard(leash)))
        }
        Role::Monitor(mut monitor) => {
            monitor.child_leads(Lead::Monitor)?;
            let status = monitor.wait(&mut [])?;
            if ends_the_rest {
                monitor.forward_to(Target::Descendants);
                monitor.kill_all(&mut [])?;
            }
            monitor.finish(status)
        }
    }
}

impl Source for Guard {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn events(&self) -> PollFlags {
        PollFlags::empty()
    }

    fn ready(&mut self) -> Result<()> {
        Err(Error::new("the process that this one was started as is gone"))
    }
}

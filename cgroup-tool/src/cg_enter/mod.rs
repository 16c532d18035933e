//! `cg-enter`: create or reuse a cgroup, set its limits, move into it.

mod args;
mod cell;
mod place;

use std::convert::Infallible;
use std::os::fd::AsFd;

use chain::{Error, Fork, LinkArgs, Next, Result, Role, Tool};

pub use self::args::CgEnter;
use self::cell::Cell;
use crate::group::{Group, explain_entry};

impl Tool for CgEnter {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn run(self, next: Next) -> Result<Infallible> {
        if self.name.is_none() && self.share {
            return Err(Error::new("--share needs --name").hint("an unnamed cgroup is always new"));
        }
        let limits = self.limits()?;
        let places = place::decide(&limits, self.parent.as_deref())?;
        for place in &places {
            place.enable_controllers()?;
        }
        let mut cell = match &self.name {
            Some(name) => Cell::named(name, &places, self.share)?,
            None => Cell::unnamed(&places)?,
        };
        cell.configure()?;
        if self.name.is_some() && !self.rm {
            cell.enter()?;
            cell.keep();
            return next.exec();
        }
        supervise(cell, next)
    }
}

/// Starts the next link in the cgroup and removes that afterwards. The child is in the v2 cgroup
/// from its first instruction on; the v1 ones it enters itself, which costs least.
fn supervise(mut cell: Cell<'_>, next: Next) -> Result<Infallible> {
    let fork = Fork {
        cgroup: cell.unified().map(AsFd::as_fd),
        ..Fork::default()
    };
    let role = next.fork(&fork, |_| Ok(())).map_err(explain_entry)?;
    cell.keep();
    match role {
        Role::Child(next) => {
            cell.legacy().try_for_each(Group::enter)?;
            next.exec()
        }
        Role::Monitor(monitor) => monitor.run(|_| cell.remove()),
    }
}

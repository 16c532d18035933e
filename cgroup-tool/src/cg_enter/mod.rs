//! `cg-enter`: create or reuse a cgroup, set its limits, move into it.

mod args;
mod cell;
mod end;
mod explain;
mod limit_args;
mod place;
mod way;

use std::convert::Infallible;
use std::os::fd::AsFd;

use chain::{Explanation, Fork, LinkArgs, Next, PathForm, Result, Tool};

pub use self::args::{CgEnter, parse_parent};
use self::cell::Cell;
use self::end::End;
use crate::explain::explain_entry;
use crate::group::Group;
use crate::hierarchy::Hierarchies;
use crate::prune;

impl Tool for CgEnter {
    const PATHS: &'static [(&'static str, PathForm)] = &[("status_file", PathForm::Whole)];
    const WITHOUT_EXEC: bool = true;

    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn explain(&self, to: &mut Explanation) -> Result<()> {
        self.say(to)
    }

    fn run(self, next: Next) -> Result<Infallible> {
        self.check()?;
        // Before anything of this process's own can have the number that --status-fd names.
        let end = End::new(&self)?;
        let hierarchies = Hierarchies::find()?;
        let parent = self.parent.as_deref();
        let limits = self.limits.list();
        let places = place::decide(&hierarchies, &limits, parent)?;
        for place in &places {
            place.enable_controllers()?;
        }
        let mut cell = match &self.name {
            Some(name) => Cell::named(name, &places, self.share)?,
            None => {
                // What others leave behind is no reason to fail here.
                let _ = prune::prune_some(&hierarchies, &places[0].parent, parent);
                Cell::unnamed(&places)?
            }
        };
        // A monitor would keep it as long as the container lives.
        drop(hierarchies);
        cell.configure()?;
        end.check(&cell)?;
        if let Some(owner) = self.delegate {
            cell.delegate(owner)?;
        }
        if self.freeze {
            cell.freeze()?;
        }
        if self.is_removed() {
            let may_be_frozen = self.freeze || self.name.is_some();
            return self.supervise(cell, &end, may_be_frozen, next);
        }
        cell.keep();
        cell.enter()?;
        next.exec().map_err(|error| self.limits.explain_exec(error))
    }
}

impl CgEnter {
    /// Starts the next link in the cgroup and removes that afterwards. The child is in the v2 cgroup
    /// from its first instruction on; the v1 ones it enters itself, which costs least. A frozen one
    /// stops where it enters, so that comes last then.
    fn supervise(
        &self,
        mut cell: Cell<'_>,
        end: &End,
        may_be_frozen: bool,
        next: Next,
    ) -> Result<Infallible> {
        let birthplace = cell.unified().filter(|_| !self.freeze);
        let how = Fork {
            cgroup: birthplace.map(AsFd::as_fd),
            monitor_runs: may_be_frozen,
            ..Fork::default()
        };
        let is_born_inside = birthplace.is_some();
        let child = |next: Next| {
            match is_born_inside {
                true => cell.legacy().try_for_each(Group::enter)?,
                false => cell.enter()?,
            }
            next.exec().map_err(|error| self.limits.explain_exec(error))
        };
        let monitor = next.spawn(&how, child).map_err(explain_entry)?;
        cell.keep();
        monitor.run(|status| {
            let reported = end.report(&cell, status);
            cell.remove()?;
            reported
        })
    }
}

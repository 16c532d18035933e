//! `cg-enter --explain`: the places that `run` decides on, and what it would write there.

use chain::Result;
use chain::explain::{Explanation, word};

use super::args::CgEnter;
use super::place::{self, Place};
use crate::hierarchy::Hierarchies;
use crate::name;

impl CgEnter {
    pub(super) fn say(&self, to: &mut Explanation) -> Result<()> {
        self.check()?;
        let hierarchies = Hierarchies::find()?;
        let places = place::decide(&hierarchies, &self.limits.list(), self.parent.as_deref())?;
        let made = match &self.name {
            Some(name) => name.clone(),
            None => {
                to.step("removes what earlier ones that were killed left behind");
                format!("{}RANDOM", name::OURS)
            }
        };
        for place in &places {
            self.say_place(place, &made, to)?;
        }
        if let Some((user, group)) = self.delegate {
            to.step(format!(
                "gives it to user {user}, group {group}, who may make cgroups below it"
            ));
        }
        if self.freeze {
            to.step("freezes it: what comes in stops until cg-signal --thaw");
        }
        if self.is_removed() {
            to.step("starts what follows in it, and waits outside for its end: forwards signals, ends with its status");
        } else {
            to.step("moves itself into it, and what follows with it; it stays in the end");
        }
        if self.pressure {
            to.step("says at the end how long processes had to wait");
        }
        if let Some(file) = &self.status_file {
            to.step(format!("writes what became of it to {}, as JSON", word(file)));
        }
        if let Some(fd) = self.status_fd {
            to.step(format!("writes what became of it to descriptor {fd}, as JSON"));
        }
        if self.is_removed() {
            to.step("kills what is left in it at the end, and removes it");
        }
        Ok(())
    }

    fn say_place(&self, place: &Place, made: &str, to: &mut Explanation) -> Result<()> {
        let parent = &place.parent.path;
        let path = parent.join(made);
        let preparation = place.preparation()?;
        if preparation.must_be_empty && !place.parent.processes()?.is_empty() {
            let rest = parent.join(name::REST);
            to.step(format!(
                "moves the processes of {} to {}, since a cgroup that gives controllers has none itself",
                word(parent),
                word(rest)
            ));
        }
        if !preparation.enable.is_empty() {
            let file = parent.join("cgroup.subtree_control");
            to.step(format!("writes '{}' to {}", preparation.enable, word(file)));
        }
        to.step(match (&self.name, self.share) {
            (None, _) => format!("makes the cgroup {}", word(&path)),
            (_, true) => {
                format!("makes the cgroup {}, or takes the one that is there", word(&path))
            }
            (_, false) => format!(
                "makes the cgroup {}, or takes the one that is there if no process is in it",
                word(&path)
            ),
        });
        for setting in &place.settings {
            to.step(format!("writes '{}' to {}", setting.value, word(path.join(&setting.file))));
        }
        Ok(())
    }
}

//! Where the cgroup is made: the hierarchies that are used, and what is set in each.

use std::path::Path;

use chain::{Errno, Error, Result};

use super::way;
use crate::explain::explain;
use crate::group::Group;
use crate::hierarchy::{Hierarchies, Hierarchy};
use crate::limit::{self, Limit, Setting};
use crate::position::Version;

/// A place for the cgroup in one hierarchy.
#[derive(Debug)]
pub struct Place {
    /// The cgroup that it is made in.
    pub parent: Group,
    /// What is to be set.
    pub settings: Vec<Setting>,
    /// The v2 controllers that these need.
    controllers: Vec<String>,
}

/// What the cgroup's parent needs.
#[derive(Debug, Default)]
pub struct Preparation {
    /// To be written to its cgroup.subtree_control, if it is not empty.
    pub enable: String,
    /// It may have no processes.
    pub must_be_empty: bool,
}

/// Decides on the places. Nothing is changed yet; what can't be had on this host fails here.
pub fn decide(
    hierarchies: &Hierarchies,
    limits: &[Limit],
    parent: Option<&Path>,
) -> Result<Vec<Place>> {
    let base = hierarchies.base()?;
    let mut places: Vec<(&Hierarchy, Place)> = vec![(base, Place::in_hierarchy(base, parent)?)];
    for limit in limits {
        let hierarchy = match limit.is_core() {
            true => base,
            false => hierarchies
                .holder_of(limit.controller())?
                .ok_or_else(|| limit::no_controller(limit))?,
        };
        let index = match places.iter().position(|(used, _)| std::ptr::eq(*used, hierarchy)) {
            Some(index) => index,
            None => {
                places.push((hierarchy, Place::in_hierarchy(hierarchy, parent)?));
                places.len() - 1
            }
        };
        places[index].1.add(limit, limits)?;
    }
    Ok(places.into_iter().map(|(_, place)| place).collect())
}

impl Place {
    fn in_hierarchy(hierarchy: &Hierarchy, parent: Option<&Path>) -> Result<Self> {
        Ok(Place {
            parent: hierarchy.parent(parent)?,
            settings: Vec::new(),
            controllers: Vec::new(),
        })
    }

    fn add(&mut self, limit: &Limit, all: &[Limit]) -> Result<()> {
        match self.parent.version {
            Version::V1 => self.settings.extend(limit.on_v1(all)?),
            Version::V2 => {
                self.settings.push(limit.on_v2());
                let controller = limit.controller();
                if limit.is_core() || self.controllers.iter().any(|known| known == controller) {
                    return Ok(());
                }
                let available = self.parent.read("cgroup.controllers")?;
                if !available.split_ascii_whitespace().any(|name| name == controller) {
                    return Err(limit::no_controller(limit)
                        .reason(format!("not among those that '{}' has: {available:?}", self.parent.path.display()))
                        .hint(format!(
                            "its parents must list it in cgroup.subtree_control (systemd: Delegate={controller}, \
                             systemd-run --user --scope -p Delegate=yes COMMAND)"
                        )));
                }
                self.controllers.push(controller.to_owned());
            }
        }
        Ok(())
    }

    /// What is to be done in the parent first.
    pub fn preparation(&self) -> Result<Preparation> {
        if self.parent.version == Version::V1 {
            return Ok(Preparation::default());
        }
        let enabled = self.parent.read("cgroup.subtree_control")?;
        let is_missing =
            |name: &&String| !enabled.split_ascii_whitespace().any(|enabled| enabled == **name);
        let missing: Vec<_> =
            self.controllers.iter().filter(is_missing).map(|name| format!("+{name}")).collect();
        let gives_any = !enabled.is_empty() || !missing.is_empty();
        // The root is exempt, and has no type.
        let must_be_empty = gives_any && self.parent.has("cgroup.type");
        Ok(Preparation { enable: missing.join(" "), must_be_empty })
    }

    /// Enables the controllers for the cgroups in the parent: only those that are missing. While
    /// it gives controllers to those below it the parent can't have processes itself, so what is
    /// in the way is moved first.
    pub fn enable_controllers(&self) -> Result<()> {
        let Preparation { enable: missing, must_be_empty } = self.preparation()?;
        if must_be_empty {
            way::clear(&self.parent)?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.parent.try_write("cgroup.subtree_control", &missing).map_err(|errno| {
            let error = Error::new(format!("can't enable {missing:?} in"));
            let file = self.parent.path.join("cgroup.subtree_control");
            explain(error.object(file).because(errno))
                .hint_if(
                    Errno::EOPNOTSUPP,
                    "the cgroup is a threaded one, or lies below one (cgroup.type)",
                )
                .hint_if(
                    Errno::EBUSY,
                    "processes came into the cgroup while others were moved out of it",
                )
        })
    }
}

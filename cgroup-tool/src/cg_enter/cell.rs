//! The cgroup itself: one folder in each hierarchy that is used, made, limited and removed together.

use chain::{Errno, Error, Result, ResultExt};

use super::place::Place;
use super::way;
use crate::explain::explain;
use crate::group::Group;
use crate::limit::Setting;
use crate::position::Version;
use crate::{name, read_back, removal};

/// The cgroup in all hierarchies that are used.
#[derive(Debug)]
pub struct Cell<'a> {
    name: String,
    parts: Vec<Part<'a>>,
    /// Remove what was made when this value goes out of scope.
    is_half_made: bool,
}

#[derive(Debug)]
struct Part<'a> {
    place: &'a Place,
    group: Group,
    was_made: bool,
}

/// A name is chosen at random, but somebody may be removing leftovers at the same moment.
const ATTEMPTS: usize = 50;

impl<'a> Cell<'a> {
    fn new(name: String) -> Self {
        Cell { name, parts: Vec::new(), is_half_made: true }
    }

    /// Makes a cgroup of a new name.
    pub fn unnamed(places: &'a [Place]) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            let mut random = [0; 8];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
                .or_fail("can't get random bytes")?;
            let mut cell = Cell::new(name::of_unnamed(u64::from_ne_bytes(random)));
            if cell.make_all(places)? {
                return Ok(cell);
            }
        }
        Err(Error::new("can't make a cgroup of a new name"))
    }

    /// Makes it in each place; false if another process was faster somewhere.
    fn make_all(&mut self, places: &'a [Place]) -> Result<bool> {
        for place in places {
            let Some(group) = place.parent.make(&self.name)? else {
                return Ok(false);
            };
            let part = Part { place, group, was_made: true };
            // Until it is locked it looks like a leftover to be removed.
            let is_ours = part.group.lock()? && part.group.is_still(&place.parent, &self.name);
            self.parts.push(part);
            if !is_ours {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Makes the cgroup `name` or opens it; one that has processes only if `share`.
    pub fn named(name: &str, places: &'a [Place], share: bool) -> Result<Self> {
        let mut cell = Cell::new(name.to_owned());
        for place in places {
            let (group, was_made) = match place.parent.make(name)? {
                Some(group) => (group, true),
                None => (place.parent.open(name)?, false),
            };
            let part = Part { place, group, was_made };
            let checked = if share { Ok(()) } else { check_free(&part.group) };
            cell.parts.push(part);
            checked?;
        }
        Ok(cell)
    }

    /// Sets all limits, and reads them back.
    pub fn configure(&self) -> Result<()> {
        for part in &self.parts {
            way::check_type(&part.group)?;
            part.inherit_cpuset()?;
            part.apply()?;
        }
        Ok(())
    }

    /// The v2 cgroup.
    pub fn unified(&self) -> Option<&Group> {
        self.groups().find(|group| group.version == Version::V2)
    }

    /// The cgroups of the v1 hierarchies.
    pub fn legacy(&self) -> impl Iterator<Item = &Group> {
        self.groups().filter(|group| group.version == Version::V1)
    }

    /// All of them.
    pub fn groups(&self) -> impl DoubleEndedIterator<Item = &Group> {
        self.parts.iter().map(|part| &part.group)
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Moves this process into all of them; into the first one, which can be frozen, at the end.
    pub fn enter(&self) -> Result<()> {
        self.groups().rev().try_for_each(Group::enter)
    }

    /// Gives it to another user, who may then make cgroups in it and move processes about there.
    pub fn delegate(&self, (user, group): (u32, u32)) -> Result<()> {
        self.groups().try_for_each(|part| part.give(user, group))
    }

    /// Stops what is in it and what comes into it.
    pub fn freeze(&self) -> Result<()> {
        self.parts.first().map_or(Ok(()), |part| part.group.freeze(true))
    }

    /// It stays when this value goes out of scope.
    pub fn keep(&mut self) {
        self.is_half_made = false;
    }

    /// Removes it in every hierarchy, killing what is left.
    pub fn remove(&self) -> Result<()> {
        // In v2 all can be killed in one step, so that comes first.
        let results: Vec<_> =
            self.parts.iter().map(|part| removal::remove(&part.place.parent, &self.name)).collect();
        results.into_iter().collect()
    }

    fn remove_made(&self) {
        for part in self.parts.iter().filter(|part| part.was_made) {
            // A failure has been reported already, or is about to be.
            let _ = part.place.parent.remove(&self.name);
        }
    }
}

/// Refuses a cgroup that others use: its processes, or one that is about to enter it. The lock keeps
/// two that start at the same moment apart.
fn check_free(group: &Group) -> Result<()> {
    let (is_locked, is_populated) = (group.lock()?, group.is_populated()?);
    if is_locked && !is_populated {
        return Ok(());
    }
    let error = Error::new("the cgroup is in use").object(&group.path);
    let error = error.hint("--share joins it all the same");
    if is_populated {
        return Err(error);
    }
    let inode = group.lock_inode().unwrap_or_default();
    Err(error.reason(format!(
        "no process is in it, but one holds its lock (/proc/locks: inode {inode})"
    )))
}

impl Drop for Cell<'_> {
    fn drop(&mut self) {
        if self.is_half_made {
            self.remove_made();
        }
    }
}

impl Part<'_> {
    /// A new v1 cpuset is empty, and takes no process until it has CPUs and memory nodes.
    fn inherit_cpuset(&self) -> Result<()> {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if self.group.version == Version::V1
                && self.group.has(file)
                && self.group.read(file)?.is_empty()
            {
                self.group.write(file, &self.place.parent.read(file)?)?;
            }
        }
        Ok(())
    }

    /// The kernel checks some settings against others (memory against memory with swap): what it
    /// refuses is tried once more after the rest.
    fn apply(&self) -> Result<()> {
        let mut refused = Vec::new();
        for setting in &self.place.settings {
            match self.group.try_write(&setting.file, &setting.value) {
                Ok(()) => {}
                Err(Errno::EINVAL | Errno::EBUSY) => refused.push(setting),
                Err(errno) => return Err(self.cant_set(setting, errno)),
            }
        }
        for setting in refused {
            let written = self.group.try_write(&setting.file, &setting.value);
            written.map_err(|errno| self.cant_set(setting, errno))?;
        }
        self.place.settings.iter().try_for_each(|setting| self.read_back(setting))
    }

    fn cant_set(&self, setting: &Setting, errno: Errno) -> Error {
        let path = self.group.path.join(&setting.file);
        explain(
            Error::new(format!("can't write {:?} to", setting.value)).object(path).because(errno),
        )
        .hint_if(Errno::ENOENT, "the kernel on this host does not offer this interface file")
        .hint_if(Errno::ERANGE, "the kernel knows no such number, of a CPU or a memory node say")
        .hint_if(Errno::ENODEV, "no such device, or a partition: limits are those of whole disks")
    }

    fn read_back(&self, setting: &Setting) -> Result<()> {
        let shown = match self.group.try_read(&setting.shown_by) {
            Ok(shown) => shown,
            // Some can be written only: memory.reclaim.
            Err(Errno::EACCES | Errno::EINVAL) if !self.group.is_readable(&setting.file) => {
                return Ok(());
            }
            Err(errno) => {
                return Err(Error::new("can't read back")
                    .object(self.group.path.join(&setting.shown_by))
                    .because(errno));
            }
        };
        if read_back::holds(&setting.value, &shown, rustix::param::page_size() as u64) {
            return Ok(());
        }
        Err(Error::new(format!("the kernel did not take {:?} for", setting.value))
            .object(self.group.path.join(&setting.shown_by))
            .reason(format!("it has {shown:?}")))
    }
}

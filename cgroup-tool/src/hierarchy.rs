//! Where the controllers live: the mounted hierarchies, and this process's place in each.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use chain::mountinfo;
use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{Mode, OFlags, fstatfs, open};

use crate::group::Group;
use crate::name;
use crate::position::{self, Mount, Position, Version};
use crate::v1;

/// The magic numbers of the two file systems (linux/magic.h).
const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// A mounted hierarchy.
#[derive(Debug)]
pub struct Hierarchy {
    /// v1 or v2.
    pub version: Version,
    /// The controllers of a v1 hierarchy.
    pub controllers: Vec<String>,
    /// Its mount's root.
    root: Group,
    /// This process's place below that.
    own: PathBuf,
}

/// All hierarchies that are mounted where this process can use them, each opened when it is first
/// asked for: on a host with v1 there are a dozen, of which most chains need one.
#[derive(Debug)]
pub struct Hierarchies {
    mounts: Vec<Mount>,
    /// Where this process is in each, and `None` where that can't be used.
    found: Vec<(Position, OnceCell<Option<Hierarchy>>)>,
}

impl Hierarchies {
    /// Looks at /proc.
    pub fn find() -> Result<Self> {
        let procfs = Procfs::open()?;
        let own = procfs.own_id()?;
        let mounts = position::hierarchies(mountinfo::read(&procfs)?);
        let positions = position::parse_positions(&procfs.read_bytes(&format!("{own}/cgroup"))?);
        let found = positions.into_iter().map(|position| (position, OnceCell::new())).collect();
        Ok(Hierarchies { mounts, found })
    }

    /// The first usable one of those whose position is such.
    fn first(&self, is_such: impl Fn(&Position) -> bool) -> Result<Option<&Hierarchy>> {
        for (position, hierarchy) in self.found.iter().filter(|(position, _)| is_such(position)) {
            if hierarchy.get().is_none() {
                let opened = Hierarchy::at(position, &self.mounts)?;
                hierarchy.get_or_init(|| opened);
            }
            if let Some(Some(usable)) = hierarchy.get() {
                return Ok(Some(usable));
            }
        }
        Ok(None)
    }

    /// The hierarchy that holds `controller`: a v1 one if there is such, else v2's.
    pub fn holder_of(&self, controller: &str) -> Result<Option<&Hierarchy>> {
        match self.first(|position| position.has(v1::controller(controller)))? {
            None => self.unified(),
            v1 => Ok(v1),
        }
    }

    /// All of them.
    pub fn all(&self) -> Result<Vec<&Hierarchy>> {
        let each = |(wanted, _): &(Position, _)| {
            self.first(|position| std::ptr::eq(position, wanted)).transpose()
        };
        self.found.iter().filter_map(each).collect()
    }

    /// The v2 hierarchy.
    pub fn unified(&self) -> Result<Option<&Hierarchy>> {
        self.first(|position| position.controllers.is_empty())
    }

    /// The hierarchy that holds every cgroup of ours: v2, and on a pure v1 host the freezer's,
    /// which is what stops processes while they are killed; else any.
    pub fn base(&self) -> Result<&Hierarchy> {
        if let Some(unified) = self.unified()? {
            return Ok(unified);
        }
        if let Some(freezer) = self.first(|position| position.has("freezer"))? {
            return Ok(freezer);
        }
        self.first(|_| true)?.ok_or_else(|| {
            Error::new("no cgroup hierarchy is mounted here")
                .hint("mount -t cgroup2 none /sys/fs/cgroup, or let fs-pivot stand behind cg-enter in the chain")
        })
    }
}

impl Hierarchy {
    fn at(position: &Position, mounts: &[Mount]) -> Result<Option<Self>> {
        // Another mount may cover the first one that fits, or it may show another part.
        for mount in mounts.iter().filter(|mount| position.is_in(mount)) {
            let Some(own) = position.below(mount) else { continue };
            if let Some(root) = open_root(mount, &position.controllers)? {
                return Ok(Some(Hierarchy {
                    version: mount.version,
                    controllers: position.controllers.clone(),
                    root,
                    own: own.to_owned(),
                }));
            }
        }
        Ok(None)
    }

    /// As [`Hierarchy::parent`]; `None` if there is no such cgroup.
    pub fn parent_if_there(&self, parent: Option<&Path>) -> Result<Option<Group>> {
        match self.parent(parent) {
            Ok(group) => Ok(Some(group)),
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the cgroup that new ones are made in: this process's own, or `parent`, which counts
    /// from the own one, or with a slash at its start from the mount's root.
    pub fn parent(&self, parent: Option<&Path>) -> Result<Group> {
        // A process that was moved out of the way stands one step below its cgroup.
        let own = match self.own.file_name() {
            Some(last) if last == name::REST => self.own.parent().unwrap_or(&self.own),
            _ => &self.own,
        };
        let way = match parent {
            None => own.to_owned(),
            Some(parent) => match parent.strip_prefix("/") {
                Ok(absolute) => absolute.to_owned(),
                Err(_) => own.join(parent),
            },
        };
        self.root.descend(&way).map_err(|error| {
            error.hint_if(
                Errno::ENOENT,
                "the parent must exist in each hierarchy that is used: see /proc/self/cgroup",
            )
        })
    }
}

/// `None` where something else covers the mount, or it lies behind a closed door. Any other
/// failure is one: to go on without the hierarchy would be to use another unasked.
fn open_root(mount: &Mount, controllers: &[String]) -> Result<Option<Group>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let what = "can't open the cgroup hierarchy";
    let fd = match open(&mount.point, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::ACCESS) => {
            return Ok(None);
        }
        Err(errno) => return Err(errno).or_fail_on(what, &mount.point),
    };
    let magic = fstatfs(&fd).or_fail_on(what, &mount.point)?.f_type as u64;
    let expected = match mount.version {
        Version::V1 => CGROUP_SUPER_MAGIC,
        Version::V2 => CGROUP2_SUPER_MAGIC,
    };
    let group = || Group::new(fd, mount.version, controllers, mount.point.clone());
    Ok((magic == expected).then(group))
}

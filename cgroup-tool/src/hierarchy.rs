//! Where the controllers live: the mounted hierarchies, and this process's place in each.

use std::path::{Path, PathBuf};

use chain::mountinfo;
use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{Mode, OFlags, fstatfs, open};

use crate::bytes;
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

/// All hierarchies that are mounted where this process can use them.
#[derive(Debug)]
pub struct Hierarchies(Vec<Hierarchy>);

impl Hierarchies {
    /// Looks at /proc.
    pub fn find() -> Result<Self> {
        let procfs = Procfs::open()?;
        let own = procfs.own_id()?;
        let mounts = position::hierarchies(mountinfo::read(&procfs)?);
        let positions = position::parse_positions(&file(&procfs, &format!("{own}/cgroup"))?);
        let found =
            positions.iter().filter_map(|position| Hierarchy::at(position, &mounts).transpose());
        Ok(Hierarchies(found.collect::<Result<_>>()?))
    }

    /// The hierarchy that holds `controller`: a v1 one if there is such, else v2's.
    pub fn holder_of(&self, controller: &str) -> Option<&Hierarchy> {
        let old = v1::controller(controller);
        let v1 = self.0.iter().find(|h| h.controllers.iter().any(|name| name == old));
        v1.or_else(|| self.unified())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Hierarchy> {
        self.0.iter()
    }

    /// The v2 hierarchy.
    pub fn unified(&self) -> Option<&Hierarchy> {
        self.0.iter().find(|h| h.version == Version::V2)
    }

    /// The hierarchy that holds every cgroup of ours: v2, and on a pure v1 host the freezer's,
    /// which is what stops processes while they are killed; else any.
    pub fn base(&self) -> Result<&Hierarchy> {
        let freezer = || self.0.iter().find(|h| h.controllers.iter().any(|name| name == "freezer"));
        self.unified().or_else(freezer).or(self.0.first()).ok_or_else(|| {
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

fn file(procfs: &Procfs, path: &str) -> Result<Vec<u8>> {
    bytes::all(procfs.file(path, OFlags::RDONLY)?).or_fail_on("can't read", format!("/proc/{path}"))
}

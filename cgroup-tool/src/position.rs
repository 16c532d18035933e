//! What procfs says of cgroups: the mounts of their hierarchies and /proc/PID/cgroup.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use chain::mountinfo;

/// The two interfaces of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller, or for some together.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A mounted cgroup hierarchy (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The cgroup that is the mount's root.
    pub root: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
    /// v1 or v2.
    pub version: Version,
    /// The options of the file system: on v1 its controllers are among them.
    pub options: Vec<String>,
}

/// This process's place in a hierarchy (cgroups(7), /proc/PID/cgroup).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The controllers of a v1 hierarchy; none: v2.
    pub controllers: Vec<String>,
    /// The cgroup, from the root of the cgroup namespace.
    pub path: PathBuf,
}

impl Position {
    /// Whether the hierarchy has the v1 controller called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.controllers.iter().any(|controller| controller == name)
    }

    /// Whether `mount` shows the hierarchy that this is a place in.
    pub fn is_in(&self, mount: &Mount) -> bool {
        match mount.version {
            Version::V2 => self.controllers.is_empty(),
            Version::V1 => {
                !self.controllers.is_empty()
                    && self.controllers.iter().all(|name| mount.options.contains(name))
            }
        }
    }

    /// The way from the mount's root to it; `None` if it lies outside of the mount.
    pub fn below(&self, mount: &Mount) -> Option<&Path> {
        self.path.strip_prefix(&mount.root).ok()
    }
}

/// The cgroup mounts among `mounts`.
pub fn hierarchies(mounts: Vec<mountinfo::Mount>) -> Vec<Mount> {
    let hierarchy = |mount: mountinfo::Mount| {
        let version = match mount.kind.as_str() {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        let mountinfo::Mount { root, point, super_options: options, .. } = mount;
        Some(Mount { root, point, version, options })
    };
    mounts.into_iter().filter_map(hierarchy).collect()
}

/// The positions of a /proc/PID/cgroup file.
pub fn parse_positions(text: &[u8]) -> Vec<Position> {
    text.split(|&byte| byte == b'\n').filter_map(parse_position).collect()
}

fn parse_position(line: &[u8]) -> Option<Position> {
    let mut fields = line.splitn(3, |&byte| byte == b':');
    let id = fields.next()?;
    let controllers = String::from_utf8_lossy(fields.next()?).into_owned();
    let place = fields.next()?;
    // A v2 line has no controllers; nor has a v1 hierarchy that is about to be unmounted.
    if controllers.is_empty() != (id == b"0") || !place.starts_with(b"/") {
        return None;
    }
    let controllers = controllers.split(',').filter(|name| !name.is_empty());
    Some(Position {
        controllers: controllers.map(str::to_owned).collect(),
        path: path(place.to_vec()),
    })
}

fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        41 31 0:38 /a /sys/fs\\040x/uni\xff rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn mounts() {
        let mounts = hierarchies(mountinfo::parse(MOUNTS).unwrap());
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].version, Version::V1);
        assert_eq!(mounts[0].point, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(mounts[1].version, Version::V2);
        assert_eq!(mounts[1].root, Path::new("/a"));
        assert_eq!(mounts[1].point, path(b"/sys/fs x/uni\xff".to_vec()));
    }

    #[test]
    fn positions() {
        let text = b"9:name=systemd:/\n1:cpu,cpuacct:/x:y\n0::/a/b\n7::/gone\nnonsense\n";
        let positions = parse_positions(text);
        assert_eq!(positions.len(), 3);
        let mounts = hierarchies(mountinfo::parse(MOUNTS).unwrap());
        assert!(!positions[0].is_in(&mounts[0]));
        assert!(positions[1].is_in(&mounts[0]) && !positions[1].is_in(&mounts[1]));
        assert_eq!(positions[1].path, Path::new("/x:y"));
        assert!(positions[2].is_in(&mounts[1]));
        assert_eq!(positions[2].below(&mounts[1]), Some(Path::new("b")));
        assert_eq!(positions[1].below(&mounts[1]), None);
    }
}

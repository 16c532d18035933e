//! The container's cgroup: finding it by name, and moving into it, in each hierarchy.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use chain::mountinfo::{self, Mount};
use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};

/// Where cg-enter puts processes that stand in the way of a cgroup's children.
const REST: &str = "catena.rest";

/// A cgroup that the command line names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: String,
    folder: PathBuf,
}

/// A hierarchy of the kernel, as /proc/PID/cgroup has it: its controllers, none for v2.
type Positions = Vec<(String, String)>;

impl Named {
    /// As cg-stat names it: below this process's own cgroup, or with a slash at its start from the
    /// root, in the v2 hierarchy or, without one, the freezer's.
    pub(super) fn find(procfs: &Procfs, name: &str) -> Result<Self> {
        let what = "can't find the cgroup";
        if name.is_empty() || name.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(Error::new(what)
                .object(name)
                .reason("not a process id, and no cgroup's name"));
        }
        let own = procfs.own_id()?;
        let positions = positions(&procfs.read(&format!("{own}/cgroup"))?);
        let mounts = mountinfo::read(procfs)?;
        let is_base = |wanted: &str| {
            let found = positions.iter().find(|(controllers, _)| controllers == wanted)?;
            Some((found, place(&mounts, &found.0, &found.1)?))
        };
        let ((controllers, _), own) =
            is_base("").or_else(|| is_base("freezer")).ok_or_else(|| {
                Error::new(what).object(name).reason("no cgroup hierarchy is mounted here")
            })?;
        let own = if own.ends_with(REST) { own.parent().unwrap_or(&own) } else { &own };
        let folder = match name.strip_prefix('/') {
            None => own.join(name),
            Some(name) => match place(&mounts, controllers, "/") {
                Some(root) => root.join(name),
                None => own.join(name),
            },
        };
        if !folder.is_dir() {
            return Err(Error::new(what)
                .object(folder)
                .because(Errno::ENOENT)
                .hint("cg-stat lists them"));
        }
        Ok(Named { name: name.to_owned(), folder })
    }

    /// The processes in it and below, the oldest first.
    pub(super) fn processes(&self, procfs: &Procfs) -> Result<Vec<i32>> {
        let mut pids = Vec::new();
        collect(&self.folder, &mut pids)?;
        let born = |pid: &i32| -> u64 {
            let stat = procfs.read(&format!("{pid}/stat")).unwrap_or_default();
            let field = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(19));
            field.and_then(|ticks| ticks.parse().ok()).unwrap_or(u64::MAX)
        };
        pids.sort_by_cached_key(|pid| (born(pid), *pid));
        Ok(pids)
    }
}

fn collect(folder: &Path, pids: &mut Vec<i32>) -> Result<()> {
    let file = folder.join("cgroup.procs");
    let text = std::fs::read_to_string(&file).or_fail_on("can't read", &file)?;
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    for entry in std::fs::read_dir(folder).or_fail_on("can't read", folder)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), pids)?;
        }
    }
    Ok(())
}

/// What a process writes "0" to, to be where the container's is: opened now, with the
/// privileges that this process has now.
#[derive(Debug, Default)]
pub(super) struct Doors(Vec<(PathBuf, std::fs::File)>);

impl Doors {
    /// Those of process `pid`, where it is not in our own cgroup.
    pub(super) fn of(procfs: &Procfs, pid: i32) -> Result<Self> {
        let own = procfs.own_id()?;
        let here = positions(&procfs.read(&format!("{own}/cgroup"))?);
        let there = positions(&procfs.read(&format!("{pid}/cgroup"))?);
        let mounts = mountinfo::read(procfs)?;
        let mut doors = Vec::new();
        for (controllers, path) in there.iter().filter(|position| !here.contains(position)) {
            let what = "can't join the container's cgroup";
            let folder = place(&mounts, controllers, path).ok_or_else(|| {
                Error::new(what)
                    .object(path)
                    .reason("its hierarchy is not mounted here")
                    .hint("--no-cgroup stays in your own")
            })?;
            let file = folder.join("cgroup.procs");
            let door = OpenOptions::new().write(true).open(&file).or_fail_on(what, &file);
            let door = door.map_err(|error| error.hint(HINT))?;
            doors.push((file, door));
        }
        Ok(Doors(doors))
    }

    /// Moves this process there.
    pub(super) fn pass(&self) -> Result<()> {
        for (path, door) in &self.0 {
            let mut door = door;
            door.write_all(b"0")
                .or_fail_on("can't join the container's cgroup", path)
                .map_err(|error| error.hint(HINT))?;
        }
        Ok(())
    }
}

const HINT: &str = "who joins must be allowed to move a process between the two cgroups; --no-cgroup \
                    stays in your own";

/// The lines of /proc/PID/cgroup: controllers and path.
fn positions(text: &str) -> Positions {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The folder of cgroup `path` in the hierarchy of `controllers`, as one of `mounts` shows it.
fn place(mounts: &[Mount], controllers: &str, path: &str) -> Option<PathBuf> {
    let fits = |mount: &&Mount| match controllers {
        "" => mount.kind == "cgroup2",
        names => mount.kind == "cgroup" && names.split(',').all(|name| mount.has(name)),
    };
    mounts.iter().filter(fits).find_map(|mount| {
        let below = Path::new(path).strip_prefix(&mount.root).ok()?;
        let empty = below.as_os_str().is_empty();
        Some(if empty { mount.point.clone() } else { mount.point.join(below) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
        32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
        33 31 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        34 31 0:31 /box /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn places() {
        let mounts = mountinfo::parse(MOUNTS.as_bytes()).unwrap();
        let at = |controllers, path| place(&mounts, controllers, path);
        assert_eq!(at("cpu,cpuacct", "/a"), Some("/sys/fs/cgroup/cpu/a".into()));
        assert_eq!(at("name=systemd", "/"), Some("/sys/fs/cgroup/systemd".into()));
        assert_eq!(at("", "/box/a/b"), Some("/sys/fs/cgroup/unified/a/b".into()));
        assert_eq!(at("", "/elsewhere"), None);
        assert_eq!(at("memory", "/"), None);
    }

    #[test]
    fn lines_of_a_position_file() {
        let found = positions("4:memory:/x:y\n0::/\n");
        assert_eq!(found, [("memory".into(), "/x:y".into()), (String::new(), "/".into())]);
    }
}

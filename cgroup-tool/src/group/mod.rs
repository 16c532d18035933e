//! One open cgroup: everything is done relative to its descriptor.

mod lock;

use std::cell::OnceCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use chain::{Errno, Error, Result, ResultExt, resolve};
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, chownat, mkdirat, openat, statat, unlinkat,
};
use rustix::process::{Gid, Uid};

use crate::bytes;
use crate::explain::{explain, explain_entry};
use crate::position::Version;
use crate::usage::Counters;

/// An open cgroup.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
    /// What holds its lock.
    locked: OnceCell<OwnedFd>,
    /// Which interface files it has.
    pub version: Version,
    /// What a v1 hierarchy counts.
    legacy: Counters,
    /// For messages.
    pub path: PathBuf,
}

const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl Group {
    /// Takes an open folder of a cgroup file system; `controllers` are those of a v1 hierarchy.
    pub fn new(fd: OwnedFd, version: Version, controllers: &[String], path: PathBuf) -> Self {
        let legacy = Counters::new(version, controllers.iter().map(String::as_str));
        Group { fd, locked: OnceCell::new(), version, legacy, path }
    }

    fn sibling(&self, fd: OwnedFd, path: PathBuf) -> Group {
        let (version, legacy) = (self.version, self.legacy);
        Group { fd, locked: OnceCell::new(), version, legacy, path }
    }

    /// Opens the cgroup at `way`, not outside of this one.
    pub fn descend(&self, way: &Path) -> Result<Group> {
        let path = match way.as_os_str().is_empty() {
            true => self.path.clone(),
            false => self.path.join(way),
        };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let fd = resolve::open(self.fd.as_fd(), way, FOLDER, how)
            .or_fail_on("can't open the cgroup", &path)?;
        Ok(self.sibling(fd, path))
    }

    /// Opens the cgroup `name` in this one.
    pub fn open(&self, name: &str) -> Result<Group> {
        let path = self.path.join(name);
        let fd = openat(&self.fd, name, FOLDER, Mode::empty())
            .or_fail_on("can't open the cgroup", &path)?;
        Ok(self.sibling(fd, path))
    }

    /// As [`Group::open`]; `None` if there is no such cgroup.
    pub fn open_if_there(&self, name: &str) -> Result<Option<Group>> {
        match self.open(name) {
            Ok(group) => Ok(Some(group)),
            Err(error) if error.errno() == Some(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the cgroup `name` in this one; `None` if another process was faster: it is there
    /// already, or gone again.
    pub fn make(&self, name: &str) -> Result<Option<Group>> {
        match mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)) {
            // Whoever removes leftovers may have been there already.
            Ok(()) => self.open_if_there(name),
            Err(rustix::io::Errno::EXIST) => Ok(None),
            Err(errno) => Err(explain(
                Error::new("can't make the cgroup").object(self.path.join(name)).because(errno),
            )
            .hint_if(
                Errno::EAGAIN,
                "cgroup.max.descendants or cgroup.max.depth of a cgroup above forbids more",
            )
            .hint_if(
                Errno::ENOSPC,
                "the kernel keeps 65535 cgroups of a v1 or memory hierarchy at most",
            )),
        }
    }

    /// Removes the empty cgroup `name` in this one; it may be gone already.
    pub fn remove(&self, name: &str) -> Result<(), Errno> {
        match unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(errno) => Err(Errno::from_raw(errno.raw_os_error())),
        }
    }

    /// The names of the cgroups in this one.
    pub fn children(&self) -> Result<Vec<String>> {
        self.names(&mut self.list()?).collect()
    }

    /// The names of some of them, `most` at most: those that stand behind another place of the list each time,
    /// and if that comes to its end, at its beginning. It takes no longer the more there are: a place of a
    /// list is a hash of a name in kernfs, and found by that.
    pub fn some_children(&self, most: usize) -> Result<Vec<String>> {
        let what = "can't list the cgroup";
        let mut random = [0; 4];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
            .or_fail("can't get random bytes")?;
        let mut list = self.list()?;
        list.seek(i64::from(i32::from_ne_bytes(random) & i32::MAX)).or_fail_on(what, &self.path)?;
        let mut names = self.names(&mut list).take(most).collect::<Result<Vec<_>>>()?;
        if names.len() < most {
            list.rewind();
        }
        while names.len() < most
            && let Some(name) = self.names(&mut list).next().transpose()?
            && !names.contains(&name)
        {
            names.push(name);
        }
        Ok(names)
    }

    fn list(&self) -> Result<Dir> {
        Dir::read_from(&self.fd).or_fail_on("can't list the cgroup", &self.path)
    }

    fn names(&self, list: &mut Dir) -> impl Iterator<Item = Result<String>> {
        list.filter_map(|entry| {
            let entry = match entry.or_fail_on("can't list the cgroup", &self.path) {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            let name = entry.file_name().to_str().ok()?;
            let is_cgroup = entry.file_type() == FileType::Directory && name != "." && name != "..";
            is_cgroup.then(|| Ok(name.to_owned()))
        })
    }

    /// Whether no cgroup is in the one called `name` in this one: kernfs counts folders as links.
    pub fn is_leaf(&self, name: &str) -> bool {
        statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| stat.st_nlink == 2)
    }

    /// Whether it has the interface file `file`.
    pub fn has(&self, file: &str) -> bool {
        statat(&self.fd, file, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether anybody may read the interface file `file`: its mode says so, even to root.
    pub fn is_readable(&self, file: &str) -> bool {
        statat(&self.fd, file, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| stat.st_mode & 0o444 != 0)
    }

    /// Opens the interface file `file`.
    pub fn file(&self, file: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        openat(&self.fd, file, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }

    /// The whole of the interface file `file`, without the newline at its end.
    pub fn read(&self, file: &str) -> Result<String> {
        self.try_read(file).or_fail_on("can't read", self.path.join(file))
    }

    /// As [`Group::read`], with the kernel's number as the error.
    pub fn try_read(&self, file: &str) -> Result<String, Errno> {
        let fd = self.file(file, OFlags::RDONLY)?;
        let bytes = bytes::all(fd).map_err(|errno| Errno::from_raw(errno.raw_os_error()))?;
        let mut text = String::from_utf8(bytes).map_err(|_| Errno::EILSEQ)?;
        text.truncate(text.trim_end_matches('\n').len());
        Ok(text)
    }

    /// Writes `text` to the interface file `file` in one write(2).
    pub fn write(&self, file: &str, text: &str) -> Result<()> {
        self.try_write(file, text).map_err(|errno| {
            explain(
                Error::new(format!("can't write {text:?} to"))
                    .object(self.path.join(file))
                    .because(errno),
            )
        })
    }

    /// As [`Group::write`], with the kernel's number as the error.
    pub fn try_write(&self, file: &str, text: &str) -> Result<(), Errno> {
        let file = self.file(file, OFlags::WRONLY)?;
        rustix::io::retry_on_intr(|| rustix::io::write(&file, text.as_bytes()))
            .map(drop)
            .map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }

    /// What it counts.
    pub fn counters(&self) -> Counters {
        self.counters_in("cgroup.controllers")
    }

    /// What the cgroups in it count.
    pub fn counters_below(&self) -> Counters {
        self.counters_in("cgroup.subtree_control")
    }

    fn counters_in(&self, file: &str) -> Counters {
        match self.version {
            Version::V1 => self.legacy,
            Version::V2 => {
                let controllers = self.try_read(file).unwrap_or_default();
                Counters::new(Version::V2, controllers.split_ascii_whitespace())
            }
        }
    }

    /// The processes in it, those below not counted. One that this PID namespace doesn't show is 0.
    pub fn processes(&self) -> Result<Vec<i32>> {
        let text = self.read("cgroup.procs")?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Whether a process is in it or below it.
    pub fn is_populated(&self) -> Result<bool> {
        if self.version == Version::V2 {
            let events = self.read("cgroup.events")?;
            return Ok(events.lines().any(|line| line == "populated 1"));
        }
        if !self.processes()?.is_empty() {
            return Ok(true);
        }
        for name in self.children()? {
            if let Some(child) = self.open_if_there(&name)?
                && child.is_populated()?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Gives it to a user: the folder, and the files that delegating is about (cgroups(7)), not
    /// the limits.
    pub fn give(&self, user: u32, group: u32) -> Result<()> {
        let owner = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        for file in [".", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"] {
            match chownat(&self.fd, file, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(()) => {}
                Err(rustix::io::Errno::NOENT) if file != "." => {}
                Err(errno) => return Err(errno).or_fail_on("can't delegate", self.path.join(file)),
            }
        }
        Ok(())
    }

    /// Stops all processes in it, or lets them go on.
    pub fn freeze(&self, frozen: bool) -> Result<()> {
        match (self.version, frozen) {
            (Version::V2, true) => self.write("cgroup.freeze", "1"),
            (Version::V2, false) => self.write("cgroup.freeze", "0"),
            (Version::V1, _) if !self.has("freezer.state") => {
                Err(Error::new("can't freeze the cgroup")
                    .object(&self.path)
                    .reason("neither cgroup v2 nor the freezer of v1 is mounted"))
            }
            (Version::V1, true) => self.write("freezer.state", "FROZEN"),
            (Version::V1, false) => self.write("freezer.state", "THAWED"),
        }
    }

    /// Moves this process in. On v1 the file `tasks` does it without waiting for every CPU, and
    /// means the same for a process of one thread.
    pub fn enter(&self) -> Result<()> {
        let file = match self.version {
            Version::V1 => "tasks",
            Version::V2 => "cgroup.procs",
        };
        self.try_write(file, "0").map_err(|errno| {
            explain_entry(Error::new("can't enter the cgroup").object(&self.path).because(errno))
        })
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

//! Cells: a cgroup sub-tree for each run.
//!
//! A cell is delegated to the user who runs the chain, as systemd's `Delegate=yes` would. It is
//! also how the harness knows a chain's processes: whatever they do, they are in the cell.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use self::hierarchy::{Hierarchy, find_hierarchies, hierarchies, in_v1};
use crate::{User, scratch, sys};

mod hierarchy;

/// A cgroup of one test in each hierarchy that matters. Dropping it kills what is still in it.
#[derive(Debug)]
pub struct Cell {
    folders: Vec<Folder>,
}

/// A cell's folder in one hierarchy.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    hierarchy: Hierarchy,
}

/// Has the cgroups in `parent` get `controller`, which a machine that has just started gives to none.
/// It stays so: others may use it by now. Whether it worked the cell shows.
fn hand_out(parent: &Path, controller: &str) {
    let file = parent.join("cgroup.subtree_control");
    let is_there = words(&parent.join("cgroup.controllers")).contains(controller);
    if is_there && !words(&file).contains(controller) {
        let _ = fs::write(file, format!("+{controller}"));
    }
}

impl Cell {
    /// Makes a cell which belongs to `user`.
    pub fn new(user: User) -> Result<Cell, String> {
        Cell::also_with(user, None)
    }

    fn also_with(user: User, controller: Option<&str>) -> Result<Cell, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("catena-test-{}-{number}", std::process::id());
        let mut cell = Cell { folders: Vec::new() };
        for hierarchy in hierarchies().iter().filter(|found| found.is_wanted(controller)) {
            let parent = hierarchy.parent();
            if let Some(controller) = controller.filter(|_| hierarchy.v1.is_none()) {
                hand_out(&parent, controller);
            }
            let path = parent.join(&name);
            let cannot = |error| format!("cannot make the cgroup {}: {error}", path.display());
            fs::create_dir(&path).map_err(cannot)?;
            inherit_cpuset(&parent, &path).map_err(cannot)?;
            delegate(&path, user);
            cell.folders.push(Folder { path, hierarchy: hierarchy.clone() });
        }
        match cell.folders.is_empty() {
            true => Err("no cgroup hierarchy is mounted".to_owned()),
            false => Ok(cell),
        }
    }

    /// A cell to start several chains in.
    #[track_caller]
    pub fn shared(user: User) -> Rc<Cell> {
        Rc::new(Cell::new(user).expect("asked before"))
    }

    /// Whether cells can be made here.
    pub fn can_be_made(user: User) -> Result<(), String> {
        Cell::new(user).map(drop)
    }

    /// A cell in which `controller` can be used.
    pub fn with(user: User, controller: &str) -> Result<Cell, String> {
        let cell = Cell::also_with(user, Some(controller))?;
        match cell.home(controller) {
            Some(_) => Ok(cell),
            None => Err(format!("the cgroup controller '{controller}' is not available here")),
        }
    }

    /// What a process writes "0" to, to enter the cell.
    pub(crate) fn doors(&self) -> Vec<OwnedFd> {
        let open = |folder: &Folder| {
            // Once the cell gives controllers to those below it, it takes no processes itself:
            // cg-enter has moved what was there to a leaf.
            let rest = folder.path.join("catena.rest");
            let path = if rest.is_dir() { &rest } else { &folder.path };
            let door = OpenOptions::new().write(true).open(path.join("cgroup.procs"));
            OwnedFd::from(door.expect("open cgroup.procs"))
        };
        self.folders.iter().map(open).collect()
    }

    /// The processes in the cell and below.
    pub fn processes(&self) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for folder in self.folders.iter().flat_map(|folder| tree(&folder.path)) {
            // A cgroup may be removed while we look.
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
        found.remove(&0);
        found
    }

    /// Waits until no process is in the cell, and gives those that are still there after `limit`.
    pub fn wait_until_empty(&self, limit: Duration) -> BTreeSet<i32> {
        // Not every hierarchy tells when a cgroup becomes empty, so this looks again and again.
        let end = Instant::now() + limit;
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > end {
                return left;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Kills `pid`, if it is still in the cell.
    pub fn kill(&self, pid: i32) {
        // Opened first and looked for after that: the number can't pass to a stranger in between.
        let Ok(process) = sys::pidfd_open(pid) else { return };
        if self.processes().contains(&pid) {
            sys::kill(process.as_fd());
        }
    }

    /// The cgroups made below the cell, over all hierarchies, relative to it.
    pub fn cgroups(&self) -> BTreeSet<PathBuf> {
        let below = |folder: &Folder| {
            let relative = |path: PathBuf| path.strip_prefix(&folder.path).ok().map(Path::to_owned);
            tree(&folder.path).into_iter().filter_map(relative).collect::<Vec<_>>()
        };
        let all = self.folders.iter().flat_map(below);
        all.filter(|path| path.components().next().is_some()).collect()
    }

    /// The cgroups that chains have left below the cell. One is not theirs: where the harness's own
    /// processes are moved when they are in the way of a controller.
    pub fn left(&self) -> Vec<PathBuf> {
        let is_left = |path: &PathBuf| path != Path::new("catena.rest");
        self.cgroups().into_iter().filter(is_left).collect()
    }

    /// The folder of the cell in the hierarchy that has `controller`, and whether that is
    /// version 2.
    fn home(&self, controller: &str) -> Option<(&Path, bool)> {
        self.folders.iter().find_map(|folder| match &folder.hierarchy.v1 {
            Some(names) if names.iter().any(|name| name == in_v1(controller)) => {
                Some((folder.path.as_path(), false))
            }
            None if words(&folder.path.join("cgroup.controllers")).contains(controller) => {
                Some((folder.path.as_path(), true))
            }
            _ => None,
        })
    }

    /// The folder of the cell in the hierarchy of version 2.
    pub fn folder_v2(&self) -> Result<&Path, String> {
        let folder = self.folders.iter().find(|folder| folder.hierarchy.v1.is_none());
        folder
            .map(|folder| folder.path.as_path())
            .ok_or_else(|| "no cgroup v2 hierarchy is mounted".to_owned())
    }

    /// The folder of the cell in the hierarchy that every cgroup of a chain is in: version 2, or
    /// the freezer's of version 1.
    pub fn base_folder(&self) -> &Path {
        let freezer = || self.home("freezer").map(|(folder, _)| folder);
        self.folder_v2().ok().or_else(freezer).expect("one of the two")
    }

    /// What `--parent` calls the cell: its path in version 2 from the mount's root.
    pub fn path_v2(&self) -> PathBuf {
        let folder = self.folders.iter().find(|folder| folder.hierarchy.v1.is_none());
        let folder = folder.expect("a v2 hierarchy");
        let below = folder.path.strip_prefix(&folder.hierarchy.mount).expect("below its mount");
        Path::new("/").join(below)
    }

    /// A cell whose `controller` lives in a hierarchy of version 2.
    pub fn with_v2(user: User, controller: &str) -> Result<Cell, String> {
        let cell = Cell::with(user, controller)?;
        match cell.is_v2(controller) {
            true => Ok(cell),
            false => Err(format!("the controller '{controller}' lives in cgroup v1 here")),
        }
    }

    /// A cell whose `controller` lives in a hierarchy of version 1.
    pub fn with_v1(user: User, controller: &str) -> Result<Cell, String> {
        let cell = Cell::with(user, controller)?;
        match cell.is_v2(controller) {
            true => Err(format!("the controller '{controller}' lives in cgroup v2 here")),
            false => Ok(cell),
        }
    }

    /// Reads a limit of the cgroup `name` below the cell: from `v2`, or from `v1` where the
    /// controller lives in a hierarchy of version 1.
    #[track_caller]
    pub fn limit(&self, controller: &str, name: &str, v2: &str, v1: &str) -> String {
        let (folder, new) = self.home(controller).expect("the controller is there");
        let path = folder.join(name).join(if new { v2 } else { v1 });
        match fs::read_to_string(&path) {
            Ok(text) => text.trim_end().to_owned(),
            Err(error) => panic!("read {}: {error}", path.display()),
        }
    }

    /// Whether the cell has this interface file of `controller`.
    pub fn has_file(&self, controller: &str, file: &str) -> bool {
        self.home(controller).is_some_and(|(folder, _)| folder.join(file).is_file())
    }

    /// Whether `controller` lives in a hierarchy of version 2 here.
    pub fn is_v2(&self, controller: &str) -> bool {
        self.home(controller).is_some_and(|(_, new)| new)
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                self.kill(pid);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for folder in self.folders.iter().flat_map(|folder| tree(&folder.path)) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Which form of cgroups this machine has, for messages.
pub fn mode() -> &'static str {
    let v1 = hierarchies().iter().any(|hierarchy| hierarchy.v1.is_some());
    let v2 = hierarchies().iter().any(|hierarchy| hierarchy.v1.is_none());
    match (v1, v2) {
        (true, true) => "hybrid",
        (true, false) => "v1",
        (false, true) => "v2",
        (false, false) => "none",
    }
}

/// The limit of `controller` that holds for this process, as far as its cgroup can be seen: from
/// the file `v2`, or from `v1` where the controller lives in a hierarchy of version 1.
pub fn own_limit(controller: &str, v2: &str, v1: &str) -> String {
    let read = |hierarchy: &Hierarchy| hierarchy.own_file(controller, v2, v1);
    // The app may look before a fault, and after it: nothing is remembered.
    find_hierarchies().iter().find_map(read).unwrap_or_default().trim_end().to_owned()
}

/// A new cpuset of version 1 is empty, and takes no process.
fn inherit_cpuset(parent: &Path, path: &Path) -> std::io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let file_here = path.join(file);
        // In version 2 an empty one means the parent's.
        if file_here.exists() && path.join("tasks").exists() {
            fs::write(file_here, fs::read(parent.join(file))?)?;
        }
    }
    Ok(())
}

/// Hands the sub-tree at `path` to `user`, as systemd does.
fn delegate(path: &Path, user: User) {
    scratch::give(path, user);
    for name in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control", "tasks"] {
        let file = path.join(name);
        if file.exists() {
            scratch::give(&file, user);
        }
    }
}

/// `path` and all cgroups below, the deepest first.
fn tree(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(tree(&entry.path()));
        }
    }
    found.push(path.to_owned());
    found
}

/// The words of a file.
fn words(path: &Path) -> BTreeSet<String> {
    let text = File::open(path).and_then(std::io::read_to_string).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

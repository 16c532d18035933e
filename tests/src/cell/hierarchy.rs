//! The cgroup hierarchies of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The controllers that every cell can use, where the machine has them. Each further v1 hierarchy
/// costs each process of a test one more move.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// A mounted cgroup hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Hierarchy {
    /// Its controllers, for version 1; none for version 2, where they depend on the cgroup.
    pub(super) v1: Option<Vec<String>>,
    /// The harness's own cgroup in it.
    own: PathBuf,
    /// Where it is mounted.
    pub(super) mount: PathBuf,
}

impl Hierarchy {
    /// Whether cells have a part in it: a chain puts its cgroup into v2, or into the freezer's
    /// hierarchy where that is not mounted, and into those whose controllers it uses.
    pub(super) fn is_wanted(&self, controller: Option<&str>) -> bool {
        let Some(names) = &self.v1 else { return true };
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        let is_base = || has("freezer") && hierarchies().iter().all(|found| found.v1.is_some());
        CONTROLLERS.into_iter().any(has) || controller.is_some_and(|c| has(in_v1(c))) || is_base()
    }

    /// What `controller` says of this process's cgroup, in the file `v2` or, in version 1, `v1`.
    pub(super) fn own_file(&self, controller: &str, v2: &str, v1: &str) -> Option<String> {
        let file = match &self.v1 {
            Some(names) => names.iter().any(|name| name == controller).then_some(v1)?,
            None => v2,
        };
        fs::read_to_string(self.own.join(file)).ok()
    }

    /// Below which cgroup cells are made.
    ///
    /// In version 2 a cgroup with processes can't distribute controllers, so cells stand beside
    /// the harness's own cgroup, not below it.
    pub(super) fn parent(&self) -> PathBuf {
        match (&self.v1, self.own.parent()) {
            (None, Some(parent)) if self.own != self.mount => parent.to_owned(),
            _ => self.own.clone(),
        }
    }
}

/// The controller as version 1 calls it.
pub(super) fn in_v1(controller: &str) -> &str {
    if controller == "io" { "blkio" } else { controller }
}

/// The hierarchies that are mounted: version 2, and those of version 1 with controllers.
pub(super) fn hierarchies() -> &'static [Hierarchy] {
    static FOUND: OnceLock<Vec<Hierarchy>> = OnceLock::new();
    FOUND.get_or_init(find_hierarchies)
}

/// [`hierarchies`] as they are now.
pub(super) fn find_hierarchies() -> Vec<Hierarchy> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    own.lines().filter_map(|line| hierarchy(line, &mounts)).collect()
}

/// The hierarchy of one line of /proc/self/cgroup, if it has controllers and is mounted.
fn hierarchy(line: &str, mounts: &str) -> Option<Hierarchy> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (names, path) = (fields.next()?, fields.next()?);
    let v1 = match names {
        "" => None,
        names => Some(names.split(',').map(str::to_owned).collect::<Vec<_>>()),
    };
    if names.starts_with("name=") {
        return None;
    }
    mounts.lines().find_map(|mount| {
        let (front, back) = mount.split_once(" - ")?;
        let (front, back): (Vec<_>, Vec<_>) =
            (front.split(' ').collect(), back.split(' ').collect());
        let fits = match &v1 {
            None => back[0] == "cgroup2",
            Some(names) => {
                back[0] == "cgroup"
                    && names.iter().all(|name| back[2].split(',').any(|o| o == name))
            }
        };
        let below = Path::new(path).strip_prefix(front[3]).ok().filter(|_| fits)?;
        let mount = PathBuf::from(front[4]);
        let own = if below.as_os_str().is_empty() { mount.clone() } else { mount.join(below) };
        Some(Hierarchy { v1: v1.clone(), own, mount })
    })
}

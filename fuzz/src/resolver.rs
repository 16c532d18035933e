//! Whatever links are in a root, and however they are exchanged meanwhile: what a path in it leads
//! to lies inside, and what is made on the way is made inside.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use pivot_tool::place::{self, Found, Kind};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};

/// Where something may stand.
const PLACES: [&str; 10] = ["a", "b", "a/c", "b/d", "a/c/e", "l", "a/l", "b/l", "a/c/l", "a/c/e/l"];
/// Where a link may lead; `OUT` is a folder outside.
const TARGETS: [&str; 16] = [
    "/",
    ".",
    "..",
    "../..",
    "../../..",
    "../../../../../../../../OUT",
    "/OUT",
    "/a",
    "/b/l",
    "c",
    "../b",
    "/a/c/l",
    "/proc/self/root",
    "/proc/self/cwd",
    "missing/x",
    "a/c",
];
/// What a path is made of.
const NAMES: [&str; 8] = ["a", "b", "c", "d", "l", "..", "x", "e"];
/// How often each path is looked up.
const TURNS: usize = 8;

/// How a path is looked up, and perhaps made.
pub type Resolve = fn(BorrowedFd<'_>, &Path) -> Option<OwnedFd>;

/// As fs-pivot does it.
pub fn check(input: &[u8]) {
    check_with(input, as_fs_pivot);
}

fn as_fs_pivot(root: BorrowedFd<'_>, path: &Path) -> Option<OwnedFd> {
    match place::find(root, path).ok()? {
        Found::There(place) => Some(place),
        Found::Missing(ancestor, names) => place::make(ancestor.as_fd(), &names, Kind::Folder).ok(),
    }
}

/// The first byte chooses what is exchanged meanwhile; then come a count and as many pairs, each a
/// place and what stands there; the rest is the path.
pub fn check_with(input: &[u8], resolve: Resolve) {
    let [exchange, count, rest @ ..] = input else { return };
    let (pairs, path) = rest.split_at(usize::from(*count % 24).min(rest.len() / 2) * 2);
    let ground = Ground::new();
    for pair in pairs.as_chunks::<2>().0 {
        ground.put(PLACES[usize::from(pair[0]) % PLACES.len()], pair[1]);
    }
    let path: PathBuf =
        path.iter().take(12).map(|byte| NAMES[usize::from(*byte) % NAMES.len()]).collect();
    let path = Path::new("/").join(path);
    let root = place::host(&ground.root, OFlags::DIRECTORY).expect("the root");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let racer = (*exchange != 0).then(|| {
            let pair = [exchange & 15, exchange >> 4].map(|nth| usize::from(nth) % PLACES.len());
            let [one, other] = pair.map(|nth| ground.root.join(PLACES[nth]));
            scope.spawn(|| race(one, other, &stop))
        });
        let wrong = (0..TURNS).find_map(|_| ground.complaint(resolve(root.as_fd(), &path)));
        stop.store(true, Ordering::Relaxed);
        racer.map(std::thread::ScopedJoinHandle::join);
        if let Some(wrong) = wrong {
            panic!("{}: {wrong}", path.display());
        }
    });
}

fn race(one: PathBuf, other: PathBuf, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        // One of them may be missing, or lie in the other.
        let _ = renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
    }
}

/// A root, and a folder outside in which nothing may ever be made.
struct Ground {
    whole: PathBuf,
    root: PathBuf,
    outside: PathBuf,
}

impl Ground {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("catena-resolver-{}-{number}", std::process::id());
        let whole = std::env::temp_dir().join(name);
        let (root, outside) = (whole.join("root"), whole.join("outside"));
        for folder in [&whole, &root, &outside] {
            fs::create_dir(folder).expect("make a folder");
        }
        Ground { whole, root, outside }
    }

    /// Puts a folder, a file or a link there, if there is nothing and its folder is one.
    fn put(&self, place: &str, what: u8) {
        let path = self.root.join(place);
        // Never through a link, which could lead out here already.
        let folder = path.parent().expect("it lies in the root");
        let here = [folder, folder.parent().unwrap_or(folder)];
        if here.iter().any(|folder| folder.starts_with(&self.root) && folder.is_symlink()) {
            return;
        }
        let _ = match what {
            0..=99 => fs::create_dir(&path),
            // Neither does this follow a link.
            100..=119 => fs::File::create_new(&path).map(drop),
            _ => {
                let target = TARGETS[usize::from(what) % TARGETS.len()];
                let outside = self.outside.display().to_string();
                symlink(target.replace("/OUT", &outside), &path)
            }
        };
    }

    /// What is wrong about the place that was found.
    fn complaint(&self, found: Option<OwnedFd>) -> Option<String> {
        if fs::read_dir(&self.outside).expect("list").next().is_some() {
            return Some("something was made outside".to_owned());
        }
        let number = found?;
        let number = number.as_raw_fd();
        let path = fs::read_link(format!("/proc/self/fd/{number}")).expect("an open descriptor");
        (!path.starts_with(&self.root)).then(|| format!("it leads to {}", path.display()))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.whole);
    }
}

/// By path, as a careless program does it: to show that this check can fail.
pub fn careless(root: BorrowedFd<'_>, path: &Path) -> Option<OwnedFd> {
    let root = fs::read_link(format!("/proc/self/fd/{}", root.as_raw_fd())).ok()?;
    let path = root.join(path.strip_prefix("/").ok()?);
    let _ = fs::create_dir_all(&path);
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

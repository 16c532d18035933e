//! A Debian tree, made once and kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{User, need};

/// A minimal Debian, or the reason why there is none.
///
/// It is taken from `CATENA_TEST_CACHE` (else from the build folder), and made there by
/// mmdebstrap the first time, from the package sources that this machine itself uses.
pub fn tree() -> Result<&'static Path, String> {
    static TREE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TREE.get_or_init(make).as_deref().map_err(Clone::clone)
}

fn make() -> Result<PathBuf, String> {
    let cache = match std::env::var_os("CATENA_TEST_CACHE") {
        Some(named) => PathBuf::from(named),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache"),
    };
    let tree = cache.join("debian");
    if tree.join("etc/debian_version").is_file() {
        return reachable(&tree);
    }
    if !User::suite_is_root() {
        return Err(format!("no Debian tree at {}, and only root makes one", tree.display()));
    }
    let program = need::program("mmdebstrap")
        .map_err(|reason| format!("{reason}: apt install mmdebstrap"))?;
    fs::create_dir_all(&cache).map_err(|error| format!("{}: {error}", cache.display()))?;
    // Never a half-made tree under the name that the next run trusts.
    let fresh = cache.join(format!("debian.{}", std::process::id()));
    let mut command = Command::new(program);
    command.args(["--quiet", "--variant=minbase", "--mode=root", "--include=bash,procps"]);
    command.arg("").arg(&fresh).args(sources());
    let made = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let done = made.status.success() && fs::rename(&fresh, &tree).is_ok();
    let _ = fs::remove_dir_all(&fresh);
    match done || tree.join("etc/debian_version").is_file() {
        true => reachable(&tree),
        false => Err(format!("mmdebstrap: {}", String::from_utf8_lossy(&made.stderr).trim_end())),
    }
}

/// The files that name this machine's package sources.
fn sources() -> Vec<PathBuf> {
    let listed = |entry: fs::DirEntry| entry.path();
    let folder = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let known = |path: &PathBuf| path.extension().is_some_and(|e| e == "list" || e == "sources");
    let mut files: Vec<_> = folder.map(listed).filter(known).collect();
    files.extend(Some(PathBuf::from("/etc/apt/sources.list")).filter(|path| path.is_file()));
    files
}

/// The tree, if every user can reach it.
fn reachable(tree: &Path) -> Result<PathBuf, String> {
    let tree = tree.canonicalize().map_err(|error| error.to_string())?;
    let closed = tree
        .ancestors()
        .find(|part| !fs::metadata(part).is_ok_and(|data| data.permissions().mode() & 0o001 != 0));
    match closed {
        None => Ok(tree),
        Some(door) => Err(format!("{} is closed to other users", door.display())),
    }
}

//! Debian trees, made once and kept.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{User, need};

/// What the trees have beside the essential packages.
const PACKAGES: &str = "apparmor,bash,procps,systemd,systemd-sysv,dbus,python3-minimal";
/// What no test reads.
const UNREAD: [&str; 3] = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"];

/// A small Debian with systemd, of this machine's own release, or the reason why there is none.
///
/// It is taken from `CATENA_TEST_CACHE` (else from the build folder), and made there by
/// mmdebstrap the first time, from the package sources that this machine itself uses.
pub fn tree() -> Result<&'static Path, String> {
    static TREE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TREE.get_or_init(|| make("debian", sources())).as_deref().map_err(Clone::clone)
}

/// The same of Debian 13, whose systemd (257) knows more of sd_notify(3) than Debian 12's.
pub fn newer_tree() -> Result<&'static Path, String> {
    static TREE: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    TREE.get_or_init(|| make("debian-13", newer_sources()?)).as_deref().map_err(Clone::clone)
}

fn make(name: &str, sources: Vec<PathBuf>) -> Result<PathBuf, String> {
    let tree = cache().join(name);
    let parts = ["lib/systemd/systemd", "usr/sbin/apparmor_parser"];
    let is_whole = || parts.iter().all(|part| tree.join(part).is_file());
    if is_whole() {
        return reachable(&tree);
    }
    if !User::suite_is_root() {
        return Err(format!("no Debian tree at {}, and only root makes one", tree.display()));
    }
    let program = need::program("mmdebstrap")
        .map_err(|reason| format!("{reason}: apt install mmdebstrap"))?;
    fs::create_dir_all(cache()).map_err(|error| format!("{}: {error}", cache().display()))?;
    // Never a half-made tree under the name that the next run trusts.
    let fresh = cache().join(format!("{name}.{}", std::process::id()));
    let mut command = Command::new(program);
    command.args(["--quiet", "--variant=minbase", "--mode=root"]);
    command.arg(format!("--include={PACKAGES}"));
    command.args(UNREAD.map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg("").arg(&fresh).args(sources);
    let made = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let done = made.status.success() && {
        // One of an older kind may be in the way.
        let _ = fs::remove_dir_all(&tree);
        fs::rename(&fresh, &tree).is_ok()
    };
    let _ = fs::remove_dir_all(&fresh);
    match done || is_whole() {
        true => reachable(&tree),
        false => Err(format!("mmdebstrap: {}", String::from_utf8_lossy(&made.stderr).trim_end())),
    }
}

fn cache() -> PathBuf {
    match std::env::var_os("CATENA_TEST_CACHE") {
        Some(named) => PathBuf::from(named),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/test-cache"),
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

/// A file that names the same sources for Debian 13: with this machine's own names for its
/// releases replaced.
fn newer_sources() -> Result<Vec<PathBuf>, String> {
    let os = fs::read_to_string("/etc/os-release").map_err(|error| error.to_string())?;
    let field = |name: &str| os.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let (Some("debian"), Some(own)) = (field("ID"), field("VERSION_CODENAME")) else {
        return Err("the package sources of this machine are not Debian's".into());
    };
    fs::create_dir_all(cache()).map_err(|error| error.to_string())?;
    let rename = |source: PathBuf| {
        let text = fs::read_to_string(&source).map_err(|error| error.to_string())?;
        let name = source.file_name().ok_or("a folder among the package sources")?;
        let copy = cache().join(name);
        fs::write(&copy, text.replace(own, "trixie")).map_err(|error| error.to_string())?;
        Ok(copy)
    };
    sources().into_iter().map(rename).collect()
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

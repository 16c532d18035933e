//! Where the tools under test are.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{User, scratch};

/// All tools, by the names that a user types.
pub const TOOLS: [&str; 11] = [
    "cg-enter",
    "cg-signal",
    "cg-stat",
    "ns-enter",
    "ns-unshare",
    "fs-pivot",
    "priv-drop",
    "mini-init",
    "notify-bridge",
    "listen-fds",
    "chain-doctor",
];

/// The folder of the tools, which every user can reach.
///
/// That is the folder that this test program was built in, or `CATENA_BIN`; where it lies behind
/// a closed door (a home, say), copies in a temporary folder.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let built = match std::env::var_os("CATENA_BIN") {
            Some(named) => PathBuf::from(named).canonicalize().expect("CATENA_BIN is a folder"),
            None => build_folder(),
        };
        for tool in TOOLS {
            let path = built.join(tool);
            assert!(path.is_file(), "{} is not built: cargo build --workspace", path.display());
        }
        match !User::suite_is_root() || TOOLS.iter().all(|tool| open_to_all(&built.join(tool))) {
            true => built,
            false => staged(&TOOLS.map(|tool| built.join(tool)), "toolbox"),
        }
    })
}

/// Whether the tools are one file under many names, as in a release.
pub fn is_one_program() -> bool {
    let file = |name| fs::metadata(tool(name)).expect("a tool").ino();
    file(TOOLS[0]) == file(TOOLS[1])
}

/// A folder, which every user can reach, with the one program that is all tools.
pub fn one_program() -> PathBuf {
    let built = build_folder().join("catena");
    assert!(built.is_file(), "{} is not built: cargo build --workspace", built.display());
    let folder = staged(&[built], "one-program");
    for tool in TOOLS {
        fs::hard_link(folder.join("catena"), folder.join(tool)).expect("a hard link");
    }
    folder
}

/// One tool's path.
pub fn tool(name: &str) -> PathBuf {
    folder().join(name)
}

/// A tool that was built to be careless, to show that a test would find that out.
pub fn weakened(name: &str) -> Result<PathBuf, String> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let built = build_folder().join("weakened").join(name);
    if !built.is_file() {
        return Err(format!("{} is not built: make weakened", built.display()));
    }
    let folder = FOLDER.get_or_init(|| match !User::suite_is_root() || open_to_all(&built) {
        true => build_folder().join("weakened"),
        false => staged(std::slice::from_ref(&built), "weakened"),
    });
    Ok(folder.join(name))
}

/// The path of the probe, which every user can reach.
pub fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let built = build_folder().join("probe");
        match !User::suite_is_root() || open_to_all(&built) {
            true => built,
            false => staged(&[built], "probe").join("probe"),
        }
    })
}

/// The folder of the build profile: the test program is in its `deps`.
fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    test.ancestors().nth(2).expect("a test program is two folders deep").to_owned()
}

/// Whether everybody can execute the file at `path`.
fn open_to_all(path: &Path) -> bool {
    path.ancestors()
        .all(|part| fs::metadata(part).is_ok_and(|data| data.permissions().mode() & 0o001 != 0))
}

/// Copies of `files` in a folder that everybody can reach.
fn staged(files: &[PathBuf], name: &str) -> PathBuf {
    let folder = scratch::whole().join(name);
    fs::create_dir(&folder).expect("make a folder");
    for file in files {
        let copy = folder.join(file.file_name().expect("a file has a name"));
        scratch::copy_program(file, &copy);
        fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("chmod");
    }
    folder
}

//! Temporary folders, gone at the end.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{User, sys};

/// A folder of one test, owned by the user who runs the chain, removed when it is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes an empty folder that belongs to `user`.
    pub fn new(user: User) -> Scratch {
        let path = nix::unistd::mkdtemp(&whole().join("XXXXXX")).expect("mkdtemp");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
        give(&path, user);
        Scratch { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it, readable by everybody, and gives its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        std::fs::write(&path, text).expect("write a file");
        path
    }

    /// Makes a folder in it for `user`, and gives its path.
    pub fn folder(&self, name: &str, user: User) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir(&path).expect("make a folder");
        give(&path, user);
        path
    }

    /// Writes a program, usually a script, and gives its path.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        write_program(&path, text);
        path
    }

    /// Copies a program to `name`.
    pub fn program(&self, name: &str, from: &Path) -> PathBuf {
        let path = self.join(name);
        copy_program(from, &path);
        path
    }
}

/// Copies a program. cp(1) does it: were this process to hold the copy open for writing, so would whatever
/// another test forks meanwhile, and nobody could execute it.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg(from).arg(to).status();
    assert!(copied.expect("run cp").success());
}

/// Writes a program, as `copy_program` does and for the same reason.
pub fn write_program(path: &Path, text: &str) {
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).expect("write a program");
    copy_program(&draft, path);
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("chmod");
    std::fs::remove_file(&draft).expect("remove a draft");
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Makes `user` the owner, which only root can and only root needs to.
pub fn give(path: &Path, user: User) {
    if User::suite_is_root() {
        std::os::unix::fs::lchown(path, Some(user.uid()), Some(user.gid())).expect("chown");
    }
}

/// The one folder of this test process that all others stand in; everybody can pass through.
pub fn whole() -> &'static Path {
    static WHOLE: OnceLock<PathBuf> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let pattern = std::env::temp_dir().join("catena-tests-XXXXXX");
        let path = nix::unistd::mkdtemp(&pattern).expect("mkdtemp");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("chmod");
        // Statics are never dropped.
        sys::at_exit(remove_whole);
        path
    })
}

extern "C" fn remove_whole() {
    let _ = std::fs::remove_dir_all(whole());
}

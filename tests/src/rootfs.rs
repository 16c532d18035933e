//! A small root filesystem: a static busybox, the probe, and the folders that every root has.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::{Scratch, User, need, scratch, toolbox};

/// What busybox is called by in it.
const APPLETS: [&str; 26] = [
    "cat", "chmod", "cp", "echo", "env", "false", "grep", "head", "hostname", "id", "ip", "kill",
    "ls", "mkdir", "mount", "nproc", "ps", "pwd", "rm", "sh", "sleep", "stat", "test", "touch",
    "true", "umount",
];

/// The folders in it.
const FOLDERS: [&str; 10] =
    ["bin", "dev", "etc", "home", "mnt", "proc", "run", "sys", "tmp", "var"];

/// A root filesystem of one test. Its folders belong to the user who runs the chain, so that
/// what is written is not stopped by the owner; its programs belong to the one who runs the suite.
#[derive(Debug)]
pub struct Rootfs {
    scratch: Scratch,
}

impl Rootfs {
    /// Makes one for `user`.
    pub fn new(user: User) -> Result<Rootfs, String> {
        let (busybox, probe) = programs()?;
        let scratch = Scratch::new(user);
        for name in FOLDERS {
            scratch.folder(name, user);
        }
        fs::set_permissions(scratch.join("tmp"), PermissionsExt::from_mode(0o1777)).expect("chmod");
        fs::hard_link(busybox, scratch.join("bin/busybox")).expect("link busybox");
        fs::hard_link(probe, scratch.join("bin/probe")).expect("link the probe");
        for applet in APPLETS {
            symlink("busybox", scratch.join("bin").join(applet)).expect("symlink");
        }
        scratch.file(
            "etc/passwd",
            "root:x:0:0:root:/:/bin/sh\napp:x:1000:1001:app:/home:/bin/sh\n1234:x:7:7::/:/bin/sh\n",
        );
        scratch.file("etc/group", "root:x:0:\napp:x:1001:\nextra:x:1002:app\n1234:x:8:\n");
        Ok(Rootfs { scratch })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// The path of something in it, seen from outside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.scratch.join(name.trim_start_matches('/'))
    }

    /// Writes a file in it.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        self.scratch.file(name.trim_start_matches('/'), text)
    }

    /// Writes a program in it.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        self.scratch.script(name.trim_start_matches('/'), text)
    }
}

impl AsRef<Path> for Rootfs {
    fn as_ref(&self) -> &Path {
        self.path()
    }
}

impl std::fmt::Display for Rootfs {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.path().display().fmt(f)
    }
}

/// busybox and the probe, copied once beside all roots, so that each root has hard links only.
fn programs() -> Result<(&'static Path, &'static Path), String> {
    static PROGRAMS: OnceLock<Result<(PathBuf, PathBuf), String>> = OnceLock::new();
    let made = PROGRAMS.get_or_init(|| {
        let busybox = static_busybox()?;
        Ok((master(&busybox, "busybox"), master(toolbox::probe(), "probe-in-a-root")))
    });
    made.as_ref().map(|(busybox, probe)| (busybox.as_path(), probe.as_path())).map_err(Clone::clone)
}

fn master(program: &Path, name: &str) -> PathBuf {
    let copy = scratch::whole().join(name);
    scratch::copy_program(program, &copy);
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("chmod");
    copy
}

/// A busybox which needs no library of an image.
fn static_busybox() -> Result<PathBuf, String> {
    let lacking = || "busybox is not installed or not static: apt install busybox-static";
    let path = need::program("busybox").map_err(|_| lacking().to_owned())?;
    let program = fs::read(&path).map_err(|error| error.to_string())?;
    // A dynamic program names its loader.
    let dynamic = program.windows(8).any(|bytes| bytes == b"/ld-linu" || bytes == b"/ld-musl");
    if dynamic { Err(lacking().to_owned()) } else { Ok(path) }
}

//! Where the measurements take place: a temporary folder that every user can reach, with the
//! tools, the floor and a root filesystem that holds the app.

use std::ffi::OsStr;
use std::fs;
use std::io::Result;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder, removed at the end by the process that made it.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    made_here: bool,
}

/// What a root filesystem has, besides the app.
const FOLDERS: [&str; 6] = ["proc", "sys", "dev", "run", "tmp", "etc"];

impl Place {
    /// Makes it: copies the tools from `tools`, compiles the C programs of `sources`.
    pub fn make(tools: &Path, sources: &Path) -> Result<Place> {
        let folder = std::env::temp_dir().join(format!("catena-bench-{}", std::process::id()));
        let place = Place { folder, made_here: true };
        let root = place.root();
        for name in FOLDERS {
            fs::create_dir_all(root.join(name))?;
        }
        fs::create_dir_all(place.folder.join("tools"))?;
        for entry in fs::read_dir(tools)? {
            let path = entry?.path();
            let is_program = |data: fs::Metadata| data.is_file() && data.mode() & 0o111 != 0;
            if path.extension().is_none() && fs::metadata(&path).is_ok_and(is_program) {
                fs::copy(
                    &path,
                    place.folder.join("tools").join(path.file_name().unwrap_or_default()),
                )?;
            }
        }
        let app = place.root().join("app");
        compile("cc", &["-nostdlib", "-ffreestanding"], &sources.join("app.c"), &app)?;
        // The kernel's headers, which musl does not bring along, stand after its own.
        let arch = format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH);
        let musl = ["-idirafter", "/usr/include", "-idirafter", &arch];
        let floor = place.floor();
        if compile("musl-gcc", &musl, &sources.join("floor.c"), &floor).is_err() {
            compile("cc", &[], &sources.join("floor.c"), &floor)?;
        }
        for folder in [&place.folder, &place.folder.join("tools"), &root] {
            fs::set_permissions(folder, PermissionsExt::from_mode(0o755))?;
        }
        Ok(place)
    }

    /// One that another process has made.
    pub fn existing(folder: &OsStr) -> Place {
        Place { folder: folder.into(), made_here: false }
    }

    /// Its path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one of our tools.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.folder.join("tools").join(name)
    }

    /// The root filesystem, with the app in it as /app.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    /// The floor.
    pub fn floor(&self) -> PathBuf {
        self.folder.join("floor")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made_here {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

use std::os::unix::fs::MetadataExt;

fn compile(compiler: &str, flags: &[&str], source: &Path, program: &Path) -> Result<()> {
    let mut command = Command::new(compiler);
    command.args(["-Os", "-s", "-static", "-w"]).args(flags).arg("-o").arg(program).arg(source);
    match command.status()?.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("{compiler} can't compile {source:?}"))),
    }
}

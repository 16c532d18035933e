//! Where the measurements take place: a temporary folder that every user can reach, with the
//! tools, the floor and a root filesystem that holds the app.

use std::collections::HashMap;
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
const FOLDERS: [&str; 7] = ["proc", "sys", "dev", "run", "tmp", "etc", "usr"];

impl Place {
    /// Makes it, in `folder` to stay or in one of its own: copies the tools from `tools`, compiles the C programs
    /// of `sources`.
    pub fn make(folder: Option<&Path>, tools: &Path, sources: &Path) -> Result<Place> {
        let own = || std::env::temp_dir().join(format!("catena-bench-{}", std::process::id()));
        let place = match folder {
            Some(folder) => Place { folder: folder.to_owned(), made_here: false },
            None => Place { folder: own(), made_here: true },
        };
        let root = place.root();
        for name in FOLDERS {
            fs::create_dir_all(root.join(name))?;
        }
        fs::create_dir_all(place.folder.join("tools"))?;
        let mut copies: HashMap<u64, PathBuf> = HashMap::new();
        for entry in fs::read_dir(tools)? {
            let path = entry?.path();
            let data = fs::metadata(&path)?;
            if path.extension().is_some() || !data.is_file() || data.mode() & 0o111 == 0 {
                continue;
            }
            let copy = place.folder.join("tools").join(path.file_name().unwrap_or_default());
            // One file with many names stays one.
            match copies.get(&data.ino()) {
                Some(same) => fs::hard_link(same, copy)?,
                None => {
                    fs::copy(&path, &copy)?;
                    copies.insert(data.ino(), copy);
                }
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
        write_filter(&place.filter())?;
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

    /// The default seccomp filter, as the kernel takes it.
    pub fn filter(&self) -> PathBuf {
        self.folder.join("filter")
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

/// The filter that priv-drop loads, for the floor to load too: an array of `struct sock_filter`.
fn write_filter(file: &Path) -> Result<()> {
    let text = include_str!("../../confine/src/seccomp/built_in.txt");
    let mut bytes = Vec::new();
    for line in text.lines().skip(1) {
        let fields: Vec<u32> = line.split(' ').filter_map(|field| field.parse().ok()).collect();
        let [code, jt, jf, k] = fields[..] else { continue };
        bytes.extend((code as u16).to_ne_bytes());
        bytes.extend([jt as u8, jf as u8]);
        bytes.extend(k.to_ne_bytes());
    }
    fs::write(file, bytes)
}

fn compile(compiler: &str, flags: &[&str], source: &Path, program: &Path) -> Result<()> {
    let mut command = Command::new(compiler);
    command.args(["-Os", "-s", "-static", "-w"]).args(flags).arg("-o").arg(program).arg(source);
    match command.status()?.success() {
        true => Ok(()),
        false => Err(std::io::Error::other(format!("{compiler} can't compile {source:?}"))),
    }
}

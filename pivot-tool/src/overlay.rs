//! overlayfs, its layers named by descriptor.

use std::cell::Cell;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{Mode, OFlags, fstat, readlinkat};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::fchdir;

use crate::mount::{Mount, SAFE, Setting, attach_failed};
use crate::private::in_first_user_namespace;
use crate::{place, scaffold};

/// What an overlay is made of.
#[derive(Debug)]
pub struct Layers<'a> {
    /// What it shows, uppermost first.
    pub lower: &'a [OwnedFd],
    /// Where it keeps changes.
    pub upper: &'a OwnedFd,
    /// Where it prepares them.
    pub work: &'a OwnedFd,
}

impl Layers<'_> {
    /// Mounts them, detached; `name` is for an error.
    pub fn mount(&self, procfs: &Procfs, name: &Path) -> Result<Mount> {
        let device = |fd| fstat(fd).map(|stat| stat.st_dev).or_fail_on("can't examine", name);
        if device(self.upper)? != device(self.work)? {
            return Err(Error::new("can't overlay")
                .object(name)
                .reason("--upper and --work lie in different file systems"));
        }
        in_descriptors(procfs, || self.mount_here(procfs))
    }

    fn mount_here(&self, procfs: &Procfs) -> Result<Mount> {
        let number = |fd: &OwnedFd| fd.as_raw_fd().to_string();
        let lower = self.lower.iter().map(number).collect::<Vec<_>>().join(":");
        let (upper, work) = (number(self.upper), number(self.work));
        let mut settings = vec![
            Setting::Value("lowerdir", &lower),
            Setting::Value("upperdir", &upper),
            Setting::Value("workdir", &work),
        ];
        if !in_first_user_namespace(procfs)? {
            // The trusted.* attributes are the host's alone.
            settings.push(Setting::Flag("userxattr"));
        }
        Mount::new("overlay", &settings, SAFE).map_err(|error| {
            error.hint_if(Errno::EPERM, "overlays in user namespaces need Linux 5.11")
        })
    }
}

/// Calls `mount` with the procfs's folder of our descriptors as the working directory. A number is
/// a path there: it needs no escaping, it can't be redirected, and many of them fit into the 255
/// bytes that fsconfig(2) takes.
pub fn in_descriptors<T>(procfs: &Procfs, mount: impl FnOnce() -> Result<T>) -> Result<T> {
    let here = place::host(Path::new("."), OFlags::DIRECTORY)?;
    fchdir(descriptors(procfs)?).or_fail_on("can't change to", "/proc/self/fd")?;
    let mounted = mount();
    fchdir(here).or_fail("can't change back to the current folder")?;
    mounted
}

fn descriptors(procfs: &Procfs) -> Result<OwnedFd> {
    let path = format!("{}/fd", procfs.own_id()?);
    procfs.file(&path, OFlags::PATH | OFlags::DIRECTORY)
}

/// The path that the kernel has for an open file.
pub fn path_of(procfs: &Procfs, fd: impl AsFd) -> Result<PathBuf> {
    let number = fd.as_fd().as_raw_fd().to_string();
    let path = readlinkat(descriptors(procfs)?, number, Vec::new())
        .or_fail("can't find the path of a descriptor")?;
    Ok(OsString::from_vec(path.into_bytes()).into())
}

/// Refuses layers one of which lies in another: the kernel would, without saying which.
pub fn check_apart(procfs: &Procfs, layers: &[(&Path, &OwnedFd)]) -> Result<()> {
    let paths = layers.iter().map(|(_, fd)| path_of(procfs, fd)).collect::<Result<Vec<_>>>()?;
    for (inner, path) in paths.iter().enumerate() {
        let around =
            |(other, outer): &(usize, &PathBuf)| *other != inner && path.starts_with(outer);
        if let Some((outer, _)) = paths.iter().enumerate().find(around) {
            return Err(Error::new("can't overlay")
                .object(layers[inner].0)
                .reason(format!("it lies in another layer, {}", layers[outer].0.display())));
        }
    }
    Ok(())
}

/// A tmpfs for upper layers, reachable by nobody once they are in use.
#[derive(Debug)]
pub struct Scratch {
    tmpfs: Mount,
    layers: Cell<u32>,
}

impl Scratch {
    /// Makes one for the time of `build`: overlayfs takes layers from attached mounts only, and
    /// keeps copies of them. `old` is where it may lie meanwhile, the old root.
    pub fn with<T>(old: &OwnedFd, build: impl FnOnce(&Scratch) -> Result<T>) -> Result<T> {
        let tmpfs = Mount::new("tmpfs", &[Setting::Value("mode", "0700")], SAFE)?;
        tmpfs.attach(old).map_err(|errno| attach_failed("can't mount over", "/", errno))?;
        let scratch = Scratch { tmpfs, layers: Cell::new(0) };
        let built = build(&scratch)?;
        let here = place::host(Path::new("."), OFlags::DIRECTORY)?;
        let what = "can't unmount the scratch tmpfs";
        fchdir(&scratch.tmpfs).or_fail(what)?;
        unmount(".", UnmountFlags::DETACH).or_fail(what)?;
        fchdir(here).or_fail(what)?;
        Ok(built)
    }

    /// Its root folder.
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.tmpfs.as_fd()
    }

    /// A new place for a mount.
    pub fn place(&self) -> Result<OwnedFd> {
        let private = Mode::from_raw_mode(0o700);
        place::make_folder(self.folder(), "mount".as_ref(), private)
            .or_fail("can't make a mountpoint")
    }

    /// A new upper layer for `lower`, and its work folder. The root of an overlay has the owner
    /// and mode of its upper layer.
    pub fn layer(&self, lower: &OwnedFd) -> Result<(OwnedFd, OwnedFd)> {
        let what = "can't make an upper layer";
        let number = self.layers.replace(self.layers.get() + 1).to_string();
        let private = Mode::from_raw_mode(0o700);
        let folder =
            place::make_folder(self.tmpfs.as_fd(), number.as_ref(), private).or_fail(what)?;
        let upper = place::make_folder(folder.as_fd(), "upper".as_ref(), private).or_fail(what)?;
        let work = place::make_folder(folder.as_fd(), "work".as_ref(), private).or_fail(what)?;
        scaffold::take_after(upper.as_fd(), &fstat(lower).or_fail(what)?)?;
        Ok((upper, work))
    }
}

//! A file system in a file, read-only.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt, sys};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};

use crate::mount::{Mount, RDONLY, SAFE, Setting};
use crate::overlay::in_descriptors;

/// How often another loop device is asked for when somebody else was faster.
const RETRIES: u32 = 16;

/// What the file systems begin with, and where (linux/magic.h, Linux's fs/erofs/erofs_fs.h).
const KINDS: &[(&str, u64, [u8; 4])] =
    &[("squashfs", 0, *b"hsqs"), ("erofs", 1024, 0xe0f5_e1e2_u32.to_le_bytes())];

/// Mounts the file system in `file`, detached, by a loop device that is gone with it.
pub fn mount(path: &Path, procfs: &Procfs) -> Result<Mount> {
    let what = "can't open";
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).or_fail_on(what, path)?);
    let stat = fstat(&file).or_fail_on(what, path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Error::new("not an image").object(path).reason("not a regular file"));
    }
    let kind = kind(&file).ok_or_else(|| {
        Error::new("not an image").object(path).reason("neither squashfs nor erofs")
    })?;
    let device = loop_device(&file, path)?;
    in_descriptors(procfs, || {
        let number = device.as_raw_fd().to_string();
        let settings = [Setting::Flag("ro"), Setting::Value("source", &number)];
        Mount::new(kind, &settings, SAFE | RDONLY).map_err(root_only)
    })
}

fn kind(file: &File) -> Option<&'static str> {
    let begins = |&&(_, offset, magic): &&(&str, u64, [u8; 4])| {
        let mut bytes = [0_u8; 4];
        file.read_exact_at(&mut bytes, offset).is_ok() && bytes == magic
    };
    KINDS.iter().find(begins).map(|(name, ..)| *name)
}

/// A loop device that shows `file`, and lets go of it with its last user.
fn loop_device(file: &File, path: &Path) -> Result<File> {
    let what = "can't make a loop device for";
    let control = "/dev/loop-control";
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let control =
        open(control, flags, Mode::empty()).or_fail_on("can't open", control).map_err(root_only)?;
    for _ in 0..RETRIES {
        let number = sys::free_loop_device(control.as_fd()).or_fail_on(what, path)?;
        let name = format!("/dev/loop{number}");
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let device = open(&name, flags, Mode::empty()).or_fail_on("can't open", &name)?;
        match sys::set_up_loop_device(device.as_fd(), file.as_fd()) {
            Ok(()) => return Ok(File::from(device)),
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {}
            Err(error) => return Err(error).or_fail_on(what, path).map_err(root_only),
        }
    }
    Err(Error::new(what).object(path).because(Errno::EBUSY))
}

fn root_only(error: Error) -> Error {
    let hint = "only root of the host's user namespace may mount an image: put fs-pivot between 'ns-unshare --mount' and 'ns-unshare --user', or unpack the image";
    error.hint_if(Errno::EPERM, hint).hint_if(Errno::EACCES, hint)
}

//! `--toolbox`: programs of the host for COMMAND, in an image that has none.
//!
//! They are copied to a tmpfs of COMMAND's own mount namespace: the container sees no mount, and
//! what it could do to a program, by /proc/PID/exe, it does to a copy.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use chain::{Error, Next, Result, ResultExt, sys};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, open, openat, readlinkat, statat, symlinkat,
};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};

/// Folders that nothing needs where a shell looks around, the least needed first.
const PLACES: [&str; 6] = ["/mnt", "/media", "/srv", "/opt", "/run", "/tmp"];

/// The host's folder, open.
#[derive(Debug)]
pub(super) struct Toolbox(OwnedFd);

impl Toolbox {
    /// Opens it, outside.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = open(folder, flags, Mode::empty());
        Ok(Toolbox(opened.or_fail_on("can't open the toolbox", folder)?))
    }

    /// Copies it to where COMMAND finds it, inside.
    pub(super) fn bring(self, next: &mut Next) -> Result<()> {
        let what = "can't bring the toolbox";
        unshare(CloneFlags::CLONE_NEWNS).or_fail(what)?;
        let none = None::<&str>;
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        // The container's root need not be a mount's: its own mounts are made private one by one.
        if mount(none, "/", none, private, none).is_err() {
            return Err(Error::new(what).reason("the container's root is not a mount"));
        }
        let copies = copies_of(&self.0)?;
        drop(self);
        let place = PLACES.iter().find(|place| {
            statat(CWD, **place, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Directory)
        });
        let place = place.ok_or_else(|| {
            Error::new(what)
                .reason("the container has no folder to mount it on")
                .hint(format!("one of {} is needed", PLACES.join(" ")))
        })?;
        move_mount(copies.as_fd(), "", CWD, *place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .or_fail_on(what, place)?;
        let environment = next.environment();
        let mut path = OsString::from(place);
        path.push(":");
        path.push(environment.get("PATH").unwrap_or("/usr/sbin:/usr/bin:/sbin:/bin".as_ref()));
        environment.set("PATH", path);
        Ok(())
    }
}

/// A read-only tmpfs with the programs of `folder`, and its links to them.
fn copies_of(folder: &OwnedFd) -> Result<OwnedFd> {
    let what = "can't make a file system for the toolbox";
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).or_fail(what)?;
    fsconfig_set_string(&context, "mode", "755").or_fail(what)?;
    fsconfig_create(&context).or_fail(what)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let copies = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes).or_fail(what)?;
    for entry in Dir::read_from(folder).or_fail("can't read the toolbox")? {
        let entry = entry.or_fail("can't read the toolbox")?;
        let name = entry.file_name();
        let shown = name.to_string_lossy().into_owned();
        let stat =
            statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).or_fail_on("can't examine", &shown)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile if stat.st_mode & 0o111 != 0 => {
                copy(folder, &copies, name.to_owned()).or_fail_on("can't copy", &shown)?;
            }
            FileType::Symlink => {
                let to = readlinkat(folder, name, Vec::new()).or_fail_on("can't read", &shown)?;
                symlinkat(&to, &copies, name).or_fail_on("can't make", &shown)?;
            }
            _ => {}
        }
    }
    sys::mount_setattr(copies.as_fd(), false, libc::MOUNT_ATTR_RDONLY, 0, 0).or_fail(what)?;
    Ok(copies)
}

fn copy(from: &OwnedFd, to: &OwnedFd, name: CString) -> std::io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut source = File::from(openat(from, name.as_c_str(), read, Mode::empty())?);
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut copy = File::from(openat(to, name.as_c_str(), write, Mode::from_raw_mode(0o755))?);
    std::io::copy(&mut source, &mut copy)?;
    // Whatever the umask is.
    Ok(rustix::fs::fchmod(&copy, Mode::from_raw_mode(0o755))?)
}

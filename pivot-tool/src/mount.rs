//! A mount held by a descriptor: made detached, given its attributes, and only then attached.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

/// No set-user-id programs, no device nodes: what every mount gets that nobody asked more for.
pub const SAFE: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
/// Nothing to execute either.
pub const NOEXEC: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOEXEC;
/// Nothing to write.
pub const RDONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;

/// An option of a file system.
#[derive(Debug, Clone, Copy)]
pub enum Setting<'a> {
    /// A word.
    Flag(&'a str),
    /// A name and its value.
    Value(&'a str, &'a str),
}

/// The root of a mount. The descriptor stays good when the mount is attached, and names it
/// whatever is mounted over it.
#[derive(Debug)]
pub struct Mount(OwnedFd);

impl Mount {
    /// A new file system of `kind`.
    pub fn new(kind: &str, settings: &[Setting<'_>], attributes: MountAttrFlags) -> Result<Self> {
        let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
            .or_fail_on("can't make a file system", kind)
            .map_err(without_privilege)?;
        // The source is what mount(8) and df(1) show where it names no device.
        let has_source = settings.iter().any(|one| matches!(one, Setting::Value("source", _)));
        let source = (!has_source).then_some(Setting::Value("source", kind));
        let made = source
            .iter()
            .chain(settings)
            .try_for_each(|setting| match setting {
                Setting::Flag(name) => fsconfig_set_flag(&context, *name),
                Setting::Value(name, value) => fsconfig_set_string(&context, *name, *value),
            })
            .and_then(|()| fsconfig_create(&context))
            .and_then(|()| fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes));
        made.map(Mount).map_err(|errno| {
            let error = Error::new("can't make a file system").object(kind).because(errno).hint_if(
                Errno::ENOSPC,
                "the limit of mounts is fs.mount-max (sysctl), that of memory the tmpfs's size",
            );
            match kernel_messages(context.as_fd()) {
                Some(messages) => error.hint(format!("the kernel says: {messages}")),
                None => error,
            }
        })
    }

    /// A copy of the mount tree at `place`, all mounts below it included, unless that is not wanted.
    pub fn copy_of(place: impl AsFd, recursive: bool) -> rustix::io::Result<Self> {
        let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        if recursive {
            flags |= OpenTreeFlags::AT_RECURSIVE;
        }
        open_tree(place, "", flags).map(Mount)
    }

    /// Adds `attributes`, to the mounts below it too. None is ever taken away, so that one which a
    /// more privileged user namespace locked (mount_namespaces(7)) is no obstacle.
    pub fn restrict(&self, attributes: MountAttrFlags) -> Result<()> {
        self.set(true, attributes)
    }

    /// Makes this one mount read-only, and none below it.
    pub fn seal(&self) -> Result<()> {
        self.set(false, RDONLY)
    }

    fn set(&self, recursive: bool, attributes: MountAttrFlags) -> Result<()> {
        chain::sys::mount_setattr(self.as_fd(), recursive, attributes.bits().into(), 0, 0)
            .or_fail("can't set the attributes of a mount")
    }

    /// The bare descriptor.
    pub fn into_descriptor(self) -> OwnedFd {
        self.0
    }

    /// Attaches it at `place`, on top of what is mounted there.
    pub fn attach(&self, place: impl AsFd) -> rustix::io::Result<()> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(self, "", place, "", flags)
    }
}

impl From<OwnedFd> for Mount {
    fn from(root: OwnedFd) -> Self {
        Mount(root)
    }
}

impl AsFd for Mount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The number of the mount that `place` lies in.
pub fn mount_id(place: impl AsFd) -> Result<u64> {
    let found = statx(place, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .or_fail("can't examine a mount")?;
    if StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) {
        Ok(found.stx_mnt_id)
    } else {
        Err(Error::new("can't examine a mount").because(Errno::ENOSYS))
    }
}

/// What EPERM from the first system call that changes mounts means.
pub fn without_privilege(error: Error) -> Error {
    error.hint_if(
        Errno::EPERM,
        "it takes CAP_SYS_ADMIN in the user namespace of the mount namespace: put 'ns-unshare --' before fs-pivot",
    )
}

/// What could not be attached, for an error.
pub fn attach_failed(what: &str, place: impl AsRef<OsStr>, errno: rustix::io::Errno) -> Error {
    Error::new(what)
        .object(place)
        .because(errno)
        .hint_if(Errno::ENOSPC, "the limit of mounts is fs.mount-max (sysctl)")
}

/// The kernel's own words about a failed fsopen(2) context, one message a read(2).
fn kernel_messages(context: BorrowedFd<'_>) -> Option<String> {
    let mut messages = Vec::new();
    let mut buffer = [0_u8; 1024];
    while let Ok(length) = rustix::io::read(context, &mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]);
        // "e overlay: ...": the letter is the message's level.
        messages.push(text.get(2..).unwrap_or_default().trim().to_owned());
    }
    (!messages.is_empty()).then(|| messages.join("; "))
}

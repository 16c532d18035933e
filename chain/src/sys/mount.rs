//! Attributes of mounts, and loop devices.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::checked;

/// Changes the attributes of the mount `fd` (mount_setattr(2), Linux 5.12), of all mounts below
/// it too if `recursive`. `set` and `clear` are `MOUNT_ATTR_*`, `propagation` is 0 or `MS_*`.
pub fn mount_setattr(
    fd: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    set_mount_attributes(fd, recursive, attributes)
}

/// Shows the files of the detached mount `fd`, of all mounts below it too if `recursive`, with
/// owners mapped as user namespace `namespace` maps its ids (mount_setattr(2), Linux 5.12).
pub fn mount_idmap(
    fd: BorrowedFd<'_>,
    recursive: bool,
    namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    set_mount_attributes(fd, recursive, attributes)
}

fn set_mount_attributes(
    fd: BorrowedFd<'_>,
    recursive: bool,
    attributes: libc::mount_attr,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and `attributes` has the size that is named.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// The number of a loop device that nobody uses (LOOP_CTL_GET_FREE, loop(4)).
pub fn free_loop_device(control: BorrowedFd<'_>) -> io::Result<u32> {
    const LOOP_CTL_GET_FREE: u64 = 0x4c82;
    // SAFETY: this request takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    checked(number.into()).map(|number| number as u32)
}

/// linux/loop.h's struct loop_config, with the parts that are not set as bytes.
#[repr(C)]
struct LoopConfig {
    file: u32,
    block_size: u32,
    info_numbers: [u64; 5],
    info_number: u32,
    info_encryption: [u32; 2],
    info_flags: u32,
    info_names: [u8; 64 + 64 + 32],
    info_init: [u64; 2],
    reserved: [u64; 8],
}

/// Makes loop device `device` show `file`, read-only and until its last user is gone
/// (LOOP_CONFIGURE, Linux 5.8); EBUSY if somebody else was faster.
pub fn set_up_loop_device(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    const LOOP_CONFIGURE: u64 = 0x4c0a;
    const LO_FLAGS_READ_ONLY: u32 = 1;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    // SAFETY: all fields are integers, for which zero is valid.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.file = file.as_raw_fd() as u32;
    config.info_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    // SAFETY: the request reads a struct loop_config, which `LoopConfig` mirrors field by field.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    checked(done.into()).map(drop)
}

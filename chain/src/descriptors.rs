//! Which descriptors the app inherits: 0 to 2, those of LISTEN_FDS, and those of `--keep-fd`.

use std::os::fd::{BorrowedFd, RawFd};

use rustix::fs::{FileType, fstat};

use crate::environment::Environment;
use crate::error::{Error, Result, ResultExt};
use crate::sys;

/// The first descriptor that socket activation hands on (sd_listen_fds(3)).
pub(crate) const LISTEN_FDS_START: RawFd = 3;

/// Marks every descriptor but 0 to 2 close-on-exec.
pub fn close_all_on_exec() -> Result<()> {
    sys::close_on_exec_from(3).or_fail("can't mark descriptors close-on-exec").map_err(|e| {
        e.hint_if(nix::errno::Errno::ENOSYS, "close_range(2) needs Linux 5.11; Catena needs 5.14")
    })
}

/// The descriptors that `LISTEN_FDS` hands to this process: none unless `LISTEN_PID` is its own id.
pub fn listen_fds(environment: &Environment) -> Result<Vec<RawFd>> {
    let number = |name: &str| environment.get(name)?.to_str()?.parse::<u32>().ok();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(Vec::new());
    }
    let refused = |reason: &str| {
        let value = environment.get("LISTEN_FDS").unwrap_or_default();
        Error::new("can't hand on the sockets of LISTEN_FDS").object(value).reason(reason)
    };
    let count = number("LISTEN_FDS").ok_or_else(|| refused("not a number"))?;
    let mut passed = Vec::new();
    for offset in 0..count {
        let fd = RawFd::try_from(offset).ok().and_then(|n| n.checked_add(LISTEN_FDS_START));
        let fd = fd.ok_or_else(|| refused("out of range"))?;
        let Some(kind) = kind_of(fd) else {
            return Err(refused(&format!("descriptor {fd} is not open")));
        };
        if kind == FileType::Directory {
            return Err(refused(&format!("descriptor {fd} is a directory")));
        }
        passed.push(fd);
    }
    Ok(passed)
}

/// Refuses a `--keep-fd` that can't be kept. A folder, which the mount of one is too, passes to a
/// link of ours only: that takes it for itself, or refuses it in its turn.
pub fn check_kept(fd: RawFd, next_is_ours: bool) -> Result<()> {
    let refused =
        |reason: &str| Error::new("can't keep descriptor").object(fd.to_string()).reason(reason);
    match kind_of(fd) {
        None => Err(refused("it is not open")),
        Some(FileType::Directory) if !next_is_ours => {
            Err(refused("it is a directory, a way out of the container")
                .hint("only fs-pivot can use it (--mount-fd), behind nothing but tools of Catena"))
        }
        Some(_) => Ok(()),
    }
}

/// Lets `fds` survive the next exec.
pub fn inherit(fds: impl IntoIterator<Item = RawFd>) -> Result<()> {
    for fd in fds {
        sys::set_close_on_exec(fd, false).or_fail_on("can't hand on descriptor", fd.to_string())?;
    }
    Ok(())
}

/// Closes every descriptor but 0 to 2 and those that `stay`, as an exec would.
pub(crate) fn close_all_but(mut stay: Vec<RawFd>) -> Result<()> {
    stay.sort_unstable();
    let mut first = 3;
    for fd in stay {
        sys::close_range(first, fd).or_fail("can't close descriptors")?;
        first = fd + 1;
    }
    sys::close_range(first, RawFd::MAX).or_fail("can't close descriptors")
}

fn kind_of(fd: RawFd) -> Option<FileType> {
    let fd = sys::borrow(fd)?;
    Some(FileType::from_raw_mode(fstat::<BorrowedFd<'_>>(fd).ok()?.st_mode))
}

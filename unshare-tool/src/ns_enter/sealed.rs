//! This program runs from a sealed copy in memory (memfd_create(2)).
//!
//! COMMAND is the container's to choose: it may be a link to /proc/self/exe, or name that as its
//! interpreter, and would then be this program, started again where the container can open it for
//! writing. What it opens is a copy that nobody can change (CVE-2019-5736).

use std::ffi::{CStr, CString};
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use chain::{Errno, Error, Result, ResultExt, sys};
use nix::fcntl::{AtFlags, FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Execs a sealed copy of this program, unless it is one.
pub(super) fn run_from_copy() -> Result<()> {
    let what = "can't copy this program into memory";
    let own = "/proc/self/exe";
    let mut program = File::open(own).or_fail_on("can't open", own)?;
    if fcntl(&program, FcntlArg::F_GET_SEALS)
        .is_ok_and(|seals| seals & seals_of_copy().bits() == seals_of_copy().bits())
    {
        return Ok(());
    }
    let name: &CStr = c"ns-enter";
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let executable = MFdFlags::from_bits_retain(libc::MFD_EXEC);
    let copy = match memfd_create(name, flags | executable) {
        // Linux before 6.3, where all are executable.
        Err(Errno::EINVAL) => memfd_create(name, flags),
        made => made,
    };
    let mut copy = File::from(copy.or_fail(what)?);
    std::io::copy(&mut program, &mut copy).or_fail(what)?;
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals_of_copy())).or_fail(what)?;
    let arguments: Vec<CString> = std::env::args_os()
        .map(|word| CString::new(word.into_vec()).expect("an argument has no NUL"))
        .collect();
    // As this process was given it, for the copy to find.
    sys::set_ignored(libc::SIGPIPE, sys::at_start().ignored_pipe).or_fail(what)?;
    let environment = sys::environ();
    let Err(errno) =
        nix::unistd::execveat(copy.as_fd(), c"", &arguments, &environment, AtFlags::AT_EMPTY_PATH);
    Err(Error::new("can't run from memory")
        .because(errno)
        .hint_if(Errno::EACCES, "sysctl vm.memfd_noexec must be 0 or 1, and no LSM forbid it"))
}

fn seals_of_copy() -> SealFlag {
    SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE
}

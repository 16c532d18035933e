//! Opening a pseudo-terminal, and the ends of the caller's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt, sys};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, major, minor, open, openat, stat};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, ptsname, unlockpt};
use rustix::termios::{OptionalActions, isatty, tcgetattr, tcsetattr};

const MULTIPLEXER: &str = "/dev/ptmx";
/// The multiplexer's device number (Linux's Documentation/admin-guide/devices.txt).
const MULTIPLEXER_DEVICE: (u32, u32) = (5, 2);

/// Opens both ends of a new terminal of the current root: the one that a relay reads and writes,
/// without waiting, and the app's, which has the modes of the caller's.
pub(super) fn terminal() -> Result<(OwnedFd, OwnedFd)> {
    let what = "can't open a new terminal";
    let cannot = |result: rustix::io::Result<Stat>, path: &str| result.or_fail_on(what, path);
    let refused = |reason: &str| {
        Err(Error::new("refused").object(MULTIPLEXER).reason(reason).hint(
            "--pty needs a /dev/ptmx and the devpts of that at /dev/pts, as fs-pivot mounts them",
        ))
    };
    // Any file may have that name in an image: it isn't even opened then.
    let found = cannot(stat(MULTIPLEXER), MULTIPLEXER)?;
    let device = (major(found.st_rdev), minor(found.st_rdev));
    if FileType::from_raw_mode(found.st_mode) != FileType::CharacterDevice
        || device != MULTIPLEXER_DEVICE
    {
        return refused("it is not the multiplexer of pseudo-terminals");
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let master = open(MULTIPLEXER, flags, Mode::empty()).or_fail_on(what, MULTIPLEXER)?;
    unlockpt(&master).or_fail_on(what, MULTIPLEXER)?;
    // By descriptor: a path could be another's.
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let peer = ioctl_tiocgptpeer(&master, flags).or_fail_on(what, MULTIPLEXER)?;
    let name = ptsname(&master, Vec::new()).or_fail_on(what, MULTIPLEXER)?;
    // Or the app could not tell its terminal's name, and ask for another by it.
    let own = cannot(fstat(&peer), MULTIPLEXER)?;
    if !stat(name.as_c_str()).is_ok_and(|named| is_same(&named, &own)) {
        return refused("its terminals are not those in /dev/pts");
    }
    if let Some(modes) = sys::borrow(0).and_then(|input| tcgetattr(input).ok()) {
        tcsetattr(&peer, OptionalActions::Now, &modes).or_fail("can't set the terminal's modes")?;
    }
    Ok((master, peer))
}

/// The first of this process's 0 to 2 that is a terminal.
pub(super) fn callers_terminal() -> Result<Option<OwnedFd>> {
    (0..3).filter_map(sys::borrow).find(|fd| isatty(fd)).map(duplicate).transpose()
}

/// Standard input or output, to be used without waiting: O_NONBLOCK belongs to the open file, which
/// others share (open(2)), so a file of its own is opened where the kernel allows that. Where it
/// doesn't, what is not ready makes this process wait.
pub(super) fn without_waiting(number: RawFd, access: OFlags) -> Result<OwnedFd> {
    let given = sys::borrow(number).ok_or(Errno::EBADF).or_fail("can't use a closed descriptor")?;
    let stat = fstat(given).or_fail("can't examine standard input and output")?;
    if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::CharacterDevice)
    {
        return duplicate(given);
    }
    let reopen = || -> Option<OwnedFd> {
        let procfs = Procfs::open().ok()?;
        let folder = format!("{}/fd", procfs.own_id().ok()?);
        let folder = procfs.file(&folder, OFlags::PATH | OFlags::DIRECTORY).ok()?;
        let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = openat(folder, number.to_string(), flags, Mode::empty()).ok()?;
        fstat(&file).is_ok_and(|reopened| is_same(&reopened, &stat)).then_some(file)
    };
    reopen().map_or_else(|| duplicate(given), Ok)
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd.as_fd(), 3).or_fail("can't duplicate a descriptor")
}

fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino, one.st_rdev) == (other.st_dev, other.st_ino, other.st_rdev)
}

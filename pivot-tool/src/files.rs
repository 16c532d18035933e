//! Files made for the container: private, writable, and gone with it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use chain::{Error, Result, ResultExt};
use rustix::fs::{FileType, Mode, OFlags, fchmod, fstat, openat};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::system::uname;

use crate::mount::{Mount, SAFE};
use crate::overlay::Scratch;

/// More than any file of configuration, and little enough for the container's memory.
const MAX_COPY: u64 = 4 << 20;

/// A mount of a new file with these bytes; `old` is the old root.
pub fn private(old: &OwnedFd, content: &[u8], mode: Mode) -> Result<Mount> {
    let what = "can't make a private file";
    Scratch::with(old, |scratch| {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let fd = openat(scratch.folder(), "file", flags, mode).or_fail(what)?;
        // The mode of an open(2) is subject to the umask.
        fchmod(&fd, mode).or_fail(what)?;
        let mount = Mount::copy_of(&fd, false).or_fail(what)?;
        File::from(fd).write_all(content).or_fail(what)?;
        mount.restrict(SAFE)?;
        Ok(mount)
    })
}

/// A private copy of a file of the host.
pub fn copy(old: &OwnedFd, source: &Path) -> Result<Mount> {
    let what = "can't copy";
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(source, flags, Mode::empty()).or_fail_on(what, source)?;
    let stat = fstat(fd.as_fd()).or_fail_on(what, source)?;
    let refused = |reason: &str| Err(Error::new(what).object(source).reason(reason));
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return refused("not a regular file");
    }
    let mut content = Vec::new();
    File::from(fd).take(MAX_COPY + 1).read_to_end(&mut content).or_fail_on(what, source)?;
    if content.len() as u64 > MAX_COPY {
        return refused("over 4 MiB: use --ro-bind");
    }
    private(old, &content, Mode::from_raw_mode(stat.st_mode & 0o777))
}

/// An /etc/hosts that knows the loopback and the host name of this UTS namespace.
pub fn hosts() -> String {
    let system = uname();
    let name = system.nodename().to_string_lossy();
    let own = if name.is_empty() || name == "localhost" || name.contains(char::is_whitespace) {
        String::new()
    } else {
        format!("127.0.1.1 {name}\n")
    };
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n{own}")
}

/// A new machine-id(5), as random as one that systemd makes.
pub fn machine_id() -> Result<String> {
    let mut bytes = [0_u8; 16];
    let what = "can't make a machine id";
    let length = rustix::io::retry_on_intr(|| getrandom(&mut bytes[..], GetRandomFlags::empty()))
        .or_fail(what)?;
    if length != bytes.len() {
        return Err(Error::new(what));
    }
    // The marks of a random UUID (version 4, RFC 9562), which some readers check.
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_ids_are_random_uuids() {
        let (one, other) = (machine_id().unwrap(), machine_id().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 33);
        assert_eq!(&one[12..13], "4");
        assert!(one.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

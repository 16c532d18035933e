//! What is set besides credentials, each read back.

use std::fmt;
use std::fs::File;
use std::str::FromStr;

use chain::procfs::Procfs;
use chain::{Errno, Error, Result, ResultExt};
use rustix::fs::{FileType, Mode};
use rustix::process::{Gid, Uid};

fn otherwise(what: &str) -> Error {
    Error::new("not set").object(what).reason("the kernel says otherwise")
}

/// `--umask`: up to three octal digits, or four with a leading 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Umask(Mode);

impl FromStr for Umask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mask @ 0..=0o777) if digits => Ok(Umask(Mode::from_raw_mode(mask))),
            _ => Err(format!("'{text}' is not an octal number from 0 to 777")),
        }
    }
}

impl fmt::Display for Umask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0.as_raw_mode())
    }
}

impl Umask {
    /// Sets it.
    pub fn set(self) -> Result<()> {
        rustix::process::umask(self.0);
        // It can be read by setting it only.
        if rustix::process::umask(self.0) == self.0 { Ok(()) } else { Err(otherwise("umask")) }
    }
}

/// Sets the nice value (setpriority(2)).
pub fn set_nice(value: i32) -> Result<()> {
    use rustix::process::{getpriority_process, setpriority_process};
    setpriority_process(None, value)
        .or_fail_on("can't set the nice value", value.to_string())
        .map_err(|error| {
            error.hint_if(
                Errno::EACCES,
                "lowering it needs CAP_SYS_NICE on the host, or a higher RLIMIT_NICE",
            )
        })?;
    match getpriority_process(None).or_fail("can't read back the nice value")? {
        now if now == value => Ok(()),
        _ => Err(otherwise("nice value")),
    }
}

/// Sets what the OOM killer goes by (proc_pid_oom_score_adj(5)).
pub fn set_oom_score_adj(value: i32) -> Result<()> {
    let procfs = Procfs::open()?;
    let path = format!("{}/oom_score_adj", procfs.own_id()?);
    procfs.write(&path, &value.to_string()).map_err(|error| {
        error.hint_if(
            Errno::EACCES,
            "below what it once was set to with privilege it needs CAP_SYS_RESOURCE on the host",
        )
    })?;
    if procfs.read(&path)?.trim_end() == value.to_string() {
        Ok(())
    } else {
        Err(otherwise("oom_score_adj"))
    }
}

/// `--fix-stdio`: gives 0 to 2 to the app's user, where they are pipes, sockets or files, so that
/// it can open /dev/stdout. A terminal is everybody's who sits at it, and devices are the host's.
pub fn give_standard_io(uid: u32) -> Result<()> {
    for number in 0..3 {
        let name = number.to_string();
        let Some(fd) = chain::sys::borrow(number) else { continue };
        let file = File::from(fd.try_clone_to_owned().or_fail("can't duplicate a descriptor")?);
        let stat = rustix::fs::fstat(&file).or_fail_on("can't examine descriptor", &name)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) || stat.st_uid == uid {
            continue;
        }
        rustix::fs::fchown(&file, Some(Uid::from_raw(uid)), None::<Gid>)
            .or_fail_on("can't give to the app's user the descriptor", &name)?;
        let stat = rustix::fs::fstat(&file).or_fail_on("can't examine descriptor", &name)?;
        if stat.st_uid != uid {
            return Err(otherwise("owner of standard input, output or error"));
        }
    }
    Ok(())
}

/// `--keyring`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Keyring {
    #[default]
    /// A new session keyring, with no key in it.
    New,
    /// The one that there is, and the keys that it leads to.
    Keep,
}

impl Keyring {
    /// Sets it (session-keyring(7)).
    pub fn set(self) -> Result<()> {
        if self == Keyring::Keep {
            return Ok(());
        }
        let made = chain::sys::new_session_keyring()
            .or_fail("can't make a session keyring")
            .map_err(|error| match error.errno() {
                Some(Errno::EDQUOT) => error.hint(
                    "the limits are /proc/sys/kernel/keys/maxkeys and maxbytes (root_... for root)",
                ),
                Some(Errno::EPERM | Errno::ENOSYS) => error.hint(
                    "a seccomp filter around this process, or a kernel without keys: \
                     --keyring keep leaves it as it is",
                ),
                _ => error,
            })?;
        let now = chain::sys::session_keyring().or_fail("can't read back the session keyring")?;
        if now == made { Ok(()) } else { Err(otherwise("session keyring")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn umasks() {
        assert_eq!("027".parse(), Ok(Umask(Mode::from_raw_mode(0o27))));
        assert_eq!("0777".parse(), Ok(Umask(Mode::from_raw_mode(0o777))));
        for text in ["", "8", "1000", "-1", "+1", "0o7", "u=rw"] {
            assert!(text.parse::<Umask>().is_err(), "{text}");
        }
    }
}

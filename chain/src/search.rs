//! Finding COMMAND as env(1) does: by path if it has a slash, by PATH otherwise.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};

use crate::error::{Errno, Error, NOT_EXECUTABLE, NOT_FOUND, Result};

/// What execvp(3) searches where PATH is not set.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The one file that is executed for `word`: a failure to do so is final.
pub fn find(word: &OsStr, path: Option<&OsStr>) -> Result<PathBuf> {
    let failed =
        |errno, status| Error::new("can't execute").object(word).because(errno).with_status(status);
    if word.is_empty() {
        return Err(failed(Errno::ENOENT, NOT_FOUND));
    }
    if word.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(word));
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut refused = None;
    for folder in path.as_bytes().split(|&byte| byte == b':') {
        let folder = if folder.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(folder) };
        let candidate = Path::new(folder).join(word);
        if !is_file(&candidate) {
            continue;
        }
        match accessat(CWD, &candidate, Access::EXEC_OK, AtFlags::EACCESS) {
            Ok(()) => return Ok(candidate),
            Err(errno) => refused = Some(Errno::from_raw(errno.raw_os_error())),
        }
    }
    Err(match refused {
        Some(errno) => failed(errno, NOT_EXECUTABLE),
        None => Error::new("can't execute")
            .object(word)
            .reason("not found in PATH")
            .with_status(NOT_FOUND),
    })
}

fn is_file(path: &Path) -> bool {
    stat(path).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::RegularFile)
}

/// The exit status for a COMMAND whose execve(2) failed.
pub fn status_of_failed_exec(errno: Errno) -> u8 {
    match errno {
        Errno::ENOENT | Errno::ENOTDIR => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    }
}

/// What execve(2) says where the memory limit of its cgroup leaves no room: E2BIG before the old
/// program is gone, whatever the length of the words.
pub const NO_ROOM: [(Errno, &str); 2] = [
    (
        Errno::E2BIG,
        "where the words are few, the memory limit of its cgroup leaves no room for them (memory.max)",
    ),
    (Errno::ENOMEM, "the memory limit of its cgroup may be too low (memory.max)"),
];

/// Why execve(2) fails, where its number alone misleads.
pub fn explain_failed_exec(errno: Errno, path: &Path) -> Option<&'static str> {
    match errno {
        Errno::ENOENT if stat(path).is_ok() => {
            Some("it exists, but the interpreter it names (ld.so, #!) does not")
        }
        Errno::ENOEXEC => {
            Some("not a program for this machine, and no shell is tried on a file without #!")
        }
        _ => NO_ROOM.iter().find(|(number, _)| *number == errno).map(|(_, hint)| *hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_memory_is_not_taken_for_too_many_words() {
        for errno in [Errno::E2BIG, Errno::ENOMEM] {
            let hint = explain_failed_exec(errno, Path::new("/bin/sh")).unwrap_or_default();
            assert!(hint.contains("memory.max"), "{errno}: {hint}");
        }
        assert_eq!(explain_failed_exec(Errno::ENOENT, Path::new("/none")), None);
    }
}

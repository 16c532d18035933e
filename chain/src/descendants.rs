//! All processes below this one, as procfs shows them.

use std::io;

use rustix::fs::{Dir, OFlags};

use crate::error::{Error, Result, ResultExt};
use crate::procfs::Procfs;
use crate::signal::Signal;
use crate::sys;

/// Sends `signal` to every process below this one; ESRCH if there is none. A process that is born
/// meanwhile is missed.
pub fn send(signal: Signal) -> io::Result<()> {
    let mut found = false;
    for pid in list().map_err(io::Error::other)? {
        match sys::send_signal(pid, signal.number()) {
            Ok(()) => found = true,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
    if found { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// The process ids of all processes below this one.
fn list() -> Result<Vec<i32>> {
    let procfs = Procfs::open()?;
    let own = std::process::id() as i32;
    if procfs.own_id()? != own.to_string() {
        return Err(Error::new("can't list processes")
            .object("/proc")
            .reason("it belongs to another PID namespace"));
    }
    let folder = procfs.file(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
    let what = "can't list processes in";
    let mut parents = Vec::new();
    for entry in Dir::new(folder).or_fail_on(what, "/proc")? {
        let entry = entry.or_fail_on(what, "/proc")?;
        let Some(pid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended since.
        if let Some(parent) = procfs.parent(pid) {
            parents.push((pid, parent));
        }
    }
    Ok(below(own, &parents))
}

/// Who descends from `root`, given pairs of child and parent.
fn below(root: i32, parents: &[(i32, i32)]) -> Vec<i32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_generations_are_found() {
        let parents = [(5, 4), (2, 1), (4, 2), (3, 1), (9, 8)];
        assert_eq!(below(1, &parents), [2, 3, 4, 5]);
        assert!(below(5, &parents).is_empty());
    }
}

//! What helps against the errors that the kernel gives where a cgroup is not ours, or not what it
//! takes for one.

use chain::{Errno, Error};

/// What helps where the kernel or the host's owner does not let us have a cgroup.
const DELEGATE: &str = "a cgroup that is yours is needed; below systemd this makes one: \
    systemd-run --user --scope -p Delegate=yes COMMAND";

/// Adds what helps against the numbers that the kernel gives where a cgroup is not ours.
pub fn explain(error: Error) -> Error {
    error
        .hint_if(Errno::EACCES, DELEGATE)
        .hint_if(Errno::EPERM, DELEGATE)
        .hint_if(Errno::EROFS, "cgroupfs is mounted read-only here, as in a container")
}

/// As [`explain`], for moving a process.
pub fn explain_entry(error: Error) -> Error {
    explain(error)
        .hint_if(
            Errno::EBUSY,
            "a cgroup that gives controllers to those below it takes no processes itself",
        )
        .hint_if(Errno::EOPNOTSUPP, "the cgroup is a threaded one, or lies below one (cgroup.type)")
        .hint_if(Errno::ENOSPC, "cpuset.cpus or cpuset.mems of the cgroup is empty")
        .hint_if(Errno::EAGAIN, "pids.max of the cgroup or of one above it is reached")
}

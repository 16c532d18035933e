//! Getting processes out of the way: a v2 cgroup that gives controllers to those below it has no
//! processes itself ("no internal process" rule, cgroups(7)).

use std::time::{Duration, Instant};

use chain::{Errno, Error, Result};

use crate::explain::explain_entry;
use crate::group::Group;
use crate::name;
use crate::position::Version;

/// A threaded cgroup has threads, which can't be moved out of the way as a process.
pub fn check_type(group: &Group) -> Result<()> {
    if group.version == Version::V1 {
        return Ok(());
    }
    match group.read("cgroup.type")?.as_str() {
        "domain" | "domain threaded" => Ok(()),
        other => Err(Error::new("can't use the cgroup")
            .object(&group.path)
            .reason(format!("its cgroup.type is {other:?}"))
            .hint("it lies in a threaded subtree, which takes threads of one process only: choose another --parent")),
    }
}

/// How often the processes are listed anew: some may fork while others are moved.
const ROUNDS: usize = 100;
/// How long another process that does the same is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// Moves all processes of `group` to a leaf of it.
pub fn clear(group: &Group) -> Result<()> {
    check_type(group)?;
    if group.processes()?.is_empty() {
        return Ok(());
    }
    let rest = match group.make(name::REST)? {
        Some(made) => made,
        None => group.open(name::REST)?,
    };
    // Each move makes all CPUs wait for each other: of many that start at once only one should
    // move everybody.
    let deadline = Instant::now() + PATIENCE;
    while !rest.lock()? && Instant::now() < deadline {
        std::thread::sleep(PAUSE);
    }
    for _ in 0..ROUNDS {
        let processes = group.processes()?;
        if processes.is_empty() {
            return Ok(());
        }
        processes.into_iter().try_for_each(|pid| move_out(pid, &rest))?;
    }
    Err(Error::new("can't move all processes out of")
        .object(&group.path)
        .reason("new ones keep coming"))
}

fn move_out(pid: i32, rest: &Group) -> Result<()> {
    let failed =
        || Error::new(format!("can't move process {pid} out of the way to")).object(&rest.path);
    if pid == 0 {
        return Err(failed().reason("it is in a PID namespace that this one doesn't see"));
    }
    match rest.try_write("cgroup.procs", &pid.to_string()) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(explain_entry(failed().because(errno)).hint_if(
            Errno::EOPNOTSUPP,
            "the process came into a cgroup that gives pids or cpu to those below it: move it \
             elsewhere first",
        )),
    }
}

//! A helper process that stays outside of the new user namespace: it alone has the privilege to
//! write the maps of one that went in.

use std::io::{Read, Write};

use chain::signal::Signal;
use chain::sys::{self, Forked};
use chain::{Error, Result, ResultExt};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, waitpid};

/// Runs `inside` in this process, then `outside` in a child that was forked before it.
pub fn run(
    inside: impl FnOnce() -> Result<()>,
    outside: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let pipe = || pipe_with(PipeFlags::CLOEXEC).or_fail("can't make a pipe");
    let ((wait, go), (report, complain)) = (pipe()?, pipe()?);
    // Where the caller ignores it nobody could be waited for. The next link is given what the caller has.
    sys::set_ignored(Signal::CHLD.number(), false).or_fail("can't reset SIGCHLD")?;
    match sys::fork(0, None).or_fail("can't fork")? {
        Forked::Child => {
            drop((go, report));
            let mut byte = [0];
            let told = rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut byte));
            let failed = match told {
                Ok(1) => outside().err(),
                _ => sys::exit_now(1),
            };
            if let Some(error) = &failed {
                let _ = std::fs::File::from(complain).write_all(error.to_string().as_bytes());
            }
            sys::exit_now(u8::from(failed.is_some()));
        }
        Forked::Parent { pid, pidfd: _ } => {
            drop((wait, complain));
            let entered = inside();
            if entered.is_ok() {
                rustix::io::write(&go, &[1]).or_fail("can't tell the helper")?;
            }
            drop(go);
            let mut complaint = String::new();
            std::fs::File::from(report)
                .read_to_string(&mut complaint)
                .or_fail("can't hear the helper")?;
            let pid = Pid::from_raw(pid).ok_or_else(|| Error::new("can't fork"))?;
            let ended = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()))
                .or_fail("can't wait for the helper")?;
            entered?;
            match ended {
                Some((_, status)) if status.exit_status() == Some(0) => Ok(()),
                _ if complaint.is_empty() => {
                    Err(Error::new("the helper that writes the id maps was ended"))
                }
                _ => Err(Error::new(complaint)),
            }
        }
    }
}

//! `--status-fd`: what happened to the app, one JSON object a line.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, RawFd};

use chain::{Result, ResultExt, Status, sys};

/// Where it is written.
#[derive(Debug)]
pub(crate) struct Report(File);

impl Report {
    /// On a copy of descriptor `fd`, which the app does not inherit (unless it is 1 or 2).
    pub(crate) fn on(fd: RawFd) -> Result<Self> {
        let what = "can't write the status to descriptor";
        let closed = || Err(nix::errno::Errno::EBADF);
        let copy = sys::borrow(fd).map_or_else(closed, |fd| {
            nix::fcntl::fcntl(fd.as_fd(), nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))
        });
        let copy = sys::adopt(copy.or_fail_on(what, fd.to_string())?);
        Ok(Report(copy.or_fail_on(what, fd.to_string())?.into()))
    }

    pub(crate) fn started(&self, pid: i32) -> Result<()> {
        self.line(&format!(r#"{{"event":"started","pid":{pid}}}"#))
    }

    pub(crate) fn ended(&self, pid: i32, status: Status) -> Result<()> {
        let how = match status {
            Status::Exited(code) => format!(r#""exited":{code}"#),
            Status::Signaled(signal) => format!(r#""killed":"{signal}""#),
        };
        let code = status.code();
        self.line(&format!(r#"{{"event":"ended","pid":{pid},{how},"status":{code}}}"#))
    }

    fn line(&self, text: &str) -> Result<()> {
        // Nobody may be reading any more: that is no reason to end the app.
        match (&self.0).write_all(format!("{text}\n").as_bytes()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            result => result.or_fail("can't write the status"),
        }
    }
}

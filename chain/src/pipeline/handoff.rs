//! How a plan and the app's standard input get from one filter to the next stage.
//!
//! The bytes in the pipe are for programs that are not ours. One of our stages takes the plan from
//! the filter itself: a sealed memfd at a fixed place among its descriptors, so that nothing that
//! others put into the pipe can become part of it.

use std::ffi::{CString, OsString};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{
    FileType, MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat,
    memfd_create, open,
};
use rustix::io::ioctl_fionread;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::error::{Error, Result, ResultExt};
use crate::pipeline::holders::{self, Holder};
use crate::pipeline::peek;
use crate::pipeline::process::{self, Kind, READY};
use crate::pipeline::upstream::Upstream;
use crate::plan::{self, Plan};
use crate::sys;

/// Where a filter keeps its plan.
const PLAN_FD: i32 = 3;
/// Where it keeps the eventfd by which the next stage tells it to end.
const DONE_FD: i32 = 4;
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);
/// A write of no more does not block where poll(2) says that the pipe takes something (pipe(7)).
const PIPE_BUF: usize = 4096;
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// Takes plan and standard input over from the stage before this one, which then ends.
pub fn take(upstream: &Upstream) -> Result<Plan> {
    let what = "can't take the plan over from the stage before";
    let pid = Pid::from_raw(upstream.pid as i32).ok_or_else(|| Error::new(what))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).or_fail(what)?;
    // From here on the id means the process that is looked at once more, or none.
    let linked = holders::link_of(upstream.pid, 1).as_deref() == Some(upstream.link.as_os_str());
    if process::kind_of(upstream.pid) != Kind::Ready || !linked {
        return Err(Error::new("the stage before this one ended without handing its plan over"));
    }
    let filter = Filter { pid: upstream.pid, pidfd };
    let memfd = filter.descriptor(PLAN_FD, OFlags::RDONLY).or_fail(what)?;
    let text = read_sealed(memfd)?;
    check_pipe(&text)?;
    let plan =
        Plan::parse(&text).map_err(|reason| Error::new("can't read the plan").reason(reason))?;
    let stdin = filter.descriptor(0, OFlags::RDONLY).or_fail(what)?;
    let done = filter.descriptor(DONE_FD, OFlags::WRONLY);
    rustix::stdio::dup2_stdin(&stdin).or_fail("can't take standard input over")?;
    if let Ok(done) = done {
        // Where this can't be told, the closed pipe tells it.
        let _ = rustix::io::write(&done, &1_u64.to_ne_bytes());
    }
    Ok(plan)
}

struct Filter {
    pid: u32,
    pidfd: OwnedFd,
}

impl Filter {
    /// A copy of its descriptor `number`; where pidfd_getfd(2) is not allowed (it asks for the
    /// right to trace) the same file is opened anew.
    fn descriptor(&self, number: i32, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        match pidfd_getfd(&self.pidfd, number, PidfdGetfdFlags::empty()) {
            Err(rustix::io::Errno::PERM) => {
                let path = format!("/proc/{}/fd/{number}", self.pid);
                open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
            }
            result => result,
        }
    }
}

fn read_sealed(memfd: OwnedFd) -> Result<Vec<u8>> {
    let what = "can't read the plan of the stage before";
    if !fcntl_get_seals(&memfd).or_fail(what)?.contains(SEALS) {
        return Err(Error::new(what).reason("it can still be changed"));
    }
    let size = fstat(&memfd).or_fail(what)?.st_size as usize;
    if size > plan::MOST_TEXT {
        return Err(Error::new(what).reason("too long"));
    }
    let mut text = vec![0; size];
    let file = std::fs::File::from(memfd);
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut text, 0).or_fail(what)?;
    Ok(text)
}

/// What is in the pipe must be the filter's, as far as it has written it: other bytes are somebody
/// else's data, and would be lost.
fn check_pipe(text: &[u8]) -> Result<()> {
    let Some(stdin) = sys::borrow(0) else { return Ok(()) };
    let seen = peek::peek(stdin, text.len() + 1).or_fail_on("can't look at", "standard input")?;
    if text.starts_with(&seen.bytes) {
        return Ok(());
    }
    Err(Error::new("standard input holds other data besides the plan of the stage before"))
}

/// The end of a filter: writes the plan to standard output and stays until the next stage has
/// taken over what it needs.
pub fn give(plan: &Plan) -> Result<()> {
    let what = "can't write the plan";
    let text = plan.print();
    let stdout =
        sys::borrow(1).ok_or_else(|| Error::new(what).reason("standard output is closed"))?;
    match FileType::from_raw_mode(fstat(stdout).or_fail(what)?.st_mode) {
        FileType::Fifo => Offer::new(text)?.run(),
        FileType::Socket => Err(Error::new(what)
            .reason("standard output is a socket, which can't be seen through")
            .hint("use a shell that makes pipes, or the exec chain")),
        _ => std::io::stdout().write_all(text.as_bytes()).or_fail(what),
    }
}

/// A plan on offer to whoever reads the pipe.
struct Offer {
    text: String,
    written: usize,
    link: OsString,
    done: OwnedFd,
    /// Only the reading end is left, so that a program that is not ours sees the end of the plan.
    closed: bool,
}

/// What happened while an offer waited.
enum Turn {
    /// The next stage has all, or the reader is gone.
    Over,
    /// The pipe takes some more of the plan.
    Room,
    /// The time is over.
    Nothing,
}

impl Offer {
    fn new(text: String) -> Result<Self> {
        let what = "can't offer the plan";
        let link = holders::link_of(std::process::id(), 1).ok_or_else(|| {
            Error::new(what).object("/proc/self/fd/1").hint("a procfs must be mounted at /proc")
        })?;
        let memfd = memfd_create("catena-plan", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
            .or_fail(what)?;
        let mut memfd = std::fs::File::from(above_fixed(memfd)?);
        memfd.write_all(text.as_bytes()).or_fail(what)?;
        fcntl_add_seals(&memfd, SEALS).or_fail(what)?;
        let done = above_fixed(eventfd(0, EventfdFlags::CLOEXEC).or_fail(what)?)?;
        sys::place(memfd.into(), PLAN_FD).or_fail(what)?;
        sys::place(done.try_clone().or_fail(what)?, DONE_FD).or_fail(what)?;
        sys::allow_descriptor_access().or_fail(what)?;
        let name = CString::new(READY).expect("the name has no NUL");
        rustix::thread::set_name(&name).or_fail(what)?;
        Ok(Offer { text, written: 0, link, done, closed: false })
    }

    fn run(mut self) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.turn(pause)? {
                Turn::Over => return Ok(()),
                Turn::Room => {}
                Turn::Nothing => {
                    if self.is_over()? {
                        return Ok(());
                    }
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }

    /// Waits for what happens next, for `pause` once all is written.
    fn turn(&mut self, pause: Duration) -> Result<Turn> {
        let what = "can't write the plan";
        let stdout = sys::borrow(1).ok_or_else(|| Error::new(what))?;
        let complete = self.written == self.text.len();
        let wanted = if complete { PollFlags::empty() } else { PollFlags::OUT };
        let mut poll_fds =
            [PollFd::new(&self.done, PollFlags::IN), PollFd::from_borrowed_fd(stdout, wanted)];
        let pause = Timespec { tv_sec: 0, tv_nsec: pause.subsec_nanos().into() };
        let patience = complete.then_some(&pause);
        // A reading end without writers is hung up, and would be ready each time.
        let of_interest = if self.closed { &mut poll_fds[..1] } else { &mut poll_fds[..] };
        rustix::io::retry_on_intr(|| poll(of_interest, patience)).or_fail(what)?;
        let [done, out] = [poll_fds[0].revents(), poll_fds[1].revents()];
        if !done.is_empty() || out.contains(PollFlags::ERR) {
            return Ok(Turn::Over);
        }
        if !out.contains(PollFlags::OUT) {
            return Ok(Turn::Nothing);
        }
        let rest = &self.text.as_bytes()[self.written..];
        match rustix::io::write(stdout, &rest[..rest.len().min(PIPE_BUF)]) {
            Ok(length) => self.written += length,
            Err(rustix::io::Errno::PIPE) => return Ok(Turn::Over),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(errno) => return Err(errno).or_fail(what),
        }
        Ok(Turn::Room)
    }

    /// Looks who reads. A program that is not ours must see the end of the plan: this process then
    /// gives up its writing end, and stays, recognisable by the other, for as long as that program
    /// has the plan in its hands, since it may hand it on. One of ours takes nothing out of the
    /// pipe, so whoever does is not.
    fn is_over(&mut self) -> Result<bool> {
        let what = "can't look at the pipe";
        let stdout = sys::borrow(1).ok_or_else(|| Error::new(what))?;
        let drained = ioctl_fionread(stdout).or_fail(what)? == 0;
        let readers = self.readers();
        // A shell holds the reading end while it has yet to fork the next stage, and for good
        // where it reads itself, as for `$(...)`.
        let ancestors = holders::ancestors();
        let is_ancestor = |reader: &Holder| ancestors.contains(&reader.pid);
        let is_stranger = |reader: &Holder| reader.kind == Kind::Foreign && !is_ancestor(reader);
        if !self.closed && (drained || readers.iter().all(is_stranger)) {
            self.closed = true;
            if !keep_the_reading_end()? {
                return Ok(true);
            }
        }
        // Nobody is seen: it is gone, or hides and is given the end by this process's own.
        Ok(drained && readers.iter().all(is_ancestor) || readers.is_empty())
    }

    fn readers(&self) -> Vec<Holder> {
        let own = std::process::id();
        let among = |candidates: &[u32]| {
            let mut found = holders::holders(candidates, &self.link);
            found.retain(|holder| holder.reads && holder.pid != own);
            found
        };
        let found = among(&holders::relatives());
        if found.is_empty() { among(&holders::everybody()) } else { found }
    }
}

/// Puts the reading end of the pipe on standard output in place of the writing end; `false` where
/// the pipe was made by another user, who alone may open it anew.
fn keep_the_reading_end() -> Result<bool> {
    let what = "can't close the pipe";
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match open("/proc/self/fd/1", flags, Mode::empty()) {
        Ok(reading) => rustix::stdio::dup2_stdout(&reading).or_fail(what).map(|()| true),
        Err(rustix::io::Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno).or_fail(what),
    }
}

/// A copy of `fd` that is out of the way of the fixed places.
fn above_fixed(fd: OwnedFd) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, DONE_FD + 1).or_fail("can't duplicate a descriptor")
}

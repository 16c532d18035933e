//! Other signs of readiness than READY=1: a newline on a descriptor, a port, a socket, a file, a
//! command that succeeds. What the app prints is not one of them: the bridge never touches it.
//!
//! Each sign is a pipe on which a newline means ready: the app writes it itself, or a process of
//! ours that looks again and again (in the container's own network, if that is another). The
//! bridge then sends itself a message that the relay takes for READY=1, in its turn.

use std::cell::Cell;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use chain::monitor::Source;
use chain::signal::Signal;
use chain::{Error, Result, ResultExt, print_warning, sys};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// The options for the signs.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Other signs of readiness")]
pub struct ReadyArgs {
    /// The app writes a newline to descriptor N, which it inherits
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pub ready_fd: Option<RawFd>,

    /// It accepts connections to this port, in its own network namespace
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = address)]
    pub ready_tcp: Option<SocketAddr>,

    /// It accepts connections to this socket, in its own root
    #[arg(long, value_name = "PATH")]
    pub ready_unix: Option<PathBuf>,

    /// This file exists, in its own root
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,

    /// This shell command succeeds, outside of the container, MAINPID being the app's process id
    #[arg(long, value_name = "CMD")]
    pub ready_exec: Option<OsString>,

    /// End the app with SIGTERM if it is not ready after so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub ready_timeout: Option<Duration>,

    /// Write a newline to descriptor N, which this process was given, once the app is ready
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pub notify_fd: Option<RawFd>,
}

impl ReadyArgs {
    /// Whether there is something to do without a service manager too.
    pub fn is_needed(&self) -> bool {
        self.ready_timeout.is_some() || self.notify_fd.is_some() || self.ready_fd.is_some()
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    text.parse().map_err(|_| "expected PORT, ADDRESS:PORT or [IPV6]:PORT".into())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds")?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("not a time to wait".into()),
    }
}

/// A pipe on which a newline means ready.
#[derive(Debug)]
pub struct Sign {
    pipe: Option<OwnedFd>,
    inside: PathBuf,
    token: Vec<u8>,
}

impl Sign {
    /// `token` is what the relay behind the socket `inside` takes for the sign.
    pub fn new(pipe: OwnedFd, inside: PathBuf, token: Vec<u8>) -> Self {
        Sign { pipe: Some(pipe), inside, token }
    }

    fn announce(&self) -> rustix::io::Result<()> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        let address = SocketAddrUnix::new(&self.inside)?;
        sendto(&socket, &self.token, SendFlags::DONTWAIT, &address).map(drop)
    }
}

impl Source for Sign {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    fn ready(&mut self) -> Result<()> {
        let Some(pipe) = &self.pipe else {
            return Ok(());
        };
        let mut bytes = [0; 512];
        match rustix::io::read(pipe, &mut bytes) {
            Ok(length) if bytes[..length].contains(&b'\n') => {
                // Behind a flood of the app's own messages this waits for no room; it is told.
                if let Err(errno) = self.announce() {
                    print_warning(&Error::new("can't announce READY=1").because(errno));
                }
                self.pipe = None;
            }
            // Whoever could have written it is gone.
            Ok(0) => self.pipe = None,
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => self.pipe = None,
        }
        Ok(())
    }
}

/// What ends the app if it isn't ready in time.
#[derive(Debug)]
pub struct Deadline {
    timer: Option<OwnedFd>,
    child: i32,
    is_ready: Rc<Cell<bool>>,
    has_passed: Rc<Cell<bool>>,
}

impl Deadline {
    /// `has_passed` is set when the app is told to end.
    pub fn new(
        after: Option<Duration>,
        child: i32,
        is_ready: Rc<Cell<bool>>,
        has_passed: Rc<Cell<bool>>,
    ) -> Result<Self> {
        let timer = after.map(timer).transpose().or_fail("can't make a timer")?;
        Ok(Deadline { timer, child, is_ready, has_passed })
    }
}

fn timer(after: Duration) -> rustix::io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
    let once = Itimerspec {
        it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: Timespec { tv_sec: after.as_secs() as i64, tv_nsec: after.subsec_nanos().into() },
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &once)?;
    Ok(timer)
}

impl Source for Deadline {
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.timer.as_ref().map(AsFd::as_fd)
    }

    fn ready(&mut self) -> Result<()> {
        self.timer = None;
        if !self.is_ready.get() {
            self.has_passed.set(true);
            sys::send_signal(self.child, Signal::TERM.number())
                .or_fail("can't end an app that is not ready in time")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        assert_eq!(address("80").unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(address("[::1]:80").unwrap().to_string(), "[::1]:80");
        assert_eq!(address("10.0.0.1:80").unwrap().to_string(), "10.0.0.1:80");
        for wrong in ["", "http", "::1:80", "65536", "host:80"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        for wrong in ["0", "-1", "nan", "inf", "", "1s"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}

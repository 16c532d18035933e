//! listen-fds: opens sockets and hands them on as systemd does (sd_listen_fds(3)), so that a chain
//! has socket activation on any host: privileged ports before the drop of privileges, ports of
//! the host for an app that has no network of its own.

mod accept;
mod address;
mod explain;
mod open;

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

use chain::{Explanation, LinkArgs, Next, Result, ResultExt, Tool};
use clap::Parser;
use rustix::event::{PollFd, PollFlags, poll};

use address::Listen;

/// Open sockets and hand them on as systemd does (LISTEN_FDS)
///
/// LISTEN is tcp:[ADDRESS:]PORT, udp:[ADDRESS:]PORT, unix:PATH, unix:@NAME, unix-dgram:PATH or
/// fifo:PATH, each with ,name=NAME and those with a path with ,mode=OCTAL. The first becomes
/// descriptor 3.
#[derive(Debug, Parser)]
#[command(name = "listen-fds", version)]
#[command(override_usage = "listen-fds [OPTIONS] LISTEN... -- COMMAND [ARG...]")]
#[command(mut_arg("command", |arg| arg.trailing_var_arg(false).last(true)))]
pub struct ListenFds {
    /// What to open
    #[arg(required = true, value_name = "LISTEN")]
    listen: Vec<String>,

    /// The name, in LISTEN_FDNAMES, of those that have none of their own
    #[arg(long, value_name = "NAME", default_value = "unknown", value_parser = address::name)]
    name: String,

    /// Start COMMAND at the first connection or message
    #[arg(long)]
    lazy: bool,

    /// Start COMMAND for each connection, which is its standard input and output
    #[arg(long, conflicts_with = "lazy")]
    accept: bool,

    /// How many connections are served at a time; further ones wait
    #[arg(long, value_name = "N", default_value_t = 64, requires = "accept")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    max_connections: u16,

    #[command(flatten)]
    link: LinkArgs,
}

impl Tool for ListenFds {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn explain(&self, to: &mut Explanation) -> Result<()> {
        self.say(to)
    }

    fn run(self, mut next: Next) -> Result<Infallible> {
        let mut names = Vec::new();
        let mut sockets = Vec::new();
        for word in &self.listen {
            let listen: Listen = word.parse().map_err(|reason: String| {
                chain::Error::new("can't listen on").object(word).reason(reason)
            })?;
            if self.accept && !listen.takes_connections() {
                return Err(chain::Error::new("can't accept connections on").object(word));
            }
            sockets.push(open::open(&listen, word)?);
            names.push(listen.name.unwrap_or_else(|| self.name.clone()));
        }
        if self.accept {
            return accept::serve(next, &sockets, self.max_connections.into());
        }
        if self.lazy {
            wait(&sockets)?;
        }
        next.listen(&names, sockets)?;
        next.exec()
    }
}

/// Waits until one of them has something to read or to accept.
fn wait(sockets: &[OwnedFd]) -> Result<()> {
    let mut all: Vec<PollFd<'_>> =
        sockets.iter().map(|fd| PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)).collect();
    rustix::io::retry_on_intr(|| poll(&mut all, None)).or_fail("can't wait for a connection")?;
    Ok(())
}

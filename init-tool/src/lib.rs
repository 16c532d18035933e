//! `mini-init`: PID 1 of a container. It starts the app, forwards signals to it, reaps every
//! orphan, reports the app's status, and ends what is left.

#![forbid(unsafe_code)]

use std::convert::Infallible;
use std::time::Duration;

use chain::monitor::{Monitor, Target};
use chain::signal::Signal;
use chain::{Error, Fork, LinkArgs, Next, Result, ResultExt, Role};

/// Start COMMAND, forward signals to it, reap every orphan, and exit with its status
#[derive(Debug, clap::Parser)]
#[command(name = "mini-init", version)]
pub struct MiniInit {
    /// How long what the app leaves behind has after TERM, before KILL
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    grace: Duration,

    /// Where this is not PID 1: become the one that orphans are handed to
    #[arg(long)]
    subreaper: bool,

    #[command(flatten)]
    link: LinkArgs,
}

/// Seconds, fractions allowed, up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is not a number of seconds from 0 to 86400");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    if !(0.0..=86_400.0).contains(&seconds) {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

impl chain::Tool for MiniInit {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn run(self, next: Next) -> Result<Infallible> {
        let is_init = std::process::id() == 1;
        if self.subreaper {
            nix::sys::prctl::set_child_subreaper(true).or_fail("can't become a subreaper")?;
        } else if !is_init {
            let warning = Error::new("not PID 1, so orphans of the app are reaped elsewhere")
                .hint("put ns-unshare --pid before it, or say --subreaper");
            chain::print_warning(&warning);
        }
        match next.fork(&Fork::default(), |_| Ok(()))? {
            Role::Child(next) => {
                next.lead_group()?;
                next.exec()
            }
            Role::Monitor(mut monitor) => {
                let status = monitor.wait(&mut [])?;
                // A namespace's init ends all in it; elsewhere only the app's group is known.
                monitor.forward_to(if is_init { Target::All } else { Target::Group });
                end_the_rest(&mut monitor, self.grace)?;
                monitor.finish(status)
            }
        }
    }
}

/// TERM, then KILL after `grace`, for what the app left behind.
fn end_the_rest(monitor: &mut Monitor, grace: Duration) -> Result<()> {
    if monitor.wait_for_all(Some(Duration::ZERO))? || !monitor.send_to_any(Signal::TERM)? {
        return Ok(());
    }
    if !monitor.wait_for_all(Some(grace))? && monitor.send_to_any(Signal::KILL)? {
        monitor.wait_for_all(None)?;
    }
    Ok(())
}

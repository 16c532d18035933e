//! `mini-init`: PID 1 of a container. It starts the app, forwards signals to it, reaps every
//! orphan, reports the app's status, and ends what is left.

#![forbid(unsafe_code)]

mod app;
mod arguments;
mod explain;
mod guard;
mod pty;
mod report;

use std::convert::Infallible;
use std::time::Duration;

use chain::monitor::{Monitor, Source, Target};
use chain::signal::Signal;
use chain::{Error, Explanation, Fork, Lead, Next, Result, ResultExt, Status};

pub use arguments::MiniInit;
use arguments::Wait;
use guard::Guard;
use pty::Relay;
use report::Report;

/// How long what the app leaves behind has after TERM, where nothing else is said.
const GRACE: Duration = Duration::from_secs(5);

impl chain::Tool for MiniInit {
    const WITHOUT_EXEC: bool = true;

    fn link(&self) -> &chain::LinkArgs {
        &self.link
    }

    fn explain(&self, to: &mut Explanation) -> Result<()> {
        self.say(to);
        Ok(())
    }

    fn run(self, mut next: Next) -> Result<Infallible> {
        let is_init = std::process::id() == 1;
        if self.subreaper {
            become_subreaper()?;
        } else if !is_init {
            let warning = Error::new("not PID 1, so orphans of the app are reaped elsewhere")
                .hint("put ns-unshare --pid before it, or say --subreaper");
            chain::print_warning(&warning);
        }
        if self.pty {
            // By /proc/PID/fd of this process the app would come to the caller's terminal.
            nix::sys::prctl::set_dumpable(false).or_fail("can't become not dumpable")?;
        }
        if let Some(signal) = self.parent_death {
            app::follow_parent(signal)?;
        }
        let mut guard = None;
        if !is_init && (self.subreaper || self.pty) {
            let inside = guard::stay_outside(next, self.subreaper)?;
            (next, guard) = (inside.0, Some(inside.1));
            if self.subreaper {
                // Which a child does not inherit.
                become_subreaper()?;
            }
        }
        let report = self.status_fd.map(Report::on).transpose()?;
        self.environment.apply(&mut next);
        let lead = self.lead(&next);
        let relay = self.pty.then(Relay::open).transpose()?;
        // The child's own messages pass through the relay, from the moment it has the new terminal.
        let how = Fork { monitor_runs: self.pty, ..Fork::default() };
        let mut monitor = next.spawn(&how, |mut next| {
            next.lead(lead)?;
            if let Some(relay) = &relay {
                next.move_to(relay.peer()?)?;
            }
            self.environment.change_directory()?;
            next.exec()
        })?;
        let watched = self.watch(&mut monitor, lead, report, relay, guard);
        if watched.is_err() && (is_init || self.subreaper) {
            monitor.forward_to(self.rest());
            monitor.kill_all(&mut [])?;
        }
        monitor.finish(watched?)
    }
}

impl MiniInit {
    /// A terminal that the app is given stays its controlling one, or it had no job control; an app
    /// that is given none doesn't need the caller's.
    fn lead(&self, next: &Next) -> Lead {
        if self.pty {
            return Lead::Terminal;
        }
        let own = self.new_session || !(next.has_terminal() || self.no_new_session);
        if own { Lead::Session } else { Lead::Group }
    }

    fn watch(
        &self,
        monitor: &mut Monitor,
        lead: Lead,
        report: Option<Report>,
        mut relay: Option<Relay>,
        mut guard: Option<Guard>,
    ) -> Result<Status> {
        let mut sources: Vec<&mut dyn Source> = Vec::new();
        sources.extend(guard.as_mut().map(|guard| guard as &mut dyn Source));
        sources.extend(relay.iter_mut().flat_map(Relay::sources));
        monitor.child_leads(lead)?;
        monitor.forward_to(self.target());
        monitor.rewrite(self.rewrite());
        monitor.talk(self.talk());
        let stop = self.stop_signal.unwrap_or(Signal::TERM);
        if let Some(grace) = self.grace {
            monitor.kill_after(stop, grace);
        }
        if let Some(report) = &report {
            report.started(monitor.child())?;
        }
        let status = monitor.wait(&mut sources)?;
        if let Some(report) = &report {
            report.ended(monitor.child(), status)?;
        }
        monitor.forward_to(self.rest());
        if self.wait == Wait::All {
            monitor.wait_for_all(None, &mut sources)?;
        }
        end_the_rest(monitor, stop, self.grace.unwrap_or(GRACE), &mut sources)?;
        if let Some(relay) = &mut relay {
            relay.close();
            monitor.flush(&mut relay.sources())?;
        }
        let is_success = self.ok_exit.contains(&status.code());
        Ok(if is_success { Status::Exited(0) } else { status })
    }

    /// Whom the app leaves behind: a namespace's init has all in it, a subreaper all below it;
    /// elsewhere only the app's group is known.
    fn rest(&self) -> Target {
        match (std::process::id(), self.subreaper) {
            (1, _) => Target::All,
            (_, true) => Target::Descendants,
            (_, false) => Target::Group,
        }
    }
}

fn become_subreaper() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).or_fail("can't become a subreaper")
}

/// `stop`, then KILL after `grace`, for what the app left behind.
fn end_the_rest(
    monitor: &mut Monitor,
    stop: Signal,
    grace: Duration,
    sources: &mut [&mut dyn Source],
) -> Result<()> {
    let done = monitor.wait_for_all(Some(Duration::ZERO), sources)?
        || !monitor.send_to_any(stop)?
        || monitor.wait_for_all(Some(grace), sources)?;
    if done { Ok(()) } else { monitor.kill_all(sources) }
}

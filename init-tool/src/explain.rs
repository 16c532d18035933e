//! `mini-init --explain`.

use chain::Explanation;
use chain::explain::word;
use chain::signal::Signal;

use crate::arguments::{MiniInit, To, Wait};

impl MiniInit {
    pub(crate) fn say(&self, to: &mut Explanation) {
        if self.subreaper {
            to.step("becomes the one that orphans below it are handed to");
        } else if !to.is_changed("pid") && std::process::id() != 1 {
            to.step("is not process 1 of a pid namespace: warns that orphans are reaped elsewhere");
        } else {
            to.step("is process 1 of the pid namespace: when it ends, all else in there is killed");
        }
        if let Some(signal) = self.parent_death {
            to.step(format!("asks for SIG{signal} when its parent ends"));
        }
        if self.environment.clear_env {
            to.step("takes all variables from the app's environment");
        }
        for (name, value) in &self.environment.env {
            to.step(format!("sets the variable {}={}", word(name), word(value)));
        }
        to.step("starts the app as its child, and stays");
        to.step(match (self.new_session, self.no_new_session) {
            _ if self.pty => "gives the app a terminal of the container's own in a session of its own, and carries what is typed and written between that and standard input and output",
            (true, _) => "puts the app in a session of its own",
            (_, true) => "puts the app in a process group of its own",
            _ => "puts the app in a process group of its own on the terminal it is given, or without one in a session of its own",
        });
        if let Some(folder) = &self.environment.chdir {
            to.step(format!("starts it in {}", word(folder)));
        }
        if let Some(fd) = self.status_fd {
            to.step(format!("writes start and end of the app to descriptor {fd}, as JSON"));
        }
        to.step(match self.signal_to {
            _ if self.group => "forwards signals to the app's process group",
            To::Child => "forwards signals to the app's first process",
            To::Group => "forwards signals to the app's process group",
            To::All => "forwards signals to all processes of the container",
        });
        let stop = self.stop_signal.unwrap_or(Signal::TERM);
        for (from, target) in &self.map {
            to.step(match target {
                Some(target) => format!("sends SIG{target} in place of SIG{from}"),
                None => format!("forwards no SIG{from}"),
            });
        }
        if self.stop_signal.is_some() && !self.map.iter().any(|(from, _)| *from == Signal::TERM) {
            to.step(format!("sends SIG{stop} in place of SIGTERM"));
        }
        if let Some(grace) = self.grace {
            to.step(format!("kills the app {} s after it was sent SIG{stop}", grace.as_secs_f64()));
        }
        to.step("reaps every process that ends");
        if self.wait == Wait::All {
            to.step("waits for the last process, after the app has ended");
        }
        let grace = self.grace.unwrap_or(crate::GRACE).as_secs_f64();
        to.step(format!("sends SIG{stop} to what the app leaves behind, kills it {grace} s later"));
        to.step("ends with the app's status");
        for status in &self.ok_exit {
            to.step(format!("ends with 0 where that is {status}"));
        }
    }
}

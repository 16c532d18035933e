//! `notify-bridge --explain`.

use chain::Explanation;
use chain::explain::word;

use crate::{NotifyBridge, relay::Senders};

impl NotifyBridge {
    pub(crate) fn say(&self, to: &mut Explanation) {
        let outside = std::env::var_os("NOTIFY_SOCKET");
        match &outside {
            Some(socket) => to.step(format!("carries messages to NOTIFY_SOCKET, {}", word(socket))),
            None if self.ready.is_needed() => to.step("has no NOTIFY_SOCKET to carry messages to"),
            None => return to.step("NOTIFY_SOCKET is not set: does nothing"),
        }
        to.step("makes a socket of its own in a private folder, and sets NOTIFY_SOCKET to it for the app");
        to.change("notify");
        to.step("stays as the monitor of what follows: forwards signals, ends with its status");
        to.step(match self.from {
            Senders::All => "takes messages from every process below it",
            Senders::Main => "takes messages from the app's first process only",
        });
        for (list, what) in [(&self.allow, "hands on too"), (&self.deny, "does not hand on")] {
            if !list.is_empty() {
                to.step(format!("{what}: {}", list.join(" ")));
            }
        }
        match self.fdstore {
            0 => to.step("takes no descriptors for the service manager's store"),
            most => to
                .step(format!("hands on up to {most} descriptors for the service manager's store")),
        }
        let ready = &self.ready;
        let signs = [
            ready
                .ready_fd
                .map(|fd| format!("a newline on descriptor {fd}, which the app inherits")),
            ready.ready_tcp.map(|address| {
                format!("connections to {address} being accepted, in the app's network")
            }),
            ready.ready_unix.as_ref().map(|path| {
                format!("connections to {} being accepted, in the app's root", word(path))
            }),
            ready
                .ready_file
                .as_ref()
                .map(|path| format!("the file {}, in the app's root", word(path))),
            ready
                .ready_exec
                .as_ref()
                .map(|command| format!("success of the shell command {}, outside", word(command))),
        ];
        for sign in signs.into_iter().flatten() {
            to.step(format!("takes for readiness: {sign}"));
        }
        if let Some(timeout) = ready.ready_timeout {
            to.step(format!(
                "ends the app by SIGTERM if it is not ready after {} s",
                timeout.as_secs_f64()
            ));
        }
        if let Some(fd) = ready.notify_fd {
            to.step(format!("writes a newline to descriptor {fd} once the app is ready"));
        }
    }
}

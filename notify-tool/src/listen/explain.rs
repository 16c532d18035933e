//! `listen-fds --explain`.

use chain::explain::word;
use chain::{Error, Explanation, Result};

use super::ListenFds;
use super::address::Listen;

impl ListenFds {
    pub(super) fn say(&self, to: &mut Explanation) -> Result<()> {
        let given = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok());
        let first = 3 + given.unwrap_or(0);
        for (number, text) in (first..).zip(&self.listen) {
            let listen: Listen = text.parse().map_err(|reason: String| {
                Error::new("can't listen on").object(text).reason(reason)
            })?;
            let name = listen.name.as_ref().unwrap_or(&self.name);
            to.step(match self.accept {
                true => format!("opens {}", word(text)),
                false => format!(
                    "opens {}: descriptor {number} of the app, called {}",
                    word(text),
                    word(name)
                ),
            });
        }
        if self.accept {
            to.step(format!(
                "starts what follows once for each connection, which is its standard input and output; {} at a time",
                self.max_connections
            ));
            return Ok(());
        }
        if self.lazy {
            to.step("waits for the first connection or message");
        }
        to.step("sets LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID for the app");
        Ok(())
    }
}

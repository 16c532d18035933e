//! notify-bridge: carries sd_notify(3) from the app in the container to the NOTIFY_SOCKET outside.
//!
//! It is what the service manager started, so it is the unit's main process, whose messages are
//! taken (NotifyAccess=main). It forks the chain, offers it a socket of its own, hands on what the
//! policy allows, and ends the way the app ended.

#![forbid(unsafe_code)]

mod inside;
pub mod message;
mod outside;
pub mod policy;
mod relay;

use std::convert::Infallible;

use chain::{Fork, LinkArgs, Next, Result, Role, Tool};
use clap::Parser;

use crate::inside::Inside;
use crate::outside::Outside;
use crate::policy::Policy;
use crate::relay::Relay;

/// Carry sd_notify from the app in the container to the service manager outside
///
/// Without NOTIFY_SOCKET there is nothing to carry, and COMMAND takes this process's place.
#[derive(Debug, Parser)]
#[command(name = "notify-bridge", version)]
pub struct NotifyBridge {
    #[command(flatten)]
    link: LinkArgs,
}

impl Tool for NotifyBridge {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn run(self, mut next: Next) -> Result<Infallible> {
        let Some(outside) = Outside::from_environment(next.environment())? else {
            return next.exec();
        };
        let inside = Inside::create(next.environment())?;
        next.environment().set("NOTIFY_SOCKET", inside.path());
        match next.fork(&Fork::default(), |_| Ok(()))? {
            Role::Child(next) => {
                inside.leave_to_the_monitor();
                next.exec()
            }
            Role::Monitor(mut monitor) => {
                let mut relay = Relay::new(inside, outside, Policy::default());
                let status = monitor.wait(&mut [&mut relay])?;
                relay.finish();
                status.mirror()
            }
        }
    }
}

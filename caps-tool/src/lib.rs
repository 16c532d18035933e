//! `priv-drop`: gives up user, groups, capabilities, and the way back to them.

#![forbid(unsafe_code)]

mod capability;
mod drop;
mod user;

use std::convert::Infallible;

use chain::{Error, LinkArgs, Next, Result, ResultExt};
use rustix::thread::capabilities;

use capability::Wanted;
use drop::Target;
use user::{Name, User, resolve_group};

/// Drop privileges, for COMMAND and all that it starts: no_new_privs is always set
#[derive(Debug, clap::Parser)]
#[command(name = "priv-drop", version)]
pub struct PrivDrop {
    /// Become this user and group; names are those of the current root's files
    #[arg(long, value_name = "UID|NAME[:GID|NAME]")]
    user: Option<User>,

    /// The supplementary groups [default: none]
    #[arg(long, value_name = "GID|NAME,...", value_delimiter = ',')]
    groups: Vec<Name>,

    /// Keep the supplementary groups that there are
    #[arg(long, conflicts_with = "groups")]
    keep_groups: bool,

    /// The capabilities that are left: none, all, oci, with +NAME and -NAME to change that
    #[arg(
        long,
        value_name = "none|all|oci|+X,-Y",
        default_value = "none",
        allow_hyphen_values = true
    )]
    caps: Wanted,

    #[command(flatten)]
    link: LinkArgs,
}

impl chain::Tool for PrivDrop {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn run(self, next: Next) -> Result<Infallible> {
        let target = self.target()?;
        next.change_credentials(|| target.become_it())?;
        next.exec()
    }
}

impl PrivDrop {
    fn target(&self) -> Result<Target> {
        let held = capabilities(None).or_fail("can't read the capabilities")?.permitted;
        let capabilities = self.caps.of(held).map_err(|missing| {
            Error::new("can't keep what this process doesn't have")
                .object(capability::names(missing))
        })?;
        let groups = if self.keep_groups {
            None
        } else {
            Some(self.groups.iter().map(resolve_group).collect::<Result<_>>()?)
        };
        let ids = self.user.as_ref().map(User::resolve).transpose()?;
        Ok(Target { ids, groups, capabilities })
    }
}

//! `priv-drop`: gives up user, groups, capabilities, and the way back to them.

#![forbid(unsafe_code)]

mod capability;
mod drop;
pub mod seccomp;
mod user;

use std::convert::Infallible;
use std::path::PathBuf;

use chain::{Error, LinkArgs, Next, Result, ResultExt};
use rustix::thread::{CapabilitySet, capabilities};

use capability::Wanted;
use drop::Target;
use seccomp::{Choice, Filters};
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

    /// The seccomp filter: default, none, or a profile in OCI or Moby form [default: default]
    #[arg(long, value_name = "default|none|FILE")]
    seccomp: Option<Choice>,

    /// Load this compiled filter; in place of the default one, beside one named with --seccomp
    #[arg(long, value_name = "FILE")]
    seccomp_bpf: Option<PathBuf>,

    /// Let the kernel's log tell of what the filters refuse
    #[arg(long)]
    seccomp_log: bool,

    /// Let nobody make user namespaces, whatever the filter says; 32-bit programs can't run then
    #[arg(long)]
    no_nested_userns: bool,

    #[command(flatten)]
    link: LinkArgs,
}

impl chain::Tool for PrivDrop {
    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn run(self, next: Next) -> Result<Infallible> {
        let target = self.target()?;
        let filters = self.filters(target.capabilities)?;
        next.change_credentials(|| target.become_it())?;
        next.exec_after(|| filters.load())
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

    fn filters(&self, left: CapabilitySet) -> Result<Filters> {
        let mut filters = Filters::default();
        let unless_compiled = match &self.seccomp_bpf {
            None => Choice::Default,
            Some(_) => Choice::None,
        };
        filters.add_profile(self.seccomp.as_ref().unwrap_or(&unless_compiled), left)?;
        if let Some(path) = &self.seccomp_bpf {
            filters.add_compiled(path)?;
        }
        if self.no_nested_userns {
            filters.add_no_user_namespaces()?;
        }
        if self.seccomp_log {
            filters.log();
        }
        Ok(filters)
    }
}

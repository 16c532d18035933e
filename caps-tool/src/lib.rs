//! `priv-drop`: gives up user, groups, capabilities, and the way back to them.

#![forbid(unsafe_code)]

mod drop;
mod explain;
mod label;
mod landlock;
mod report;
mod rlimit;
mod securebits;
mod settings;
mod user;

use std::convert::Infallible;
use std::io::Write;
use std::ops::Deref;

use chain::rare::{self, Rare};
use chain::{Error, Explanation, LinkArgs, Next, PathForm, Result, ResultExt};
use rustix::thread::{CapabilitySet, capabilities};

pub use confine::{capability, seccomp};

use capability::Wanted;
use drop::Target;
use label::Label;
use landlock::{LandlockArgs, Rules};
use rlimit::Limit;
use seccomp::{Choice, Filters, Source};
use securebits::SecureBits;
use settings::{Keyring, Umask, give_standard_io, set_nice, set_oom_score_adj};
use user::{Name, User, resolve_group};

/// Drop privileges, for COMMAND and all that it starts: no_new_privs is always set
#[derive(Debug, clap::Parser)]
#[command(name = "priv-drop", version)]
pub struct PrivDrop {
    #[command(flatten)]
    options: Rare<Options>,

    #[command(flatten)]
    link: LinkArgs,
}

/// What is dropped, and what is left.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
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
    #[arg(long, value_name = "default|none|FILE|fd:N")]
    seccomp: Option<Choice>,

    /// Load this compiled filter; in place of the default one, beside one named with --seccomp
    #[arg(long, value_name = "FILE|fd:N")]
    seccomp_bpf: Option<Source>,

    /// Let the kernel's log tell of what the filters refuse
    #[arg(long)]
    seccomp_log: bool,

    /// Let nobody make user namespaces, whatever the filter says; 32-bit programs can't run then
    #[arg(long)]
    no_nested_userns: bool,

    #[command(flatten)]
    landlock: LandlockArgs,

    /// A resource limit, by its name for prlimit(1) (repeatable) [default: core=0]
    #[arg(long, value_name = "NAME=SOFT[:HARD]|unlimited")]
    rlimit: Vec<Limit>,

    /// The nice value, -20 to 19
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-20..=19))]
    nice: Option<i32>,

    /// What the OOM killer goes by, -1000 to 1000
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    oom_score_adj: Option<i32>,

    /// The file mode creation mask, octal
    #[arg(long, value_name = "MASK")]
    umask: Option<Umask>,

    /// The session keyring: a new one, or the caller's
    #[arg(long, value_name = "new|keep", default_value = "new")]
    keyring: Keyring,

    /// Secure bits to set: noroot, no-setuid-fixup, keep-caps-locked, ...
    #[arg(long, value_name = "NAME,...")]
    securebits: Option<SecureBits>,

    /// Give standard input, output and error to --user, unless they are devices
    #[arg(long, requires = "user")]
    fix_stdio: bool,

    /// The AppArmor profile from the next exec on
    #[arg(long, value_name = "PROFILE", value_parser = label::parse)]
    apparmor: Option<String>,

    /// The SELinux context from the next exec on
    #[arg(long, value_name = "LABEL", value_parser = label::parse)]
    selinux: Option<String>,

    /// Show what the app may still do, on standard error; without COMMAND what this process may,
    /// on standard output, and drop nothing
    #[arg(long)]
    report: bool,

    /// The report in JSON
    #[arg(long, requires = "report")]
    json: bool,
}

impl Deref for PrivDrop {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

impl rare::Group for Options {}

impl chain::Tool for PrivDrop {
    const PATHS: &'static [(&'static str, PathForm)] =
        &[("seccomp", PathForm::Unless(&["default", "none"])), ("seccomp_bpf", PathForm::Whole)];
    const WITHOUT_EXEC: bool = true;

    fn link(&self) -> &LinkArgs {
        &self.link
    }

    fn alone(&self) -> Option<Result<()>> {
        let print = || {
            let text = report_text(self.json)?;
            std::io::stdout().write_all(text.as_bytes()).or_fail("can't print the report")
        };
        self.report.then(print)
    }

    fn explain(&self, to: &mut Explanation) -> Result<()> {
        self.say(to)
    }

    fn run(self, mut next: Next) -> Result<Infallible> {
        let target = self.target()?;
        let filters = self.filters(target.capabilities, &mut next)?;
        let landlock = self.landlock.prepare(&next)?;
        self.set_what_needs_privilege(&target)?;
        next.change_credentials(|| target.become_it())?;
        self.keyring.set()?;
        let labels =
            [self.apparmor.clone().map(Label::AppArmor), self.selinux.clone().map(Label::Selinux)];
        labels.iter().flatten().try_for_each(Label::ask_for)?;
        landlock.map_or(Ok(()), Rules::enforce)?;
        let report = self.report.then_some(self.json);
        let changes_at_exec = !target.capabilities.is_empty() || labels.iter().any(Option::is_some);
        next.exec_anew_unless(!changes_at_exec);
        next.exec_after(|| {
            filters.load()?;
            report.map_or(Ok(()), |json| {
                let text = report_text(json)?;
                std::io::stderr().write_all(text.as_bytes()).or_fail("can't print the report")
            })
        })
    }
}

fn report_text(json: bool) -> Result<String> {
    let lines = report::collect();
    if json { report::json(&lines) } else { Ok(report::table(&lines)) }
}

impl PrivDrop {
    /// The capabilities that are to be left.
    fn left(&self) -> Result<CapabilitySet> {
        let held = capabilities(None).or_fail("can't read the capabilities")?.permitted;
        self.caps.of(held).map_err(|missing| {
            Error::new("can't keep what this process doesn't have")
                .object(capability::names(missing))
        })
    }

    fn target(&self) -> Result<Target> {
        let capabilities = self.left()?;
        let groups = if self.keep_groups {
            None
        } else {
            Some(self.groups.iter().map(resolve_group).collect::<Result<_>>()?)
        };
        let ids = self.user.as_ref().map(User::resolve).transpose()?;
        let secure_bits = self.securebits.unwrap_or_default();
        Ok(Target { ids, groups, capabilities, secure_bits })
    }

    /// What can't be done any more once the privileges are gone.
    fn set_what_needs_privilege(&self, target: &Target) -> Result<()> {
        self.limits().try_for_each(Limit::set)?;
        self.nice.map_or(Ok(()), set_nice)?;
        self.oom_score_adj.map_or(Ok(()), set_oom_score_adj)?;
        self.umask.map_or(Ok(()), Umask::set)?;
        match target.ids {
            Some((uid, _)) if self.fix_stdio => give_standard_io(uid),
            _ => Ok(()),
        }
    }

    /// The profile: the default one, unless a compiled filter takes its place.
    fn choice(&self) -> &Choice {
        let otherwise = match &self.seccomp_bpf {
            None => &Choice::Default,
            Some(_) => &Choice::None,
        };
        self.seccomp.as_ref().unwrap_or(otherwise)
    }

    fn filters(&self, left: CapabilitySet, next: &mut Next) -> Result<Filters> {
        let mut filters = Filters::default();
        filters.add_profile(self.choice(), left, next)?;
        if let Some(source) = &self.seccomp_bpf {
            filters.add_compiled(source, next)?;
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

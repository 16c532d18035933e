//! The command line of `mini-init`.

use std::ffi::OsString;
use std::ops::Deref;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

use chain::LinkArgs;
use chain::monitor::{Rewrite, Talk, Target};
use chain::rare::{self, Rare};
use chain::signal::Signal;
use clap::builder::{OsStringValueParser, TypedValueParser};

/// Start COMMAND, forward signals to it, reap every orphan, and exit with its status
#[derive(Debug, clap::Parser)]
#[command(name = "mini-init", version, after_long_help = include_str!("help.txt"))]
pub struct MiniInit {
    #[command(flatten)]
    options: Rare<Options>,

    #[command(flatten)]
    pub(crate) link: LinkArgs,
}

/// Signals, and what the app starts with.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Who gets the signals that this process gets
    #[arg(long, value_name = "WHO", default_value = "child")]
    pub(crate) signal_to: To,
    /// The same as --signal-to group
    #[arg(short = 'g', long = "group", conflicts_with = "signal_to")]
    pub(crate) group: bool,
    /// The same as --signal-to child
    #[arg(short = 'c', long = "single-child", conflicts_with_all = ["signal_to", "group"])]
    single_child: bool,

    /// Send another signal in place of SIG, or none (repeatable)
    #[arg(short = 'r', long, visible_alias = "rewrite", value_name = "SIG=SIG|ignore", value_parser = mapping)]
    pub(crate) map: Vec<(Signal, Option<Signal>)>,

    /// What asks the app to end: sent in place of TERM, and to what it leaves behind
    #[arg(long, value_name = "SIG")]
    pub(crate) stop_signal: Option<Signal>,

    /// How long what was asked to end has until KILL: what the app leaves behind (5 by default),
    /// and the app itself, which has no limit by default
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) grace: Option<Duration>,

    /// What to wait for: the app, or also all that it leaves behind
    #[arg(long, value_name = "WHAT", default_value = "main")]
    pub(crate) wait: Wait,

    /// Exit with 0 where the app's status is N (repeatable)
    #[arg(short = 'e', long, value_name = "N")]
    pub(crate) ok_exit: Vec<u8>,

    /// Where this is not PID 1: become the one that orphans are handed to
    #[arg(short = 's', long)]
    pub(crate) subreaper: bool,

    /// Get SIG, and forward it, when the parent of this process ends
    #[arg(short = 'p', long, value_name = "SIG")]
    pub(crate) parent_death: Option<Signal>,

    #[command(flatten)]
    pub(crate) environment: EnvironmentArgs,

    /// Give the app a terminal of the container's own, and carry what is typed and written between
    /// that and standard input and output: it can't push input into yours
    #[arg(long, conflicts_with_all = ["new_session", "no_new_session"])]
    pub(crate) pty: bool,
    /// Put the app in a new session even if it is given a terminal: it can't push input into that,
    /// and has no job control
    #[arg(long, conflicts_with = "no_new_session")]
    pub(crate) new_session: bool,
    /// Leave the app in the caller's session even if it is given no terminal
    #[arg(long)]
    pub(crate) no_new_session: bool,

    /// Write to descriptor N, as JSON, that the app was started, and how it ended
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) status_fd: Option<RawFd>,

    /// Say on standard error which signals are forwarded and which orphans reaped
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say on standard error which orphans are reaped
    #[arg(short = 'w', long)]
    warn_on_reap: bool,
}

impl Deref for MiniInit {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.options
    }
}

impl rare::Group for Options {}

/// What the app starts with.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct EnvironmentArgs {
    /// Start the app in DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) chdir: Option<PathBuf>,
    /// Give the app a variable (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = OsStringValueParser::new().try_map(variable))]
    pub(crate) env: Vec<(String, OsString)>,
    /// Give the app no variables but those of --env
    #[arg(long)]
    pub(crate) clear_env: bool,
}

/// Who gets signals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum To {
    #[default]
    /// The app's first process
    Child,
    /// Its process group
    Group,
    /// All processes of the container
    All,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Wait {
    #[default]
    /// The app's first process
    Main,
    /// The last process
    All,
}

impl MiniInit {
    pub(crate) fn target(&self) -> Target {
        match self.signal_to {
            _ if self.group => Target::Group,
            To::Child => Target::Child,
            To::Group => Target::Group,
            To::All => self.rest(),
        }
    }

    pub(crate) fn rewrite(&self) -> Rewrite {
        let mut rewrite = Rewrite::default();
        for (from, to) in &self.map {
            rewrite.set(*from, *to);
        }
        if let Some(stop) = self.stop_signal
            && !rewrite.has(Signal::TERM)
        {
            rewrite.set(Signal::TERM, Some(stop));
        }
        rewrite
    }

    pub(crate) fn talk(&self) -> Talk {
        Talk { signals: self.verbose > 0, orphans: self.verbose > 0 || self.warn_on_reap }
    }
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

/// `SIG=SIG`, `SIG=ignore`, and dumb-init's `15:3` and `15:0`.
fn mapping(text: &str) -> Result<(Signal, Option<Signal>), String> {
    let (from, to) = text
        .split_once(['=', ':'])
        .ok_or_else(|| format!("'{text}' is not of the form SIG=SIG or SIG=ignore"))?;
    let from: Signal = from.parse()?;
    if matches!(from, Signal::KILL | Signal::STOP | Signal::CHLD) {
        return Err(format!("{from} is not forwarded, so it can't be mapped"));
    }
    Ok((from, if matches!(to, "ignore" | "0") { None } else { Some(to.parse()?) }))
}

fn variable(text: OsString) -> Result<(String, OsString), String> {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = text.as_bytes();
    let wrong = || format!("'{}' is not of the form NAME=VALUE", text.display());
    let at = bytes.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or_else(wrong)?;
    let name = std::str::from_utf8(&bytes[..at]).map_err(|_| wrong())?;
    Ok((name.to_owned(), OsString::from_vec(bytes[at + 1..].to_vec())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(name: &str) -> Signal {
        name.parse().unwrap()
    }

    #[test]
    fn mappings() {
        assert_eq!(mapping("TERM=INT"), Ok((signal("TERM"), Some(signal("INT")))));
        assert_eq!(mapping("15:3"), Ok((signal("TERM"), Some(signal("QUIT")))));
        assert_eq!(mapping("SIGHUP=ignore"), Ok((signal("HUP"), None)));
        assert_eq!(mapping("1:0"), Ok((signal("HUP"), None)));
        for wrong in ["", "TERM", "TERM=", "=TERM", "KILL=TERM", "9:15", "STOP=TERM", "TERM=x"] {
            assert!(mapping(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn variables() {
        assert_eq!(variable("A=b=c".into()), Ok(("A".into(), "b=c".into())));
        assert_eq!(variable("A=".into()), Ok(("A".into(), "".into())));
        assert!(variable("=x".into()).is_err());
        assert!(variable("A".into()).is_err());
    }
}

//! A tool: its arguments, its one thing, and how it fails.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::RawFd;

use clap::Parser;
use clap::error::ErrorKind;

use crate::environment::Environment;
use crate::error::{Error, FAILED, Result};
use crate::handover::Handover;
use crate::next::Next;
use crate::standard_io;
use crate::sys;

/// What all tools that start a next link have on their command line.
#[derive(Debug, Clone, clap::Args)]
pub struct LinkArgs {
    /// Let the app inherit descriptor N too (repeatable)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pub keep_fd: Vec<RawFd>,

    /// The next program of the chain, and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND", required = true)]
    pub command: Vec<OsString>,
}

/// One of the tools.
pub trait Tool: Parser {
    /// The arguments that it shares with all others.
    fn link(&self) -> &LinkArgs;

    /// What it does where no COMMAND is given, if these arguments ask for that.
    fn alone(&self) -> Option<Result<()>> {
        None
    }

    /// Does its one thing and starts the next link; returns only if one of them fails.
    fn run(self, next: Next) -> Result<Infallible>;
}

/// The whole of a tool's `main`.
pub fn main<T: Tool>() -> ! {
    let Err(error) = start::<T>();
    fail(T::command().get_name(), &error)
}

fn start<T: Tool>() -> Result<Infallible> {
    refuse_privileged_start()?;
    let tool = T::try_parse().unwrap_or_else(|error| usage::<T>(&error));
    standard_io::check()?;
    if tool.link().command.is_empty()
        && let Some(done) = tool.alone()
    {
        done?;
        sys::exit_now(0);
    }
    let mut environment = Environment::of_this_process();
    let handover = Handover::take(&mut environment)?;
    let link = tool.link();
    let next = Next::new(link.command.clone(), environment, handover, &link.keep_fd)?;
    tool.run(next)
}

/// The tools run with their caller's privileges and no others: a setuid copy would give the next
/// program, which the caller chooses, to anybody.
fn refuse_privileged_start() -> Result<()> {
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    if sys::is_secure_execution()
        || user != rustix::process::geteuid()
        || group != rustix::process::getegid()
    {
        return Err(Error::new("refused to run setuid, setgid or with file capabilities"));
    }
    Ok(())
}

/// Prints help where it was asked for, and clap's message in our form where the usage is wrong.
fn usage<T: Tool>(error: &clap::Error) -> ! {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let status = if error.print().is_ok() { 0 } else { FAILED };
        sys::exit_now(status);
    }
    let name = T::command().get_name().to_owned();
    let rendered = error.render().to_string();
    let message = rendered.strip_prefix("error: ").unwrap_or(&rendered);
    // clap's first paragraph says what is wrong, its "tip:" lines what helps; the usage line and
    // the pointer to --help are one hint here.
    let what = message.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let tip = message.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let hint = match tip {
        Some(tip) => format!("{tip}; '{name} --help' lists the options"),
        None => format!("'{name} --help' lists the options"),
    };
    fail(&name, &Error::new(what.split_whitespace().collect::<Vec<_>>().join(" ")).hint(hint))
}

fn fail(name: &str, error: &Error) -> ! {
    print(name, error);
    sys::exit_now(error.status())
}

fn print(name: &str, error: &Error) {
    // In one write(2), so that messages of several processes don't mix; there is nobody to tell
    // if standard error is gone.
    let _ = std::io::stderr().write_all(format!("{name}: {error}\n").as_bytes());
}

/// Prints what went wrong where the tool goes on all the same.
pub fn print_warning(error: &Error) {
    print(&own_name(), error);
}

/// The name that this process was started under.
fn own_name() -> String {
    let word = std::env::args_os().next().unwrap_or_default();
    let path = std::path::PathBuf::from(word);
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

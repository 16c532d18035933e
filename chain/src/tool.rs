//! A tool: its arguments, its one thing, and how it fails.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::ops::Deref;
use std::os::fd::RawFd;

use clap::Parser;
use clap::error::ErrorKind;

use crate::environment::Environment;
use crate::error::{Error, FAILED, Result, ResultExt};
use crate::explain::Explanation;
use crate::next::Next;
use crate::pipeline;
use crate::plan::{Line, Plan};
use crate::quote;
use crate::rare::{self, Rare};
use crate::short_help;
use crate::signal;
use crate::standard_io;
use crate::start::{Start, own_name};
use crate::sys;
use crate::words::{self, PathForm};

/// What all tools that start a next link have on their command line.
#[derive(Debug, Clone, clap::Args)]
pub struct LinkArgs {
    #[command(flatten)]
    options: Rare<LinkOptions>,

    /// The next program of the chain, and its arguments. Without it the tool writes a plan
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// The options of every link.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct LinkOptions {
    /// Let the app inherit descriptor N too (repeatable)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pub keep_fd: Vec<RawFd>,

    /// Put the stages of a saved plan before this one ('-': from standard input, whatever it is)
    #[arg(long, value_name = "FILE", conflicts_with = "no_plan")]
    plan: Option<OsString>,

    /// Leave standard input to the app, even if it comes from a stage of Catena
    #[arg(long)]
    no_plan: bool,

    /// Print the exec chain that would be run, quoted for a shell, and do nothing else
    #[arg(long)]
    print: bool,

    /// Say what each link would do, a line a step, and do nothing: no privilege is needed
    #[arg(long, conflicts_with = "print")]
    explain: bool,

    /// Without COMMAND: write paths into the plan that mean the same in every working directory
    #[arg(long)]
    absolute: bool,
}

impl rare::Group for LinkOptions {
    const PREFIXES: &'static [&'static str] =
        &["--keep-fd", "--plan", "--no-plan", "--print", "--explain", "--absolute"];
}

impl Deref for LinkArgs {
    type Target = LinkOptions;

    fn deref(&self) -> &LinkOptions {
        &self.options
    }
}

/// The options that a stage in a plan does not have.
const NOT_IN_A_PLAN: [&str; 5] = ["plan", "no_plan", "print", "explain", "absolute"];

/// One of the tools.
pub trait Tool: Parser {
    /// The options (by clap's ids) whose values are paths on the host.
    const PATHS: &'static [(&'static str, PathForm)] = &[];

    /// Whether the link before this one may go on as it without an exec, in a program that is all tools.
    const WITHOUT_EXEC: bool = false;

    /// The arguments that it shares with all others.
    fn link(&self) -> &LinkArgs;

    /// What it does where no COMMAND is given, if these arguments ask for that.
    fn alone(&self) -> Option<Result<()>> {
        None
    }

    /// Says what `run` would do, in its order and from the same data, and touches nothing.
    fn explain(&self, to: &mut Explanation) -> Result<()>;

    /// Does its one thing and starts the next link; returns only if one of them fails.
    fn run(self, next: Next) -> Result<Infallible>;
}

/// The whole of a tool's `main`.
pub fn main<T: Tool>() -> ! {
    run::<T>(Start::by_exec())
}

/// As [`main`], with `first` done before anything else.
pub fn main_after<T: Tool>(first: fn() -> Result<()>) -> ! {
    run::<T>(first().and_then(|()| Start::by_exec()))
}

/// Goes on as this tool: see [`image`](crate::image).
pub(crate) fn follow<T: Tool>(start: Start) -> ! {
    run::<T>(Ok(start))
}

fn run<T: Tool>(given: Result<Start>) -> ! {
    let Err(error) = given.and_then(start::<T>);
    fail(T::command().get_name(), &error)
}

fn start<T: Tool>(given: Start) -> Result<Infallible> {
    if !given.without_exec {
        refuse_privileged_start()?;
    }
    let Start { words, environment, handover, without_exec } = given;
    let tool = crate::help::parse::<T>(&words).unwrap_or_else(|error| usage::<T>(&error, &words));
    if !without_exec {
        standard_io::check()?;
    }
    let link = tool.link().clone();
    if let Some(changed) = handover.as_ref().and_then(|from| from.explain.clone()) {
        return explain(&tool, changed, environment);
    }
    if link.command.is_empty() && !link.print && !link.explain {
        if let Some(done) = tool.alone() {
            done?;
            sys::exit_now(0);
        }
        return write_plan::<T>(&link, words);
    }
    // Inside a chain, and for PID 1, standard input is the app's and nothing else.
    let inside = handover.as_ref().is_some_and(|from| from.is_for(standard_io::inode_of_input));
    let may_receive = !inside && std::process::id() != 1 && !link.no_plan;
    let plan = match &link.plan {
        Some(file) => pipeline::load(file)?,
        None if may_receive => pipeline::receive()?,
        None => Plan::default(),
    };
    if link.print {
        return print_chain::<T>(plan, &link, words);
    }
    if link.explain && plan.is_empty() {
        return explain(&tool, Vec::new(), environment);
    }
    if link.explain {
        let chain = chain_of::<T>(plan, &link, words)?;
        return Explanation::new(T::command().get_name(), Vec::new()).go_on(&chain, environment);
    }
    if plan.is_empty() {
        let next = Next::new(link.command.clone(), environment, handover, &link.keep_fd)?;
        return tool.run(next);
    }
    Next::exec_chain(chain_of::<T>(plan, &link, words)?, environment)
}

/// Explains this link, those before it having `changed` something, and then the next.
fn explain<T: Tool>(
    tool: &T,
    changed: Vec<String>,
    environment: Environment,
) -> Result<Infallible> {
    signal::end_by_sigpipe();
    let mut explanation = Explanation::new(T::command().get_name(), changed);
    tool.explain(&mut explanation)?;
    for fd in &tool.link().keep_fd {
        explanation.step(format!("lets the app inherit descriptor {fd}, unless a link takes it"));
    }
    explanation.go_on(&tool.link().command, environment)
}

/// This stage as a line of a plan.
fn own_stage<T: Tool>(link: &LinkArgs, words: Vec<OsString>) -> Result<Line> {
    let mut words: Vec<OsString> = words.into_iter().skip(1).collect();
    words.truncate(words.len() - link.command.len());
    if words.last().is_some_and(|word| word == "--") {
        words.pop();
    }
    let here = match link.absolute {
        true => Some(std::env::current_dir().or_fail("can't find out the working directory")?),
        false => None,
    };
    let command = T::command();
    let kept = words::rewrite(&command, &words, &NOT_IN_A_PLAN, T::PATHS, here.as_deref());
    let mut stage = vec![OsString::from(command.get_name())];
    stage.extend(kept);
    Ok(Line::Stage(stage))
}

fn with_own_stage<T: Tool>(mut plan: Plan, link: &LinkArgs, words: Vec<OsString>) -> Result<Plan> {
    let added = plan.push(own_stage::<T>(link, words)?);
    added.map_err(|reason| Error::new("can't add this stage to the plan").reason(reason))?;
    Ok(plan)
}

fn chain_of<T: Tool>(plan: Plan, link: &LinkArgs, words: Vec<OsString>) -> Result<Vec<OsString>> {
    Ok(with_own_stage::<T>(plan, link, words)?.to_chain(&link.command))
}

/// A tool without COMMAND is a filter: the plan of the stages before it, and itself.
fn write_plan<T: Tool>(link: &LinkArgs, words: Vec<OsString>) -> Result<Infallible> {
    let name = T::command().get_name().to_owned();
    if std::io::stdout().is_terminal() {
        return Err(Error::new("no COMMAND given").hint(format!(
            "'{name} [OPTIONS] -- COMMAND' runs one, '{name} [OPTIONS] | mini-init COMMAND' does so in a pipe"
        )));
    }
    if link.no_plan {
        return Err(Error::new("--no-plan needs a COMMAND")
            .hint(format!("'{name} --help' lists the options")));
    }
    let plan = match &link.plan {
        Some(file) => pipeline::load(file)?,
        None => pipeline::receive()?,
    };
    pipeline::give(&with_own_stage::<T>(plan, link, words)?)?;
    sys::exit_now(0)
}

fn print_chain<T: Tool>(plan: Plan, link: &LinkArgs, words: Vec<OsString>) -> Result<Infallible> {
    let words: Vec<String> =
        chain_of::<T>(plan, link, words)?.iter().map(|word| quote::for_shell(word)).collect();
    let line = format!("{}\n", words.join(" "));
    std::io::stdout().write_all(line.as_bytes()).or_fail("can't print the chain")?;
    sys::exit_now(0)
}

/// The tools run with their caller's privileges and no others: a setuid copy would give the next
/// program, which the caller chooses, to anybody.
pub(crate) fn refuse_privileged_start() -> Result<()> {
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
pub(crate) fn usage<T: Parser>(error: &clap::Error, words: &[OsString]) -> ! {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        print_help::<T>(error, words);
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

/// `-h`, `--help` and `--help WORD`; `-V` too.
fn print_help<T: Parser>(error: &clap::Error, words: &[OsString]) -> ! {
    let mut command = crate::help::command::<T>();
    let asked = words.iter().skip_while(|word| *word != "--help").nth(1);
    let asked = asked.map(|word| word.to_string_lossy().into_owned());
    let text = match asked {
        _ if error.kind() == ErrorKind::DisplayVersion => error.render().to_string(),
        Some(word) if !word.starts_with('-') || word.len() > 2 => {
            short_help::about(&command, &word).unwrap_or_else(|| {
                let name = command.get_name();
                let what = Error::new("no option is called").object(&word);
                fail(name, &what.hint(format!("'{name} -h' lists them")))
            })
        }
        _ if error.render().to_string() == command.render_help().to_string() => {
            short_help::render(&command)
        }
        _ => error.render().to_string(),
    };
    signal::end_by_sigpipe();
    let printed = std::io::stdout().write_all(text.as_bytes());
    sys::exit_now(if printed.is_ok() { 0 } else { FAILED })
}

pub(crate) fn fail(name: &str, error: &Error) -> ! {
    print(name, error);
    sys::exit_now(error.status())
}

fn print(name: &str, error: &Error) {
    // In one write(2), so that messages of several processes don't mix; there is nobody to tell
    // if standard error is gone.
    write_message(&format!("{name}: {error}\n"));
}

/// Not by std's `stderr`: a child that shares this process's memory and is killed while it writes
/// would leave that locked.
fn write_message(text: &str) {
    let mut bytes = text.as_bytes();
    while !bytes.is_empty() {
        match rustix::io::retry_on_intr(|| rustix::io::write(rustix::stdio::stderr(), bytes)) {
            Ok(length) if length > 0 => bytes = &bytes[length..],
            _ => break,
        }
    }
}

/// Prints what went wrong where the tool goes on all the same.
pub fn print_warning(error: &Error) {
    print(&own_name(), error);
}

/// Prints what this process does, where that was asked for.
pub fn print_note(note: &str) {
    write_message(&format!("{}: {note}\n", own_name()));
}

//! What `--help` and `--version` say beside a tool's own arguments.

use std::ffi::OsString;
use std::mem;
use std::sync::{Mutex, PoisonError};

use clap::builder::StyledStr;
use clap::{Arg, ArgMatches, Command, CommandFactory, ValueHint};

use crate::{rare, sys};

/// The options of [`LinkArgs`](crate::LinkArgs), by clap's ids: `-h` leaves them out.
const OF_ANY_LINK: [&str; 6] = ["keep_fd", "plan", "no_plan", "print", "explain", "absolute"];

/// Whether all links have the option.
pub(crate) fn is_of_any_link(one: &Arg) -> bool {
    OF_ANY_LINK.iter().any(|id| one.get_id() == id)
}

/// Three examples of each tool, for its help and its manual page.
const EXAMPLES: &[(&str, &str)] = &[
    ("cg-enter", include_str!("../../docs/man/examples/cg-enter.txt")),
    ("cg-signal", include_str!("../../docs/man/examples/cg-signal.txt")),
    ("cg-stat", include_str!("../../docs/man/examples/cg-stat.txt")),
    ("chain-doctor", include_str!("../../docs/man/examples/chain-doctor.txt")),
    ("fs-pivot", include_str!("../../docs/man/examples/fs-pivot.txt")),
    ("listen-fds", include_str!("../../docs/man/examples/listen-fds.txt")),
    ("mini-init", include_str!("../../docs/man/examples/mini-init.txt")),
    ("notify-bridge", include_str!("../../docs/man/examples/notify-bridge.txt")),
    ("ns-enter", include_str!("../../docs/man/examples/ns-enter.txt")),
    ("ns-unshare", include_str!("../../docs/man/examples/ns-unshare.txt")),
    ("priv-drop", include_str!("../../docs/man/examples/priv-drop.txt")),
];

/// The examples of the tool `name`: a line that says what it is, and below it, indented, the line
/// to type.
pub fn examples(name: &str) -> &'static str {
    let found = EXAMPLES.iter().find(|(tool, _)| *tool == name);
    found.map_or("", |(_, text)| text.trim_end())
}

/// The command line of a tool, with its examples, and with what all tools have in common in one
/// group at the end.
pub fn command<T: CommandFactory>() -> Command {
    let command = T::command();
    let examples = examples(command.get_name());
    let short = with_examples(command.get_after_help(), examples);
    let long = with_examples(command.get_after_long_help().or(command.get_after_help()), examples);
    let mut command = command.after_help(short).after_long_help(long);
    // `make install` and `make dist` name the commit too.
    if let Some(version) = option_env!("CATENA_VERSION") {
        command = command.version(version);
    }
    let groups = crate::help_groups::GROUPS.iter().find(|(tool, _)| *tool == command.get_name());
    for (heading, ids) in groups.into_iter().flat_map(|(_, groups)| groups.iter()) {
        for id in *ids {
            command = command.mut_arg(id, |argument| argument.help_heading(*heading));
        }
    }
    let is_link = command.get_arguments().any(|argument| argument.get_id() == "keep_fd");
    if !is_link {
        return command;
    }
    for id in OF_ANY_LINK {
        command = command.mut_arg(id, |argument| {
            // A manual page shows the long help of what the short one leaves out.
            let help = argument.get_help().cloned();
            let argument = argument.help_heading("Any link of a chain").hide_short_help(true);
            match help {
                Some(help) => argument.long_help(help),
                None => argument,
            }
        });
    }
    command.mut_arg("command", |argument| {
        argument.help_heading(None::<&str>).value_hint(ValueHint::CommandWithArguments)
    })
}

fn with_examples(text: Option<&StyledStr>, examples: &str) -> String {
    let own = text.map(|text| format!("{}\n\n", text.to_string().trim_end())).unwrap_or_default();
    let indented: String = examples.lines().map(|line| format!("  {line}\n")).collect();
    format!("{own}Examples:\n{indented}").trim_end().to_owned()
}

/// What parsing needed.
static LEFT: Mutex<Vec<(Command, ArgMatches)>> = Mutex::new(Vec::new());

/// Frees what parsing needed.
pub(crate) fn forget() {
    drop(mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner)));
}

/// The command line `words`, parsed.
pub(crate) fn parse<T: clap::Parser>(words: &[OsString]) -> Result<T, clap::Error> {
    // What only the help says takes as long to put together as all the rest.
    let parsed = rare::with_words(words, || parse_by(T::command(), words))
        .or_else(|_| parse_by(command::<T>(), words));
    sys::begin_allocating_anew();
    parsed
}

/// The command line `words` as [`parse`] has it, by a definition of all options from the start: for
/// tests, which hold the two against each other.
#[doc(hidden)]
pub fn both_ways<T: clap::Parser>(words: &[OsString]) -> [Result<T, String>; 2] {
    [parse::<T>(words), parse_by(command::<T>(), words)]
        .map(|parsed| parsed.map_err(|error| error.to_string()))
}

fn parse_by<T: clap::Parser>(mut command: Command, words: &[OsString]) -> Result<T, clap::Error> {
    let mut matches = command.try_get_matches_from_mut(words)?;
    let parsed = T::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut command));
    // To take them apart takes time, which a monitor has, and no other.
    LEFT.lock().unwrap_or_else(PoisonError::into_inner).push((command, matches));
    parsed
}

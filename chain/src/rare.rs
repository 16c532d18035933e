//! Options that most command lines don't have.
//!
//! To define an option for clap costs as much as some system calls, and a tool has dozens; a container of
//! five links would spend a tenth of its start on options that nobody named. So a group of them is left
//! out of the definition where no word of the command line can be one of them. What then can't be parsed
//! is parsed once more with all there are, so a mistake here costs time and nothing else.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;

use clap::{ArgMatches, Args, Command, FromArgMatches};

use crate::names;

/// A group of options. What [`Default`] gives is what clap makes of a line that has none of them.
pub trait Group: Args + Default {
    /// What their words begin with; none: any word that begins with a hyphen may be one.
    const PREFIXES: &'static [&'static str] = &[];
}

/// A group that is defined only where a word may be one of its options.
#[derive(Clone, Default)]
pub struct Rare<T>(T);

impl<T> Deref for Rare<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Rare<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

thread_local! {
    /// The words that may be options; `None` where every option is to be defined.
    static WORDS: ManuallyDrop<RefCell<Option<Box<[OsString]>>>> =
        const { ManuallyDrop::new(RefCell::new(None)) };
}

/// Runs `parse` with only those groups defined that the command line `words` may name.
pub(crate) fn with_words<T>(words: &[OsString], parse: impl FnOnce() -> T) -> T {
    let is_end = |word: &OsString| word == "--" || names::is_ours(word);
    let own = words.iter().skip(1).take_while(|word| !is_end(word));
    let options = own.filter(|word| word.as_bytes().starts_with(b"-")).cloned().collect();
    WORDS.with(|words| words.replace(Some(options)));
    let parsed = parse();
    WORDS.with(|words| words.replace(None));
    parsed
}

fn is_left_out<T: Group>() -> bool {
    let may_be = |word: &OsString| {
        let begins = |prefix: &&str| word.as_bytes().starts_with(OsStr::new(prefix).as_bytes());
        T::PREFIXES.is_empty() || T::PREFIXES.iter().any(begins)
    };
    WORDS.with(|words| words.borrow().as_ref().is_some_and(|words| !words.iter().any(may_be)))
}

/// On a stack frame of its own, which is some pages long for a dozen options.
#[cold]
#[inline(never)]
fn define<T: Group>(command: Command) -> Command {
    T::augment_args(command)
}

#[cold]
#[inline(never)]
fn take<T: Group>(matches: &mut ArgMatches) -> Result<Rare<T>, clap::Error> {
    T::from_arg_matches_mut(matches).map(Rare)
}

impl<T: Group> Args for Rare<T> {
    fn augment_args(command: Command) -> Command {
        if is_left_out::<T>() { command } else { define::<T>(command) }
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}

impl<T: Group> FromArgMatches for Rare<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        match is_left_out::<T>() {
            true => Ok(Self::default()),
            false => take(matches),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, clap::Args)]
    struct Colours {
        #[arg(long)]
        red: bool,
    }

    impl Group for Colours {
        const PREFIXES: &'static [&'static str] = &["--red"];
    }

    #[derive(Debug, Default, clap::Args)]
    struct Shapes {
        #[arg(short = 'r', long)]
        round: bool,
    }

    impl Group for Shapes {}

    /// The options that are defined for a command line: of those with prefixes, and of those without.
    fn defined(line: &str) -> (bool, bool) {
        let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        let has_any = |command: Command| command.get_arguments().next().is_some();
        with_words(&words, || {
            let (colours, shapes) = (Rare::<Colours>::augment_args, Rare::<Shapes>::augment_args);
            (has_any(colours(Command::new("x"))), has_any(shapes(Command::new("x"))))
        })
    }

    #[test]
    fn what_nobody_names_is_not_defined() {
        assert_eq!(defined("x app --red"), (true, true));
        assert_eq!(defined("x --red"), (true, true));
        assert_eq!(defined("x -r app"), (false, true));
        for line in ["x", "x app", "x -- --red", "x mini-init --red -r"] {
            assert_eq!(defined(line), (false, false), "{line}");
        }
        // Where there is no command line, as for help, all are.
        assert!(Rare::<Colours>::augment_args(Command::new("x")).get_arguments().next().is_some());
    }
}

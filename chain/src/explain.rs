//! `--explain`: what a chain would do, a line a step, with nothing done.
//!
//! Each link explains itself and executes the next, which the hand-over tells to do the same. A
//! program that is not ours is named and never executed for this.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io::Write;
use std::path::Path;

use crate::environment::Environment;
use crate::error::{Result, ResultExt};
use crate::handover::Handover;
use crate::next::c_string;
use crate::toolbox::Toolbox;
use crate::{names, quote, sys};

/// The change that another root is: what stands in its files is not known before.
pub const ROOT: &str = "root";
/// The change that other user and group ids are.
pub const IDS: &str = "ids";

/// What one link would do, and what those before it would have changed.
#[derive(Debug)]
pub struct Explanation {
    name: String,
    /// Namespaces by their names in /proc/PID/ns, [`ROOT`], [`IDS`].
    changed: Vec<String>,
    /// What follows is the app, whatever it is called.
    before_app: bool,
    text: String,
}

/// A word or path as it may stand in an explanation: quoted if there is anything odd about it.
pub fn word(word: impl AsRef<OsStr>) -> String {
    quote::for_shell(word.as_ref())
}

impl Explanation {
    pub(crate) fn new(name: &str, changed: Vec<String>) -> Self {
        Explanation { name: name.to_owned(), changed, before_app: false, text: String::new() }
    }

    /// Adds a step: what is done, without a full stop.
    pub fn step(&mut self, step: impl AsRef<str>) {
        self.step_of(&self.name.clone(), step.as_ref());
    }

    /// Whether a link before this one changes `what`.
    pub fn is_changed(&self, what: &str) -> bool {
        self.changed.iter().any(|changed| changed == what)
    }

    /// Notes for the links to come that this one changes `what`.
    pub fn change(&mut self, what: &str) {
        if !self.is_changed(what) {
            self.changed.push(what.to_owned());
        }
    }

    /// Takes such a note back.
    pub fn forget(&mut self, what: &str) {
        self.changed.retain(|changed| changed != what);
    }

    /// Says that this link executes the app itself, even if that has the name of one of our tools.
    pub fn precede_app(&mut self) {
        self.before_app = true;
    }

    fn step_of(&mut self, name: &str, step: &str) {
        // One line each: an error's text may have several.
        let line = step.replace('\n', "; ");
        self.text.push_str(&format!("{name}: {line}\n"));
    }

    /// Goes on with `words`, what stands behind this link, in place of this process.
    pub(crate) fn go_on(
        mut self,
        words: &[OsString],
        environment: Environment,
    ) -> Result<Infallible> {
        let Some((first, _)) = words.split_first() else {
            return self.end("none is given");
        };
        if names::is_ours(first) && !self.before_app {
            return self.execute(first, words, environment);
        }
        let ours = words.iter().position(|word| name_of_tool(word).is_some());
        let Some(at) = ours.filter(|_| !self.before_app) else {
            let words: Vec<String> = words.iter().map(word).collect();
            let found = match (first.as_encoded_bytes().contains(&b'/'), self.is_changed(ROOT)) {
                (true, true) => "a path in the new root",
                (true, false) => "a path in the present root",
                (false, true) => "found by PATH in the new root",
                (false, false) => "found by PATH",
            };
            return self.end(&format!("executes {}: {found}", words.join(" ")));
        };
        if at > 0 {
            let before: Vec<String> = words[..at].iter().map(word).collect();
            let step = format!(
                "executed as '{}', as no tool of Catena it can't be explained; what follows counts if it goes on with the words behind that",
                before.join(" ")
            );
            self.step_of(&word(first), &step);
        }
        let name = name_of_tool(&words[at]).expect("it was found by that").to_owned();
        self.execute(&name, &words[at..], environment)
    }

    /// Prints what there is, and executes our own tool `name` to explain itself.
    fn execute(
        self,
        name: &OsStr,
        words: &[OsString],
        mut environment: Environment,
    ) -> Result<Infallible> {
        self.print()?;
        let words: Vec<CString> = words.iter().cloned().map(c_string).collect::<Result<_>>()?;
        Handover { explain: Some(self.changed), ..Handover::default() }.put(&mut environment);
        let name = name.to_string_lossy();
        Err(Toolbox::BesideThis.exec(&name, &words, environment.entries()))
    }

    /// Says what becomes of the app, and ends.
    pub(crate) fn end(mut self, app: &str) -> Result<Infallible> {
        self.step_of("app", app);
        self.print()?;
        sys::exit_now(0)
    }

    fn print(&self) -> Result<()> {
        std::io::stdout().write_all(self.text.as_bytes()).or_fail("can't print the explanation")
    }
}

/// The tool that `word` names, alone or at the end of a path.
fn name_of_tool(word: &OsString) -> Option<&OsStr> {
    Path::new(word).file_name().filter(|name| names::is_ours(name))
}

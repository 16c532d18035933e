//! How the next link is executed: one of our tools, or any other program.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use super::Next;
use crate::descriptors;
use crate::environment::Environment;
use crate::error::{Errno, Error, Result, ResultExt};
use crate::handover::Handover;
use crate::names;
use crate::search;
use crate::signal::{Given, SignalSet};
use crate::standard_io;
use crate::start::Start;
use crate::sys;
use crate::terminal::Terminal;
use crate::toolbox::Toolbox;

impl Next {
    /// Starts the chain that a plan stands for in place of this process, with all that this
    /// process was given, as a shell would have started it.
    pub(crate) fn exec_chain(
        chain: Vec<OsString>,
        mut environment: Environment,
    ) -> Result<Infallible> {
        let foreground = Terminal::of_this_session()?.is_some_and(|terminal| terminal.is_lent());
        let given = Given::at_start().or_fail("can't read the signal mask")?;
        let words: Vec<CString> = chain.into_iter().map(c_string).collect::<Result<_>>()?;
        // The first stage of a plan may be a program that is not ours.
        let first = OsString::from_vec(words[0].as_bytes().to_vec());
        Handover { foreground, ..Handover::default() }.put(&mut environment);
        given.restore(given.mask).or_fail("can't restore the signal state")?;
        match first.to_str().filter(|_| names::is_ours(&first)) {
            Some(name) => Err(Toolbox::BesideThis.exec(name, &words, environment.entries())),
            None => Err(exec_file(&first, &words, &environment, || Ok(()))),
        }
    }

    /// Starts the next link in place of this process; returns only if that fails.
    pub fn exec(self) -> Result<Infallible> {
        self.exec_after(|| Ok(()))
    }

    /// Goes on as the next link, which is this program too.
    fn go_on_as(self, follower: fn(Start) -> !) -> Result<Infallible> {
        let is_init = std::process::id() == 1;
        let handover = self.handover(is_init);
        let own = handover.toolbox.iter().chain(&handover.leash);
        let stay: Vec<RawFd> = self.keep.iter().chain(&self.listen).chain(own).copied().collect();
        let mask = if is_init { SignalSet::ALL } else { self.given.mask };
        mask.block().or_fail("can't restore the signal mask")?;
        sys::seem_executed(&self.command).or_fail("can't go on as the next link")?;
        descriptors::close_all_but(stay)?;
        crate::help::forget();
        let start = Start::without_exec(self.command, self.environment, handover);
        sys::begin_stack_anew(Box::new(start), follower)
    }

    /// As [`Next::exec`], with `last` done just before execve(2): what would hinder the steps
    /// that lead there.
    pub fn exec_after(mut self, last: impl FnOnce() -> Result<()>) -> Result<Infallible> {
        if let Some(follower) = self.follower() {
            last()?;
            return self.go_on_as(follower);
        }
        let Some(word) = self.command.first().cloned() else {
            return Err(Error::new("no COMMAND given"));
        };
        let arguments: Vec<CString> =
            std::mem::take(&mut self.command).into_iter().map(c_string).collect::<Result<_>>()?;
        if !names::is_ours(&word) {
            self.refuse_folders()?;
        }
        descriptors::inherit(self.keep.iter().chain(&self.listen).copied())?;
        match word.to_str().filter(|_| names::is_ours(&word)) {
            Some(name) => self.exec_own(name, &arguments, last),
            None => self.exec_foreign(&word, &arguments, last),
        }
    }

    /// As [`Next::exec`], for a link that has entered a running container: COMMAND is the app and
    /// nothing else, found in the current root even if it has the name of one of our tools. `last`
    /// is done just before execve(2).
    pub fn exec_app(mut self, last: impl FnOnce() -> Result<()>) -> Result<Infallible> {
        let Some(word) = self.command.first().cloned() else {
            return Err(Error::new("no COMMAND given"));
        };
        let arguments: Vec<CString> =
            std::mem::take(&mut self.command).into_iter().map(c_string).collect::<Result<_>>()?;
        self.refuse_folders()?;
        descriptors::inherit(self.keep.iter().chain(&self.listen).copied())?;
        self.given.restore(self.given.mask).or_fail("can't restore the signal state")?;
        Err(exec_file(&word, &arguments, &self.environment, last))
    }

    /// One of ours: it gets the toolbox, the leash and, if it will be PID 1, a closed signal mask,
    /// since what arrives before PID 1 is ready for it would be lost (pid_namespaces(7)).
    fn exec_own(
        mut self,
        name: &str,
        arguments: &[CString],
        last: impl FnOnce() -> Result<()>,
    ) -> Result<Infallible> {
        let is_init = std::process::id() == 1;
        let handover = self.handover(is_init);
        descriptors::inherit(handover.toolbox.into_iter().chain(handover.leash))?;
        handover.put(&mut self.environment);
        let mask = if is_init { SignalSet::ALL } else { self.given.mask };
        self.given.restore(mask).or_fail("can't restore the signal state")?;
        last()?;
        Err(self.toolbox.exec(name, arguments, self.environment.entries()))
    }

    /// The app, or a program that stands between two of our tools. What gives power (toolbox,
    /// leash) ends here; the rest is passed on only where one of our names follows.
    fn exec_foreign(
        mut self,
        word: &OsStr,
        arguments: &[CString],
        last: impl FnOnce() -> Result<()>,
    ) -> Result<Infallible> {
        if arguments.iter().any(names_a_tool) {
            let stdin = standard_io::inode_of_input();
            Handover { stdin, ..self.public_handover() }.put(&mut self.environment);
        }
        self.given.restore(self.given.mask).or_fail("can't restore the signal state")?;
        Err(exec_file(word, arguments, &self.environment, last))
    }

    /// What one of ours is told.
    fn handover(&self, is_init: bool) -> Handover {
        Handover {
            toolbox: self.toolbox.descriptor(),
            leash: self.leash.as_ref().map(AsRawFd::as_raw_fd),
            mask: is_init.then_some(self.given.mask),
            ..self.public_handover()
        }
    }

    /// What stands in the environment of a program that is not ours too.
    fn public_handover(&self) -> Handover {
        Handover {
            keep: self.keep.clone(),
            mount_namespace: self.mount_namespace,
            foreground: self.terminal.as_ref().is_some_and(Terminal::is_lent),
            ..Handover::default()
        }
    }
}

/// Executes a program that is not ours, after `last`; returns only if one of them fails.
fn exec_file(
    word: &OsStr,
    arguments: &[CString],
    environment: &Environment,
    last: impl FnOnce() -> Result<()>,
) -> Error {
    let tried = search::find(word, environment.get("PATH")).and_then(|file| {
        let path = c_string(file.clone().into_os_string())?;
        last()?;
        let Err(errno) = nix::unistd::execve(&path, arguments, environment.entries());
        let error = Error::new("can't execute")
            .object(word)
            .because(errno)
            .with_status(search::status_of_failed_exec(errno));
        Err::<Infallible, _>(match search::explain_failed_exec(errno, &file) {
            Some(hint) => error.hint(hint),
            None => error,
        })
    });
    let Err(error) = tried;
    error
}

/// Whether an argument is one of our names, alone or at the end of a path.
fn names_a_tool(argument: &CString) -> bool {
    let word = OsString::from_vec(argument.as_bytes().to_vec());
    Path::new(&word).file_name().is_some_and(names::is_ours)
}

/// The word as execve(2) takes it.
pub(crate) fn c_string(word: OsString) -> Result<CString> {
    CString::new(word.into_vec())
        .map_err(|_| Error::new("can't pass on a word with a NUL byte").because(Errno::EINVAL))
}

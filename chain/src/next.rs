//! The next link of the chain: what it is, what it is given, and how it is started.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

use crate::descriptors;
use crate::environment::Environment;
use crate::error::{Errno, Error, Result, ResultExt};
use crate::handover::Handover;
use crate::leash;
use crate::names;
use crate::search;
use crate::signal::{Given, SignalSet};
use crate::standard_io;
use crate::sys;
use crate::terminal::Terminal;
use crate::toolbox::Toolbox;

/// The next link, and all that passes through this one to it.
#[derive(Debug)]
pub struct Next {
    command: Vec<OsString>,
    environment: Environment,
    given: Given,
    toolbox: Toolbox,
    leash: Option<OwnedFd>,
    /// `--keep-fd` of this link and those before.
    keep: Vec<RawFd>,
    /// The descriptors of LISTEN_FDS, if they are for this process.
    listen: Vec<RawFd>,
    mount_namespace: Option<u64>,
    /// The controlling terminal.
    pub(crate) terminal: Option<Terminal>,
}

impl Next {
    /// Takes stock of what this process was given, and closes everything else to the next exec.
    pub(crate) fn new(
        command: Vec<OsString>,
        mut environment: Environment,
        handover: Option<Handover>,
        keep_fd: &[RawFd],
    ) -> Result<Self> {
        let terminal = match &handover {
            None => Terminal::of_this_session()?,
            Some(handover) => Terminal::handed_on(handover.foreground)?,
        };
        let handover = handover.unwrap_or_default();
        let mut given = Given::at_start().or_fail("can't read the signal mask")?;
        if let Some(mask) = handover.mask {
            given.mask = mask;
        }
        let listen = descriptors::listen_fds(&environment)?;
        let mut keep = handover.keep;
        for &fd in keep_fd {
            descriptors::check_kept(fd)?;
            if !keep.contains(&fd) {
                keep.push(fd);
            }
        }
        descriptors::close_all_on_exec()?;
        let adopted = handover.leash.map(sys::adopt).transpose();
        let leash = adopted.or_fail("can't take over the leash")?;
        if !listen.is_empty() {
            // It names the first link's pidfd of itself (systemd 260), not the app's.
            environment.remove("LISTEN_PIDFDID");
        }
        Ok(Next {
            command,
            environment,
            given,
            toolbox: Toolbox::from_handover(handover.toolbox)?,
            leash,
            keep,
            listen,
            mount_namespace: handover.mount_namespace,
            terminal,
        })
    }

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

    /// The words of the next link.
    pub fn command(&self) -> &[OsString] {
        &self.command
    }

    /// The environment of the next link, to be changed.
    pub fn environment(&mut self) -> &mut Environment {
        &mut self.environment
    }

    /// The inode of the mount namespace that a link before this one made for the chain.
    pub fn mount_namespace(&self) -> Option<u64> {
        self.mount_namespace
    }

    /// Tells the links to come that this mount namespace was made for the chain.
    pub fn set_mount_namespace(&mut self, inode: Option<u64>) {
        self.mount_namespace = inode;
    }

    /// Gives the links to come the toolbox `folder`, a detached mount.
    pub fn set_toolbox(&mut self, folder: OwnedFd) {
        self.toolbox = Toolbox::Detached(folder);
    }

    /// Whether the toolbox has been detached already by a link before.
    pub fn has_detached_toolbox(&self) -> bool {
        matches!(self.toolbox, Toolbox::Detached(_))
    }

    /// Lets the app inherit `fds` under the numbers from `first` on, in that order. Our own
    /// descriptors make room; the caller must own no other of those numbers.
    pub fn give(&mut self, first: RawFd, fds: Vec<OwnedFd>) -> Result<()> {
        let numbers = self.place(first, fds)?;
        self.keep.extend(numbers);
        Ok(())
    }

    /// Hands on sockets with their names as systemd does (sd_listen_fds(3)), after those that this
    /// process was itself handed. The caller must own no other descriptor of the numbers from 3 on.
    pub fn listen(&mut self, names: &[String], sockets: Vec<OwnedFd>) -> Result<()> {
        let given = self.listen.len();
        let mut all: Vec<String> = match self.environment.get("LISTEN_FDNAMES") {
            Some(list) if given > 0 => list.to_string_lossy().split(':').map(Into::into).collect(),
            _ => Vec::new(),
        };
        all.resize(given, "unknown".to_owned());
        all.extend_from_slice(names);
        let numbers = self.place(descriptors::LISTEN_FDS_START + given as RawFd, sockets)?;
        self.listen.extend(numbers);
        self.environment.set("LISTEN_FDS", self.listen.len().to_string());
        self.environment.set("LISTEN_FDNAMES", all.join(":"));
        self.environment.set("LISTEN_PID", std::process::id().to_string());
        self.environment.remove("LISTEN_PIDFDID");
        Ok(())
    }

    fn place(&mut self, first: RawFd, fds: Vec<OwnedFd>) -> Result<Range<RawFd>> {
        let what = "can't hand on descriptor";
        let numbers = first..first + fds.len() as RawFd;
        for number in numbers.clone() {
            if self.keep.contains(&number) || self.listen.contains(&number) {
                let error = Error::new(what).object(number.to_string());
                return Err(error.reason("another one has that number already"));
            }
        }
        let above = |fd: &OwnedFd| -> Result<OwnedFd> {
            let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(numbers.end)).or_fail(what)?;
            sys::adopt(number).or_fail(what)
        };
        let toolbox = match &mut self.toolbox {
            Toolbox::Detached(folder) => Some(folder),
            Toolbox::BesideThis => None,
        };
        let terminal = self.terminal.as_mut().map(Terminal::descriptor);
        for own in self.leash.iter_mut().chain(toolbox).chain(terminal) {
            *own = above(own)?;
        }
        let moved: Vec<OwnedFd> = fds.iter().map(above).collect::<Result<_>>()?;
        drop(fds);
        for (fd, number) in moved.into_iter().zip(numbers.clone()) {
            sys::place(fd, number).or_fail_on(what, number.to_string())?;
        }
        Ok(numbers)
    }

    /// Takes descriptor `number`, which the command line names, for this link: the app doesn't
    /// get it.
    pub fn take(&mut self, number: RawFd) -> Result<OwnedFd> {
        let leash = self.leash.as_ref().map(AsRawFd::as_raw_fd);
        let taken = leash == Some(number) || self.toolbox.descriptor() == Some(number);
        if number < 3 || taken || self.listen.contains(&number) {
            return Err(Error::new("can't use descriptor")
                .object(number.to_string())
                .reason("it has another use in this chain"));
        }
        self.keep.retain(|kept| *kept != number);
        sys::adopt(number).or_fail_on("can't use descriptor", number.to_string())
    }

    /// The folder that the next link is executed from, if it is one of ours: for a rule that is
    /// to let it through.
    pub fn own_folder(&self) -> Result<Option<OwnedFd>> {
        match self.command.first() {
            Some(word) if names::is_ours(word) => self.toolbox.open().map(Some),
            _ => Ok(None),
        }
    }

    /// In a forked child: a descriptor that is hung up once the monitor is gone (poll(2)).
    pub fn leash(&self) -> Result<OwnedFd> {
        let leash = self.leash.as_ref().ok_or_else(|| Error::new("no monitor"))?;
        leash.try_clone().or_fail("can't duplicate a descriptor")
    }

    /// Runs `change`, which changes credentials, without coming loose from the monitor.
    pub fn change_credentials<T>(&self, change: impl FnOnce() -> Result<T>) -> Result<T> {
        leash::rearm(self.leash.as_ref().map(AsFd::as_fd), change)
    }

    /// Starts the next link in place of this process; returns only if that fails.
    pub fn exec(self) -> Result<Infallible> {
        self.exec_after(|| Ok(()))
    }

    /// As [`Next::exec`], with `last` done just before execve(2): what would hinder the steps
    /// that lead there.
    pub fn exec_after(mut self, last: impl FnOnce() -> Result<()>) -> Result<Infallible> {
        let Some(word) = self.command.first().cloned() else {
            return Err(Error::new("no COMMAND given"));
        };
        let arguments: Vec<CString> =
            std::mem::take(&mut self.command).into_iter().map(c_string).collect::<Result<_>>()?;
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
        let handover = Handover {
            toolbox: self.toolbox.descriptor(),
            leash: self.leash.as_ref().map(AsRawFd::as_raw_fd),
            mask: is_init.then_some(self.given.mask),
            ..self.public_handover()
        };
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

    fn public_handover(&self) -> Handover {
        Handover {
            keep: self.keep.clone(),
            mount_namespace: self.mount_namespace,
            foreground: self.terminal.as_ref().is_some_and(Terminal::is_lent),
            ..Handover::default()
        }
    }

    /// Whether the next link is one of ours and is executed from the toolbox that was detached.
    pub(crate) fn passes_toolbox_on(&self) -> bool {
        self.has_detached_toolbox() && self.command.first().is_some_and(|word| names::is_ours(word))
    }

    /// Lets go of the toolbox, where no link to come is executed from it.
    pub(crate) fn close_toolbox(&mut self) {
        self.toolbox = Toolbox::BesideThis;
    }

    /// All descriptors that are the child's and not its monitor's, once the toolbox is closed.
    /// Standard error stays for messages.
    pub(crate) fn descriptors(&self) -> Vec<RawFd> {
        let own = [
            self.leash.as_ref().map(AsRawFd::as_raw_fd),
            self.terminal.as_ref().map(Terminal::number),
        ];
        let given = [0, 1].iter().chain(&self.keep).chain(&self.listen).copied();
        own.into_iter().flatten().chain(given).collect()
    }

    /// In the monitor after the fork: drops what is the child's. Standard error stays for messages.
    pub(crate) fn abandon(self) {
        for fd in [0, 1].iter().chain(&self.keep).chain(&self.listen) {
            // They may be one and the same, or closed: nothing to do about either.
            drop(sys::adopt(*fd));
        }
    }

    /// In the child after the fork: takes the leash, and rewrites the variables that name a
    /// process, if they named the one that forked. Another's number has no meaning in a new PID
    /// namespace, where it may be this child's by chance: such a variable goes.
    pub(crate) fn become_child(&mut self, leash: OwnedFd, forker: u32, new_pid_namespace: bool) {
        self.leash = Some(leash);
        for name in ["LISTEN_PID", "WATCHDOG_PID"] {
            let named = self.environment.get(name).and_then(OsStr::to_str);
            if named.and_then(|pid| pid.parse().ok()) == Some(forker) {
                self.environment.set(name, std::process::id().to_string());
            } else if new_pid_namespace {
                self.environment.remove(name);
            }
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

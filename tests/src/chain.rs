//! A chain to be run.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Gid;

use crate::birth::{self, Birth};
use crate::terminal::Terminal;
use crate::{Cell, Outcome, Running, Seen, User, sys, toolbox};

/// A chain as a user would type it, and the circumstances in which it is started.
///
/// The environment is empty but for a PATH that begins with the toolbox; stdin is /dev/null;
/// the working directory is /.
#[derive(Debug)]
pub struct Chain {
    user: User,
    words: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    directory: PathBuf,
    stdin: Option<Vec<u8>>,
    birth: Birth,
    cell: Option<Rc<Cell>>,
    deadline: Duration,
    leaves_processes: bool,
}

impl Chain {
    /// The command in `line`: words with blanks between them, nothing is quoted. A word which is
    /// the name of a tool is that tool; `{probe}` is the probe's path outside.
    pub fn new(user: User, line: &str) -> Chain {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", toolbox::folder().display());
        Chain {
            user,
            words: Vec::new(),
            environment: vec![("PATH".into(), path.into())],
            directory: PathBuf::from("/"),
            stdin: None,
            birth: Birth::of(user),
            cell: None,
            deadline: Duration::from_secs(20),
            leaves_processes: false,
        }
        .args(line.split_whitespace())
    }

    /// Adds one word, as it is but for `{probe}`.
    pub fn arg(mut self, word: impl AsRef<OsStr>) -> Chain {
        let word = word.as_ref();
        self.words.push(match word.to_str() {
            Some("{probe}") => toolbox::probe().into(),
            _ => word.to_owned(),
        });
        self
    }

    /// Adds words.
    pub fn args<W: AsRef<OsStr>>(self, words: impl IntoIterator<Item = W>) -> Chain {
        words.into_iter().fold(self, Chain::arg)
    }

    /// Makes the user a member of these groups. Only root can.
    pub fn groups(mut self, groups: &[u32]) -> Chain {
        self.birth.groups = groups.iter().copied().map(Gid::from_raw).collect();
        self
    }

    /// Gives it a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Chain {
        self.environment.retain(|(present, _)| present != name);
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Starts it in this directory.
    pub fn directory(mut self, path: impl Into<PathBuf>) -> Chain {
        self.directory = path.into();
        self
    }

    /// Gives it a pipe on stdin that this text comes from; at most what a pipe holds.
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Chain {
        self.stdin = Some(text.into());
        self
    }

    /// Lets it inherit `file` as the descriptor `number`.
    pub fn descriptor(mut self, number: RawFd, file: impl Into<OwnedFd>) -> Chain {
        let high = sys::duplicate_high(file.into().as_fd()).expect("F_DUPFD_CLOEXEC");
        self.birth.descriptors.push((high, number));
        self
    }

    /// Starts it with `number`, one of 0 to 2, closed.
    pub fn closed(mut self, number: RawFd) -> Chain {
        self.birth.closed.push(number);
        self
    }

    /// Starts it with `signal` ignored.
    pub fn ignoring(mut self, signal: Signal) -> Chain {
        self.birth.ignored.push(signal);
        self
    }

    /// Starts it with `signal` blocked.
    pub fn blocking(mut self, signal: Signal) -> Chain {
        self.birth.blocked.add(signal);
        self
    }

    /// Lays `source` over `target` for the chain alone. Only root can.
    pub fn cover(mut self, source: &Path, target: &str) -> Chain {
        self.birth.covers.push((birth::c_string(source), birth::c_string(Path::new(target))));
        self
    }

    /// Starts it in `cell`, to be looked at afterwards.
    pub fn in_cell(mut self, cell: &Rc<Cell>) -> Chain {
        self.cell = Some(Rc::clone(cell));
        self
    }

    /// Fails if it runs for longer than this.
    pub fn deadline(mut self, limit: Duration) -> Chain {
        self.deadline = limit;
        self
    }

    /// Processes of it may live on when it is over: without a PID namespace, nobody ends them.
    pub fn leaves_processes(mut self) -> Chain {
        self.leaves_processes = true;
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Running {
        let mut command = self.command();
        command.stdin(self.take_stdin()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.launch(command, None)
    }

    /// Starts it on a terminal of its own: stdin, stdout and stderr. What stands on the terminal
    /// counts as its stdout.
    pub fn start_on(mut self, terminal: &mut Terminal) -> Running {
        self.birth.terminal = true;
        let inner = terminal.take_inner();
        let side = || Stdio::from(inner.try_clone().expect("dup"));
        let mut command = self.command();
        command.stdin(side()).stdout(side()).stderr(side());
        drop(inner);
        self.launch(command, Some(terminal.output()))
    }

    fn command(&self) -> Command {
        let (first, rest) = self.words.split_first().expect("a chain has a first word");
        let program = match first.to_str() {
            Some(name) if toolbox::TOOLS.contains(&name) => toolbox::tool(name).into(),
            _ => first.clone(),
        };
        let mut command = Command::new(program);
        command.args(rest).env_clear().envs(self.environment.iter().cloned());
        command.current_dir(&self.directory);
        command
    }

    fn take_stdin(&mut self) -> Stdio {
        match self.stdin.take() {
            None => File::open("/dev/null").expect("open /dev/null").into(),
            Some(text) => {
                let (reader, mut writer) = std::io::pipe().expect("pipe");
                assert!(text.len() <= 65536, "stdin must fit in a pipe");
                writer.write_all(&text).expect("write to a pipe");
                reader.into()
            }
        }
    }

    fn launch(mut self, mut command: Command, output: Option<OwnedFd>) -> Running {
        // Where no cell can be made, a chain that needs none runs all the same.
        let cell = self.cell.take().or_else(|| Cell::new(self.user).ok().map(Rc::new));
        let mut birth = self.birth;
        birth.doors = cell.as_ref().map(|cell| cell.doors()).unwrap_or_default();
        birth.prepare(&mut command);
        let text = shown(&self.words);
        let spawned = command.spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("start {text}: {error}"));
        let stdout = output.or_else(|| child.stdout.take().map(OwnedFd::from));
        let outputs = [stdout, child.stderr.take().map(OwnedFd::from)];
        let leaves = self.leaves_processes;
        Running::new(child, outputs, text, self.user, cell, self.deadline, leaves)
    }

    /// Runs it to its end.
    #[track_caller]
    pub fn run(self) -> Outcome {
        self.start().finish()
    }

    /// Runs it, whose app is the probe, and gives what the probe saw.
    #[track_caller]
    pub fn see(self) -> Seen {
        self.run().seen()
    }
}

/// The command as one would type it.
fn shown(words: &[OsString]) -> String {
    let quoted = |word: &OsString| {
        let text = word.to_string_lossy();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:%@".contains(c);
        match !text.is_empty() && text.chars().all(plain) {
            true => text.into_owned(),
            false => format!("'{}'", text.replace('\'', r"'\''")),
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

//! An interactive shell on a terminal, and somebody who types at it.

use std::time::Duration;

use nix::sys::termios::LocalFlags;

use crate::terminal::Terminal;
use crate::{Chain, Outcome, Running, User, need};

/// The shells that terminals are tested with.
pub const SHELLS: [&str; 3] = ["dash -i", "bash --norc --noprofile -i", "busybox sh -i"];

/// A shell with job control.
#[derive(Debug)]
pub struct Shell {
    terminal: Terminal,
    running: Running,
    count: u32,
    /// The shell's process group.
    group: i32,
}

impl Shell {
    /// Starts the one of `line`.
    pub fn start(user: User, line: &str) -> Result<Shell, String> {
        need::program(line.split(' ').next().unwrap_or_default())?;
        let mut terminal = Terminal::new()?;
        let chain = Chain::new(user, line).env("PS1", "> ").env("TERM", "dumb");
        let chain = chain.deadline(Duration::from_secs(60));
        let running = chain.start_on(&mut terminal);
        let group = running.pid();
        let mut shell = Shell { terminal, running, count: 0, group };
        shell.wait_until_back();
        Ok(shell)
    }

    /// Types a line.
    pub fn line(&mut self, text: &str) {
        self.type_in(&format!("{text}\n"));
    }

    /// Types `text` as it is.
    pub fn type_in(&mut self, text: &str) {
        self.terminal.type_in(text);
    }

    /// Types a line that the shell itself is to execute, and gives what `$?` was before.
    #[track_caller]
    pub fn status(&mut self) -> i32 {
        self.count += 1;
        let number = self.count;
        // What is typed does not contain what is printed.
        self.line(&format!("echo \"<\"{number}\":$?>\""));
        let front = format!("<{number}:");
        self.running.wait_for(&front);
        self.running.wait_for_after(&front, ">");
        let text = self.running.stdout();
        let (_, rest) = text.split_once(&front).expect("waited for");
        let (status, _) = rest.split_once('>').expect("waited for");
        status.parse().expect("a status")
    }

    /// Waits until the shell reads what is typed.
    #[track_caller]
    pub fn wait_until_back(&mut self) {
        self.wait_for_foreground("the shell is in the foreground", true);
        self.status();
    }

    /// Waits until the shell has made a job the one that reads what is typed.
    #[track_caller]
    pub fn wait_until_gone(&mut self) {
        self.wait_for_foreground("a job is in the foreground", false);
    }

    /// Waits until program `name` reads what is typed; gives its process group.
    #[track_caller]
    pub fn wait_until_lent(&mut self, name: &str) -> i32 {
        let terminal = &self.terminal;
        let leader = || {
            let group = terminal.foreground();
            let name = std::fs::read_to_string(format!("/proc/{group}/comm")).unwrap_or_default();
            if group == self.group { String::new() } else { name }
        };
        self.running
            .wait_until(&format!("{name} is in the foreground"), || leader().trim() == name);
        self.terminal.foreground()
    }

    #[track_caller]
    fn wait_for_foreground(&mut self, what: &str, own: bool) {
        let (terminal, group) = (&self.terminal, self.group);
        self.running.wait_until(what, || (terminal.foreground() == group) == own);
    }

    /// Waits until the shell is back, and fails unless `$?` is `status` then.
    #[track_caller]
    pub fn wait_for_status(&mut self, status: i32) {
        self.wait_for_foreground("the shell is in the foreground", true);
        assert_eq!(self.status(), status, "{}", self.text());
    }

    /// Types `word` to an app that prints what it reads, and waits until it has.
    #[track_caller]
    pub fn hears(&mut self, word: &str) {
        self.line(word);
        // Once by the terminal, once by the app.
        self.running.wait_for_after(&format!("{word}\r\n"), &format!("{word}\r\n"));
    }

    /// Waits until `text` stands on the terminal.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        self.running.wait_for(text);
    }

    /// Waits until `text` stands on the terminal behind all that stood there `before`.
    #[track_caller]
    pub fn wait_until_grown(&mut self, before: &str, text: &str) {
        self.running.wait_for_after(before, text);
    }

    /// Waits until `true_at_last` says so.
    #[track_caller]
    pub fn wait_until(&self, what: &str, true_at_last: impl FnMut() -> bool) {
        self.running.wait_until(what, true_at_last);
    }

    /// All that stands on the terminal.
    pub fn text(&self) -> String {
        self.running.stdout()
    }

    /// The terminal.
    pub fn terminal(&self) -> &Terminal {
        &self.terminal
    }

    /// Whether the terminal gives whole lines to its reader, as it did at the start.
    pub fn reads_lines(&self) -> bool {
        self.terminal.modes().local_flags.contains(LocalFlags::ICANON)
    }

    /// The processes below the shell, from the job's first one on inwards.
    pub fn job(&self) -> Vec<i32> {
        let mut found = vec![self.group];
        let mut next = 0;
        while let Some(pid) = found.get(next) {
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let children = children.unwrap_or_default();
            found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
            next += 1;
        }
        found.remove(0);
        found
    }

    /// Leaves it.
    #[track_caller]
    pub fn exit(mut self) -> Outcome {
        self.line("exit 0");
        let outcome = self.running.finish();
        assert_eq!(outcome.ended, Some(0.into()), "{outcome}");
        outcome
    }
}

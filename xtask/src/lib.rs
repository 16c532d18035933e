//! The manual pages and the completions of all tools, made from their command lines and from the
//! texts under docs/man.

#![forbid(unsafe_code)]

pub mod bash;
pub mod fish;
pub mod manual;
pub mod roff;

use chain::help;
use clap::Command;
use clap_complete::Shell;

/// One file to be written.
pub struct Document {
    /// Its name, in the folder of its kind.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// The command lines of all tools, by name.
pub fn commands() -> Vec<Command> {
    vec![
        help::command::<cgroup_tool::cg_enter::CgEnter>(),
        help::command::<cgroup_tool::cg_signal::CgSignal>(),
        help::command::<cgroup_tool::cg_stat::CgStat>(),
        help::command::<doctor_tool::ChainDoctor>(),
        help::command::<pivot_tool::FsPivot>(),
        help::command::<notify_tool::ListenFds>(),
        help::command::<init_tool::MiniInit>(),
        help::command::<notify_tool::NotifyBridge>(),
        help::command::<unshare_tool::ns_enter::NsEnter>(),
        help::command::<unshare_tool::NsUnshare>(),
        help::command::<caps_tool::PrivDrop>(),
    ]
}

/// All manual pages.
pub fn manuals() -> Vec<Document> {
    let mut pages: Vec<Document> = commands().iter().map(manual::page).collect();
    pages.push(manual::overview());
    pages
}

/// The script with the words from COMMAND on left to COMMAND's own completion.
fn with_command(script: &str) -> String {
    let line = |line: &str| match line.starts_with("'*::command --") {
        true => "'*:::command:_normal' \\\n".to_owned(),
        false => format!("{line}\n"),
    };
    let script: String = script.lines().map(line).collect();
    script.replace("_arguments_options=(-s -S -C)", "_arguments_options=(-s -S -C -A '-*')")
}

/// The completions of all tools for zsh.
pub fn zsh() -> Vec<Document> {
    let one = |mut command: Command| {
        let name = command.get_name().to_owned();
        let mut text = Vec::new();
        clap_complete::generate(Shell::Zsh, &mut command, &name, &mut text);
        let text = String::from_utf8(text).expect("a completion script is text");
        let text = with_command(&text);
        Document { name: format!("_{name}"), text }
    };
    commands().into_iter().map(one).collect()
}

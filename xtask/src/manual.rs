//! A manual page: what clap knows of the arguments, and around it what is written by hand.

use chain::help;
use clap::Command;
use clap_mangen::Man;

use crate::{Document, roff};

/// The sections written by hand: for each tool what follows its options.
const TEXTS: &[(&str, &str)] = &[
    ("cg-enter", include_str!("../../docs/man/cg-enter.txt")),
    ("cg-signal", include_str!("../../docs/man/cg-signal.txt")),
    ("cg-stat", include_str!("../../docs/man/cg-stat.txt")),
    ("chain-doctor", include_str!("../../docs/man/chain-doctor.txt")),
    ("fs-pivot", include_str!("../../docs/man/fs-pivot.txt")),
    ("listen-fds", include_str!("../../docs/man/listen-fds.txt")),
    ("mini-init", include_str!("../../docs/man/mini-init.txt")),
    ("notify-bridge", include_str!("../../docs/man/notify-bridge.txt")),
    ("ns-enter", include_str!("../../docs/man/ns-enter.txt")),
    ("ns-unshare", include_str!("../../docs/man/ns-unshare.txt")),
    ("priv-drop", include_str!("../../docs/man/priv-drop.txt")),
];

/// The day of the last change to what the pages say.
const DATE: &str = "2026-11-23";

const EXIT_STATUS: &str = include_str!("../../docs/man/exit-status.txt");
const TAKES_ALL: &str = "a Vec takes all";
const OVERVIEW: &str = include_str!("../../docs/man/catena.txt");

/// The manual page of one tool.
pub fn page(command: &Command) -> Document {
    let name = command.get_name().to_owned();
    let (_, text) = TEXTS.iter().find(|(tool, _)| *tool == name).expect("each tool has a text");
    let mut page = title(&name, "1");
    page.push_str(&arguments(command.clone()));
    page.push_str(&roff::from_text(&explanation(command)));
    page.push_str(".SH EXAMPLES\n");
    page.push_str(&roff::from_text(&spaced(help::examples(&name))));
    if command.get_arguments().any(|argument| argument.get_id() == "keep_fd") {
        page.push_str(&roff::from_text(EXIT_STATUS));
    }
    page.push_str(&roff::from_text(text));
    Document { name: format!("{name}.1"), text: page }
}

/// catena(7).
pub fn overview() -> Document {
    let page = format!("{}{}", title("catena", "7"), roff::from_text(OVERVIEW));
    Document { name: "catena.7".to_owned(), text: page }
}

fn title(name: &str, section: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {} {section} \"{DATE}\" \"Catena {version}\" \"Catena\"\n", name.to_uppercase())
}

/// Name, synopsis, description and options; the synopsis is that of `--help`, the rest what
/// clap_mangen writes.
fn arguments(mut command: Command) -> String {
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace('-', "\\-");
    let man = Man::new(command);
    let mut page = Vec::new();
    man.render_name_section(&mut page).expect(TAKES_ALL);
    page.extend(format!(".SH SYNOPSIS\n{usage}\n").bytes());
    man.render_description_section(&mut page).expect(TAKES_ALL);
    man.render_options_section(&mut page).expect(TAKES_ALL);
    tidy(&String::from_utf8(page).expect("a manual page is text"))
}

/// Without the line breaks that stand beside a space between paragraphs anyway, and with
/// backslashes that every formatter prints.
fn tidy(page: &str) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let is_space = |at: Option<usize>| {
        at.and_then(|at| lines.get(at)).is_some_and(|line| line.is_empty() || *line == ".sp")
    };
    let kept = lines.iter().enumerate().filter(|&(at, &line)| {
        line != ".br" || !(is_space(at.checked_sub(1)) || is_space(Some(at + 1)))
    });
    kept.map(|(_, line)| line.replace("\\\\", "\\e") + "\n").collect()
}

/// What the tool's `--help` explains below its options, the examples aside.
fn explanation(command: &Command) -> String {
    let help = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    match help.split_once("Examples:\n") {
        Some((text, _)) if !text.trim().is_empty() => format!("# Details\n{}\n", text.trim_end()),
        _ => String::new(),
    }
}

/// Examples with a blank line before each line that says what the next one is.
fn spaced(examples: &str) -> String {
    examples.lines().fold(String::new(), |text, line| match line.starts_with("  ") {
        true => format!("{text}{line}\n"),
        false if text.is_empty() => format!("{line}\n"),
        false => format!("{text}\n{line}\n"),
    })
}

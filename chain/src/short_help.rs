//! `-h`: one line for each option, by groups, that fit a screen; and `--help WORD`: the options
//! that WORD is part of, in full.

use clap::{Arg, Command};

use crate::help;

/// The longest line.
const WIDTH: usize = 80;
/// Where an option's explanation begins.
const INDENT: usize = 27;
/// A group of more options than that is listed by names.
const MOST_LINES: usize = 16;

/// The text of `-h`.
pub fn render(command: &Command) -> String {
    let mut command = command.clone();
    let name = command.get_name().to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut text = wrapped(&about, 0) + "\n";
    text.push_str(&format!("{}\n", command.render_usage()));
    let arguments = command.get_positionals().filter(|one| one.get_id() != "command");
    for one in arguments {
        text.push_str(&line(&format!("  <{}>", names(one)), one));
    }
    for heading in headings(&command) {
        let group: Vec<&Arg> = command
            .get_opts()
            .chain(command.get_arguments().filter(|one| is_flag(one)))
            .filter(|one| one.get_help_heading() == heading && !one.is_hide_short_help_set())
            .filter(|one| !is_clap_s_own(one))
            .collect();
        let group = in_order(&command, &group);
        if group.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{}:\n", heading.unwrap_or("Options")));
        if group.len() > MOST_LINES {
            let list: Vec<String> = group.iter().map(|one| spelling(one)).collect();
            text.push_str(&wrapped(&list.join("  "), 2));
        } else {
            group.iter().for_each(|one| text.push_str(&line(&format!("  {}", spelling(one)), one)));
        }
    }
    let common: Vec<String> =
        command.get_arguments().filter(|one| help::is_of_any_link(one)).map(long).collect();
    if !common.is_empty() {
        text.push_str(&wrapped(&format!("Any link of a chain: {}", common.join(" ")), 0));
    }
    let examples: String =
        help::examples(&name).lines().map(|line| format!("  {line}\n")).collect();
    text.push_str(&format!("\nExamples:\n{examples}"));
    text.push_str(&format!("\nIn full: {name} --help [OPTION], man {name}\n"));
    text
}

/// What `--help WORD` says: the options in whose name WORD is.
pub fn about(command: &Command, word: &str) -> Option<String> {
    let word = word.trim_start_matches('-').to_ascii_lowercase();
    let names_it = |one: &&Arg| one.get_long().is_some_and(|long| long.contains(&word));
    let found: Vec<&Arg> = command.get_arguments().filter(names_it).collect();
    let exact = found.iter().find(|one| one.get_long() == Some(&word)).map(|one| vec![*one]);
    let found = exact.unwrap_or(found);
    if word.is_empty() || found.is_empty() {
        return None;
    }
    let one = |one: &&Arg| {
        let said = one.get_long_help().or(one.get_help()).map(ToString::to_string);
        let values: Vec<String> = one
            .get_possible_values()
            .iter()
            .map(|value| match value.get_help() {
                Some(help) => format!("{} ({help})", value.get_name()),
                None => value.get_name().to_owned(),
            })
            .collect();
        let values = match values.is_empty() || !one.get_action().takes_values() {
            true => String::new(),
            false => wrapped(&format!("One of: {}", values.join(", ")), 6),
        };
        format!("  {}\n{}{values}", spelling(one), wrapped(&said.unwrap_or_default(), 6))
    };
    Some(found.iter().map(one).collect::<Vec<_>>().join("\n"))
}

/// `-h` and `-V`, which the last line tells of.
fn is_clap_s_own(one: &Arg) -> bool {
    one.get_id() == "help" || one.get_id() == "version"
}

fn is_flag(one: &Arg) -> bool {
    !one.is_positional() && !one.get_action().takes_values()
}

/// The headings in the order of their first options.
fn headings(command: &Command) -> Vec<Option<&str>> {
    let mut found = Vec::new();
    for one in command.get_arguments().filter(|one| !one.is_positional()) {
        let heading = one.get_help_heading();
        if !one.is_hide_short_help_set() && !found.contains(&heading) {
            found.push(heading);
        }
    }
    // What is in no group comes last.
    found.sort_by_key(Option::is_none);
    found
}

fn in_order<'a>(command: &'a Command, group: &[&Arg]) -> Vec<&'a Arg> {
    let is_in = |one: &&Arg| group.iter().any(|other| other.get_id() == one.get_id());
    command.get_arguments().filter(is_in).collect()
}

fn long(one: &Arg) -> String {
    format!("--{}", one.get_long().unwrap_or_default())
}

fn names(one: &Arg) -> String {
    let names = one.get_value_names().unwrap_or_default();
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
}

fn spelling(one: &Arg) -> String {
    let short = one.get_short().map(|letter| format!("-{letter}, ")).unwrap_or_default();
    let value = match (one.get_action().takes_values(), one.is_require_equals_set()) {
        (false, _) => String::new(),
        (true, true) => format!("[={}]", names(one)),
        (true, false) => format!(" {}", names(one)),
    };
    format!("{short}{}{value}", long(one))
}

/// A name and the first clause of what it means, in one line.
fn line(name: &str, one: &Arg) -> String {
    let help = one.get_help().map(ToString::to_string).unwrap_or_default();
    let gap = INDENT.saturating_sub(name.chars().count()).max(2);
    let room = WIDTH.saturating_sub(name.chars().count() + gap);
    format!("{name}{}{}\n", " ".repeat(gap), clause(&help, room))
}

/// As much of the beginning of `help` as `room` holds, to the end of a clause if there is one.
fn clause(help: &str, room: usize) -> String {
    let help = help.split(". ").next().unwrap_or_default();
    if help.chars().count() <= room {
        return help.to_owned();
    }
    let ends = ["; ", ": ", " (", " ["].iter().flat_map(|mark| help.match_indices(mark));
    let fitting = ends.map(|(at, _)| at).filter(|at| (room / 3..=room).contains(at)).max();
    if let Some(at) = fitting {
        return help[..at].to_owned();
    }
    let cut = help.match_indices(' ').map(|(at, _)| at).take_while(|at| at + 4 <= room).last();
    format!("{} ...", &help[..cut.unwrap_or(0)])
}

/// `text` in lines of at most [`WIDTH`], each indented.
fn wrapped(text: &str, indent: usize) -> String {
    let mut lines = String::new();
    let mut current = " ".repeat(indent);
    let mut is_empty = true;
    for (part, gap) in text.split(' ').map(|part| (part, 1)) {
        if !is_empty && current.chars().count() + gap + part.chars().count() > WIDTH {
            lines.push_str(current.trim_end());
            lines.push('\n');
            current = " ".repeat(indent);
            is_empty = true;
        }
        if !is_empty {
            current.push(' ');
        }
        current.push_str(part);
        is_empty = false;
    }
    lines + current.trim_end() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clause_ends_where_a_reader_stops() {
        assert_eq!(clause("Short", 10), "Short");
        assert_eq!(clause("Join it; and then some more of it", 20), "Join it");
        assert_eq!(clause("Join a, b, c and some more", 20), "Join a, b, c and ...");
        assert_eq!(clause("A word without any mark in between", 20), "A word without ...");
        assert_eq!(clause("One. Two", 20), "One");
    }

    #[test]
    fn lines_are_wrapped() {
        let text = "word ".repeat(40);
        let lines = wrapped(&text, 4);
        assert!(lines.lines().all(|line| line.len() <= WIDTH && line.starts_with("    word")));
        assert_eq!(lines.split_whitespace().count(), 40);
    }
}

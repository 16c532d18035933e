//! Completion for fish: a tool's options, and behind them COMMAND with its own completion.

use clap::{Arg, Command};

use crate::Document;
use crate::bash::{spellings, takes_next_word};

/// The completion script of one tool.
pub fn completion(command: &Command) -> Document {
    let name = command.get_name();
    let function = format!("__{}_at_command", name.replace('-', "_"));
    let operands = command.get_positionals().filter(|one| one.get_id() != "command").count();
    let has_command = command.get_arguments().any(|one| one.get_id() == "command");
    let valued: Vec<String> =
        command.get_arguments().filter(|one| takes_next_word(one)).flat_map(spellings).collect();
    let valued = valued.join(" ");
    let mut text = format!("# fish completion for {name}\n");
    let mut before = String::new();
    if has_command {
        text.push_str(&format!(
            r#"function {function} -d 'Whether the word at the cursor is COMMAND or one of its words'
    set -l operands {operands}
    set -l words (commandline -opc)
    set -e words[1]
    while set -q words[1]
        set -l word $words[1]
        set -e words[1]
        if contains -- $word {valued}
            set -q words[1]; or return 1
            set -e words[1]
        else if test "$word" = --
            test (count $words) -ge $operands
            return
        else if not string match -q -- '-*' $word
            test $operands -eq 0; and return 0
            set operands (math $operands - 1)
        end
    end
    test $operands -eq 0; and not string match -q -- '-*' (commandline -ct)
end
complete -c {name} -n {function} -x -a '(__fish_complete_subcommand --fcs-skip={skip} - {valued})'
"#,
            skip = 1 + operands,
        ));
        before = format!(" -n 'not {function}'");
    }
    for one in command.get_arguments().filter(|one| !one.is_positional()) {
        text.push_str(&format!("complete -c {name}{before}{}\n", option(one)));
    }
    Document { name: format!("{name}.fish"), text }
}

fn option(one: &Arg) -> String {
    let short = one.get_short().map(|letter| format!(" -s {letter}")).unwrap_or_default();
    let long = one.get_long().map(|long| format!(" -l {long}")).unwrap_or_default();
    let possible = if takes_next_word(one) { one.get_possible_values() } else { Vec::new() };
    let values: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
    let value = match (takes_next_word(one), values.is_empty()) {
        (false, _) => String::new(),
        (true, true) => " -r".to_owned(),
        (true, false) => format!(" -x -a '{}'", values.join(" ")),
    };
    let help = one.get_help().map(ToString::to_string).unwrap_or_default();
    let help = help.replace('\\', "\\\\").replace('\'', "\\'");
    format!("{short}{long}{value} -d '{help}'")
}

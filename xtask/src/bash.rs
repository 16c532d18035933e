//! Completion for bash: a tool's options, and behind them COMMAND with its own completion.

use clap::{Arg, Command};

use crate::Document;

/// The completion script of one tool.
pub fn completion(command: &Command) -> Document {
    let name = command.get_name();
    let function = format!("_{}", name.replace('-', "_"));
    let options: Vec<String> = command.get_arguments().flat_map(spellings).collect();
    let valued: Vec<String> = command
        .get_arguments()
        .filter(|argument| takes_next_word(argument))
        .flat_map(spellings)
        .collect();
    let before = command.get_positionals().filter(|one| one.get_id() != "command").count();
    let valued = match valued.is_empty() {
        true => String::new(),
        false => format!("\n            {}) ((i++)) ;;", valued.join(" | ")),
    };
    let choices: String = command.get_arguments().filter_map(choices).collect();
    let text = format!(
        r#"# bash completion for {name}
{function}() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}
    local i operands={before}
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            --)
                ((i + operands < COMP_CWORD)) && _command_offset $((i + 1 + operands))
                return
                ;;{valued}
            -*) ;;
            *)
                if ((operands-- == 0)); then
                    _command_offset "$i"
                    return
                fi
                ;;
        esac
    done
    case $previous in{choices}
        *) ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "{options}" -- "$current")
    elif ((i > COMP_CWORD || operands > 0)); then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -c -- "$current")
    fi
}}
complete -o filenames -F {function} {name}
"#,
        options = options.join(" "),
    );
    Document { name: name.to_owned(), text }
}

/// How an option is typed.
pub(crate) fn spellings(argument: &Arg) -> Vec<String> {
    let short = argument.get_short().map(|letter| format!("-{letter}"));
    let long = argument.get_long().map(|word| format!("--{word}"));
    short.into_iter().chain(long).collect()
}

/// Whether the word after the option is its value.
pub(crate) fn takes_next_word(argument: &Arg) -> bool {
    !argument.is_positional()
        && argument.get_action().takes_values()
        && !argument.is_require_equals_set()
}

/// What an option with a fixed set of values can be followed by.
fn choices(argument: &Arg) -> Option<String> {
    let values = argument.get_possible_values();
    if values.is_empty() || !takes_next_word(argument) {
        return None;
    }
    let names: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
    Some(format!(
        "\n        {})\n            mapfile -t COMPREPLY < <(compgen -W \"{}\" -- \"$current\")\n            return\n            ;;",
        spellings(argument).join(" | "),
        names.join(" ")
    ))
}

//! Each line that a reader is told to type is one that the tools understand.

use std::path::Path;

use clap::Command;

fn text_of(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The links in `line`: what stands between bars, semicolons and `--`, without redirections.
fn links(line: &str) -> Vec<Vec<String>> {
    let line = line.trim().trim_start_matches("ExecStart=");
    let separators = ["|", ";", "--", "&&"];
    let words: Vec<String> = line.replace(';', " ; ").split_whitespace().map(unquoted).collect();
    let links = words.split(|word| separators.contains(&word.as_str()));
    let kept = |link: &[String]| -> Vec<String> {
        link.iter().take_while(|word| !word.contains(['>', '<', '#'])).cloned().collect()
    };
    links.map(kept).collect()
}

fn unquoted(word: &str) -> String {
    word.replace(['"', '\''], "").replace("$PWD", "/present/folder")
}

/// Checks the links of our own in `line`; their number.
fn check(commands: &[Command], line: &str, place: &str) -> usize {
    let mut ours = 0;
    for words in links(line) {
        // A program of others may stand before a tool.
        let known = |word: &String| commands.iter().position(|one| one.get_name() == word);
        let Some((at, found)) =
            words.iter().enumerate().find_map(|(at, word)| Some((at, known(word)?)))
        else {
            continue;
        };
        let parsed = commands[found].clone().try_get_matches_from(&words[at..]);
        if let Err(error) = parsed {
            panic!("{place}: {line}\n{error}");
        }
        ours += 1;
    }
    ours
}

#[test]
fn examples_of_help_and_manual() {
    let commands = xtask::commands();
    for command in &commands {
        let name = command.get_name();
        for line in chain::help::examples(name).lines().filter(|line| line.starts_with("  ")) {
            assert!(check(&commands, line, name) > 0, "{name}: {line}");
        }
    }
}

#[test]
fn lines_of_the_manual_texts() {
    let commands = xtask::commands();
    let names = commands.iter().map(|command| command.get_name().to_owned());
    let texts = names.chain(["catena".to_owned()]).map(|name| format!("docs/man/{name}.txt"));
    for path in texts {
        for line in text_of(&path).lines().filter(|line| line.contains(" -- ")) {
            check(&commands, line, &path);
        }
    }
}

#[test]
fn lines_of_the_readme() {
    let commands = xtask::commands();
    let text = text_of("README.md").replace("\\\n", " ");
    let mut in_block = false;
    let mut ours = 0;
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block || (line.starts_with("    ") && line.contains(['-', '|'])) {
            // The drawing has words beside the tools.
            if !line.contains(['─', '│']) {
                ours += check(&commands, line, "README.md");
            }
        }
    }
    assert!(ours > 25, "only {ours} links were found");
}

#[test]
fn a_wrong_line_is_noticed() {
    let wrong = ["ns-unshare --no-such-option -- app", "env X=1 fs-pivot | mini-init app"];
    for line in wrong {
        let outcome = std::panic::catch_unwind(|| check(&xtask::commands(), line, "here"));
        assert!(outcome.is_err(), "{line}");
    }
}

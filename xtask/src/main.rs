//! Writes manual pages and completions: `xtask man FOLDER`, `xtask completions FOLDER`.

#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use xtask::Document;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["man", folder] => write(Path::new(folder), &xtask::manuals()),
        ["completions", folder] => write_completions(Path::new(folder)),
        _ => {
            eprintln!("usage: xtask man FOLDER | xtask completions FOLDER");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_completions(folder: &Path) -> std::io::Result<()> {
    let bash: Vec<Document> = xtask::commands().iter().map(xtask::bash::completion).collect();
    write(&folder.join("bash"), &bash)?;
    let fish: Vec<Document> = xtask::commands().iter().map(xtask::fish::completion).collect();
    write(&folder.join("zsh"), &xtask::zsh())?;
    write(&folder.join("fish"), &fish)
}

fn write(folder: &Path, documents: &[Document]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    documents.iter().try_for_each(|one| fs::write(folder.join(&one.name), &one.text))
}

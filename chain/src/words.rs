//! The words of a command line as clap understood them: which option each belongs to.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use clap::{Arg, Command};

/// How a value names paths on the host, which a saved plan may want absolute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathForm {
    /// The whole value is one path.
    Whole,
    /// A path, then `:` and something else.
    BeforeColon,
    /// Paths with `:` between them, if this option is given; else the whole value is one.
    ColonListIf(&'static str),
    /// The whole value is one path, if it is none of these words.
    Unless(&'static [&'static str]),
}

/// The words without the options called `dropped` (clap's ids) and their values, and with the
/// values of the `paths` options made absolute by `folder`, if that is given.
pub fn rewrite(
    command: &Command,
    words: &[OsString],
    dropped: &[&str],
    paths: &[(&str, PathForm)],
    folder: Option<&Path>,
) -> Vec<OsString> {
    let given = |id: &str| {
        words.iter().any(|word| matches!(Owner::of(command, word), Owner::Option { arg, .. } if arg.get_id() == id))
    };
    let mut kept = Vec::new();
    let mut words = words.iter();
    let mut positional = command.get_positionals();
    while let Some(word) = words.next() {
        let owner = Owner::of(command, word);
        let (arg, value) = match &owner {
            Owner::Option { arg, attached } => {
                let separate = attached.is_none() && arg.get_action().takes_values();
                let required = arg.get_num_args().is_none_or(|number| number.min_values() > 0);
                let next = if separate && required { words.next() } else { None };
                (Some(*arg), next)
            }
            Owner::Positional => (positional.next(), None),
            Owner::Unknown => (None, None),
        };
        let id = arg.map_or("", |arg| arg.get_id().as_str());
        if dropped.contains(&id) {
            continue;
        }
        let form = paths.iter().find(|(name, _)| *name == id).map(|(_, form)| *form);
        let absolute = |value: &OsStr| match (form, folder) {
            (Some(PathForm::ColonListIf(id)), Some(folder)) if !given(id) => {
                make_absolute(value, PathForm::Whole, folder)
            }
            (Some(form), Some(folder)) => make_absolute(value, form, folder),
            _ => value.to_owned(),
        };
        match (owner, value) {
            (Owner::Option { attached: Some(at), .. }, _) => {
                let (name, value) = word.as_bytes().split_at(at);
                let mut joined = name.to_vec();
                joined.extend(absolute(OsStr::from_bytes(value)).as_bytes());
                kept.push(OsString::from_vec(joined));
            }
            (Owner::Option { .. }, value) => {
                kept.push(word.clone());
                kept.extend(value.map(|value| absolute(value)));
            }
            (Owner::Positional, _) => kept.push(absolute(word)),
            (Owner::Unknown, _) => kept.push(word.clone()),
        }
    }
    kept
}

enum Owner<'a> {
    /// An option; `attached` is where a value within the word begins.
    Option {
        arg: &'a Arg,
        attached: Option<usize>,
    },
    Positional,
    Unknown,
}

impl<'a> Owner<'a> {
    fn of(command: &'a Command, word: &OsStr) -> Self {
        let bytes = word.as_bytes();
        if let Some(long) = bytes.strip_prefix(b"--") {
            let equals = long.iter().position(|&byte| byte == b'=');
            let name = &long[..equals.unwrap_or(long.len())];
            let named = |arg: &&Arg| arg.get_long().is_some_and(|long| long.as_bytes() == name);
            return match command.get_arguments().find(named) {
                Some(arg) => Owner::Option { arg, attached: equals.map(|at| 2 + at + 1) },
                None => Owner::Unknown,
            };
        }
        let Some(short) = bytes.strip_prefix(b"-").filter(|short| !short.is_empty()) else {
            return Owner::Positional;
        };
        // A cluster: flags up to the first that takes a value, which is the rest of the word.
        let mut found = Owner::Unknown;
        for (index, byte) in short.iter().enumerate() {
            let named = |arg: &&Arg| arg.get_short() == Some(char::from(*byte));
            let Some(arg) = command.get_arguments().find(named) else { return Owner::Unknown };
            if arg.get_action().takes_values() {
                let begins = 1 + index + 1;
                return Owner::Option { arg, attached: (begins < bytes.len()).then_some(begins) };
            }
            found = Owner::Option { arg, attached: None };
        }
        found
    }
}

/// The value with its paths absolute. Where `:` separates, a backslash takes that meaning off it.
fn make_absolute(value: &OsStr, form: PathForm, folder: &Path) -> OsString {
    let absolute = |folder: &OsStr, path: &[u8]| match path {
        [] => Vec::new(),
        path => Path::new(folder).join(OsStr::from_bytes(path)).into_os_string().into_vec(),
    };
    let bytes = value.as_bytes();
    let most = match form {
        PathForm::Unless(words) if words.iter().any(|word| value == *word) => {
            return value.to_owned();
        }
        PathForm::Whole | PathForm::Unless(_) => {
            return OsString::from_vec(absolute(folder.as_os_str(), bytes));
        }
        PathForm::BeforeColon => 1,
        PathForm::ColonListIf(_) => usize::MAX,
    };
    let folder = escape(folder);
    let parts = split(bytes).into_iter().enumerate();
    let parts: Vec<Vec<u8>> = parts
        .map(|(index, part)| if index < most { absolute(&folder, part) } else { part.to_vec() })
        .collect();
    OsString::from_vec(parts.join(&b':'))
}

/// The parts between the colons that no backslash stands before.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut escaped = false;
    let is_separator = |byte: &u8| {
        let separates = *byte == b':' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        separates
    };
    bytes.split(is_separator).collect()
}

/// A path as it is written where `:` separates.
fn escape(path: &Path) -> OsString {
    let escaped = path.as_os_str().as_bytes().iter().flat_map(|&byte| match byte {
        b':' | b'\\' => vec![b'\\', byte],
        _ => vec![byte],
    });
    OsString::from_vec(escaped.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    #[command(name = "test")]
    #[allow(dead_code)]
    struct Args {
        #[arg(short = 'm', long)]
        mount: bool,
        #[arg(short = 'b', long)]
        bind: Vec<String>,
        #[arg(long)]
        overlay: Option<String>,
        #[arg(long)]
        plan: Option<String>,
        #[arg(long)]
        print: bool,
        root: Option<String>,
    }

    fn rewritten(words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let paths = [
            ("bind", PathForm::BeforeColon),
            ("overlay", PathForm::Unless(&["none"])),
            ("root", PathForm::ColonListIf("mount")),
        ];
        let command = <Args as clap::CommandFactory>::command();
        rewrite(&command, &words, &["plan", "print"], &paths, Some(Path::new("/here")))
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect()
    }

    #[test]
    fn options_are_dropped_with_their_values() {
        assert_eq!(rewritten(&["--plan", "x", "-m", "--print", "--plan=y"]), ["-m"]);
    }

    #[test]
    fn paths_become_absolute_wherever_the_value_stands() {
        assert_eq!(
            rewritten(&[
                "--bind",
                "a:/b",
                "--bind=c:/d:ro",
                "-be:/f",
                "--overlay",
                "none",
                "./r:s"
            ]),
            [
                "--bind",
                "/here/a:/b",
                "--bind=/here/c:/d:ro",
                "-b/here/e:/f",
                "--overlay",
                "none",
                "/here/./r:s"
            ]
        );
        assert_eq!(rewritten(&["-m", r"r:/s\:t:u"]), ["-m", r"/here/r:/s\:t:/here/u"]);
        let folder = Path::new("/a:b");
        let value = make_absolute("c:/d".as_ref(), PathForm::BeforeColon, folder);
        assert_eq!(value, r"/a\:b/c:/d");
    }
}

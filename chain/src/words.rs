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
    /// Paths with `:` between them.
    ColonList,
    /// Paths with `:` between them if this word stands on the command line, else one path.
    ColonListWith(&'static str),
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
    let mut kept = Vec::new();
    let stands = |word: &str| words.iter().any(|other| other == word);
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
        let form = paths.iter().find(|(name, _)| *name == id).map(|(_, form)| match *form {
            PathForm::ColonListWith(word) if stands(word) => PathForm::ColonList,
            PathForm::ColonListWith(_) => PathForm::Whole,
            form => form,
        });
        let absolute = |value: &OsStr| match (form, folder) {
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
            let begins = 1 + index + 1;
            let equals = bytes.get(begins) == Some(&b'=');
            if arg.get_action().takes_values() && (equals || !arg.is_require_equals_set()) {
                let begins = begins + usize::from(equals);
                return Owner::Option { arg, attached: (begins < bytes.len()).then_some(begins) };
            }
            found = Owner::Option { arg, attached: None };
        }
        found
    }
}

/// In a list, and before a colon, a backslash takes the special meaning off the byte after it.
fn make_absolute(value: &OsStr, form: PathForm, folder: &Path) -> OsString {
    let join = |folder: &[u8], path: &[u8]| match path {
        [] => Vec::new(),
        path => {
            let folder = Path::new(OsStr::from_bytes(folder));
            folder.join(OsStr::from_bytes(path)).into_os_string().into_vec()
        }
    };
    let bytes = value.as_bytes();
    let (whole, escaped) = (folder.as_os_str().as_bytes(), escape(folder.as_os_str()));
    let parts: Vec<Vec<u8>> = match form {
        PathForm::Unless(words) if words.iter().any(|word| value == *word) => vec![bytes.to_vec()],
        PathForm::Whole | PathForm::ColonListWith(_) | PathForm::Unless(_) => {
            vec![join(whole, bytes)]
        }
        PathForm::ColonList => {
            split_at_colons(bytes).into_iter().map(|path| join(&escaped, path)).collect()
        }
        PathForm::BeforeColon => {
            let mut parts = split_at_colons(bytes).into_iter();
            let first = parts.next().map(|path| join(&escaped, path));
            first.into_iter().chain(parts.map(<[u8]>::to_vec)).collect()
        }
    };
    OsString::from_vec(parts.join(&b':'))
}

fn escape(path: &OsStr) -> Vec<u8> {
    let mut escaped = Vec::new();
    for &byte in path.as_bytes() {
        if matches!(byte, b':' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(byte);
    }
    escaped
}

fn split_at_colons(bytes: &[u8]) -> Vec<&[u8]> {
    let mut backslash = false;
    bytes
        .split(|&byte| {
            let special = byte == b':' && !backslash;
            backslash = byte == b'\\' && !backslash;
            special
        })
        .collect()
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
        #[arg(short = 'n', long, num_args = 0..=1, require_equals = true)]
        net: Option<Option<String>>,
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
            ("overlay", PathForm::ColonList),
            ("net", PathForm::Whole),
            ("root", PathForm::Whole),
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
            rewritten(&["--bind", "a:/b", "--bind=c:/d:ro", "-mbe:/f", "--overlay", "l:/m", "./r"]),
            [
                "--bind",
                "/here/a:/b",
                "--bind=/here/c:/d:ro",
                "-mb/here/e:/f",
                "--overlay",
                "/here/l:/m",
                "/here/./r"
            ]
        );
    }

    #[test]
    fn a_value_that_needs_an_equals_sign_is_never_the_next_word() {
        assert_eq!(
            rewritten(&["--net", "-nm", "-n=x", "--net=y", "r"]),
            ["--net", "-nm", "-n=/here/x", "--net=/here/y", "/here/r"]
        );
    }

    #[test]
    fn a_colon_in_a_name_divides_nothing() {
        let absolute = |value: &str, form| {
            let path = make_absolute(value.as_ref(), form, Path::new("/he:re"));
            path.into_string().unwrap()
        };
        let list = absolute(r"a\:b:/c:d\\:", PathForm::ColonList);
        assert_eq!(list, r"/he\:re/a\:b:/c:/he\:re/d\\:");
        assert_eq!(absolute(r"a\:b:/c", PathForm::BeforeColon), r"/he\:re/a\:b:/c");
        assert_eq!(absolute("a:b", PathForm::Whole), "/he:re/a:b");
    }

    #[test]
    fn a_word_may_make_it_a_list() {
        let command = <Args as clap::CommandFactory>::command();
        let paths = [("root", PathForm::ColonListWith("--mount"))];
        let rewritten = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(Into::into).collect();
            rewrite(&command, &words, &[], &paths, Some(Path::new("/here")))
        };
        assert_eq!(rewritten(&["a:b"]), ["/here/a:b"]);
        assert_eq!(rewritten(&["--mount", "a:b"]), ["--mount", "/here/a:/here/b"]);
    }
}

//! A plan: a chain written down as JSON Lines, one stage a line, then a line that says where it
//! ends. The format is described in docs/plan.md; this parser is pure.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use serde::Deserialize;

use crate::names;

/// The version that every line carries.
const VERSION: u32 = 1;
/// The most stages that a plan may have.
pub const MOST_STAGES: usize = 1000;
/// The most bytes that its words may have in all.
pub const MOST_BYTES: usize = 1 << 20;
/// The most bytes of a plan's text: every byte of a word may be written with six characters
/// (`\u0001`), and each line has some of its own.
pub const MOST_TEXT: usize = 6 * MOST_BYTES + 64 * MOST_STAGES + 4 * MOST_BYTES;

/// What every plan begins with, apart from white space: enough to tell one from other data.
const BEGINNING: &[u8] = b"{\"catena\":";

/// One line of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// One of our tools and its options.
    Stage(Vec<OsString>),
    /// Any other program that stands in the chain, with its arguments.
    Chain(Vec<OsString>),
}

/// A chain that lacks its COMMAND.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan(Vec<Line>);

impl Plan {
    /// Adds a line at the end.
    pub fn push(&mut self, line: Line) -> Result<(), String> {
        check_words(&line)?;
        self.0.push(line);
        self.check_size()
    }

    /// Whether there is no stage in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The exec chain that it stands for, `command` at its end.
    pub fn to_chain(&self, command: &[OsString]) -> Vec<OsString> {
        let mut words = Vec::new();
        for line in &self.0 {
            match line {
                Line::Stage(stage) => {
                    words.extend(stage.iter().cloned());
                    words.push("--".into());
                }
                Line::Chain(program) => words.extend(program.iter().cloned()),
            }
        }
        words.extend(command.iter().cloned());
        words
    }

    /// The text of the plan.
    pub fn print(&self) -> String {
        let mut text = String::new();
        for line in &self.0 {
            let (key, words) = match line {
                Line::Stage(words) => ("stage", words),
                Line::Chain(words) => ("chain", words),
            };
            let words: Vec<String> = words.iter().map(|word| print_word(word)).collect();
            writeln!(text, "{{\"catena\":{VERSION},\"{key}\":[{}]}}", words.join(","))
                .expect("a String takes all");
        }
        writeln!(text, "{{\"catena\":{VERSION},\"end\":{}}}", self.0.len())
            .expect("a String takes all");
        text
    }

    /// Reads the text of a plan. All of it must be there and nothing behind it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.len() > MOST_TEXT {
            return Err(format!("longer than {MOST_TEXT} bytes"));
        }
        let text = std::str::from_utf8(text).map_err(|_| "not UTF-8".to_owned())?;
        let mut plan = Plan::default();
        let mut ended = false;
        for (number, line) in (1..).zip(text.split_inclusive('\n')) {
            let wrong = |reason: String| format!("line {number}: {reason}");
            if line.trim().is_empty() {
                continue;
            }
            if ended {
                return Err(wrong("something stands behind the end of the plan".into()));
            }
            let line = line.strip_suffix('\n').ok_or_else(|| wrong("cut off".into()))?;
            match parse_line(line).map_err(wrong)? {
                Parsed::Line(line) => plan.push(line).map_err(wrong)?,
                Parsed::End(count) if count == plan.0.len() => ended = true,
                Parsed::End(count) => {
                    let found = plan.0.len();
                    return Err(wrong(format!("{count} stages were written, {found} are here")));
                }
            }
        }
        if ended { Ok(plan) } else { Err("cut off: it has no end line".into()) }
    }

    fn check_size(&self) -> Result<(), String> {
        if self.0.len() > MOST_STAGES {
            return Err(format!("more than {MOST_STAGES} stages"));
        }
        let words = self.0.iter().flat_map(|line| match line {
            Line::Stage(words) | Line::Chain(words) => words,
        });
        if words.map(|word| word.len()).sum::<usize>() > MOST_BYTES {
            return Err(format!("more than {MOST_BYTES} bytes of words"));
        }
        Ok(())
    }
}

/// Whether `bytes`, the beginning of some data, may be the beginning of a plan. Too few bytes to
/// tell count as "may".
pub fn may_begin(bytes: &[u8]) -> bool {
    if !bytes.is_empty() && bytes.iter().all(u8::is_ascii_whitespace) {
        return false;
    }
    let bytes: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .take(BEGINNING.len())
        .collect();
    BEGINNING.starts_with(&bytes)
}

fn check_words(line: &Line) -> Result<(), String> {
    let (Line::Stage(words) | Line::Chain(words)) = line;
    let Some(first) = words.first().filter(|word| !word.is_empty()) else {
        return Err("no program is named".into());
    };
    if words.iter().any(|word| word.as_bytes().contains(&0)) {
        return Err("a word has a NUL byte".into());
    }
    match line {
        Line::Stage(_) if !names::is_ours(first) => {
            Err(format!("no tool of Catena is called '{}'", first.to_string_lossy().escape_debug()))
        }
        Line::Stage(words) if words.iter().any(|word| word == "--") => {
            Err("a stage is a tool and its options, without '--'".into())
        }
        _ => Ok(()),
    }
}

/// A word that is UTF-8 is a JSON string; any other is an object with its bytes in hexadecimal.
fn print_word(word: &OsStr) -> String {
    match word.to_str() {
        Some(text) => serde_json::to_string(text).expect("a string is JSON"),
        None => {
            let hex = word.as_bytes().iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a String takes all");
                hex
            });
            format!("{{\"bytes\":\"{hex}\"}}")
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine {
    catena: u32,
    stage: Option<Vec<RawWord>>,
    chain: Option<Vec<RawWord>>,
    end: Option<usize>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawWord {
    Text(String),
    Bytes(RawBytes),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBytes {
    bytes: String,
}

enum Parsed {
    Line(Line),
    End(usize),
}

/// Only the version, to say "another version" where other keys are unknown for that reason.
#[derive(Deserialize)]
struct RawVersion {
    catena: u64,
}

fn parse_line(line: &str) -> Result<Parsed, String> {
    match serde_json::from_str::<RawVersion>(line) {
        Ok(raw) if raw.catena == u64::from(VERSION) => {}
        Ok(raw) => return Err(format!("version {}, this is for version {VERSION}", raw.catena)),
        Err(error) => return Err(format!("not a line of a plan: {error}")),
    }
    let raw: RawLine = serde_json::from_str(line).map_err(|error| error.to_string())?;
    debug_assert_eq!(raw.catena, VERSION);
    let words = |raw: Vec<RawWord>| raw.into_iter().map(parse_word).collect::<Result<_, String>>();
    match (raw.stage, raw.chain, raw.end) {
        (Some(stage), None, None) => Ok(Parsed::Line(Line::Stage(words(stage)?))),
        (None, Some(chain), None) => Ok(Parsed::Line(Line::Chain(words(chain)?))),
        (None, None, Some(end)) => Ok(Parsed::End(end)),
        _ => Err("exactly one of stage, chain and end is needed".into()),
    }
}

fn parse_word(raw: RawWord) -> Result<OsString, String> {
    match raw {
        RawWord::Text(text) => Ok(text.into()),
        RawWord::Bytes(RawBytes { bytes }) => {
            let word =
                from_hex(&bytes).ok_or("bytes are two lower-case hexadecimal digits each")?;
            // One spelling for each word.
            if std::str::from_utf8(&word).is_ok() {
                return Err("a word that is UTF-8 is written as a string".into());
            }
            Ok(OsString::from_vec(word))
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    text.as_bytes()
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(lines: &[&[&str]]) -> Plan {
        let mut plan = Plan::default();
        for words in lines {
            plan.push(Line::Stage(words.iter().map(Into::into).collect())).unwrap();
        }
        plan
    }

    #[test]
    fn survives_the_way() {
        let mut plan = plan(&[&["cg-enter", "--memory-max", "64M"], &["ns-unshare", "a\n\"b\\"]]);
        plan.push(Line::Chain(vec!["nice".into(), OsString::from_vec(vec![b'a', 0xff])])).unwrap();
        assert_eq!(Plan::parse(plan.print().as_bytes()), Ok(plan));
        assert_eq!(Plan::parse(Plan::default().print().as_bytes()), Ok(Plan::default()));
    }

    #[test]
    fn text_is_what_the_document_shows() {
        let mut plan = plan(&[&["ns-unshare", "--pid"]]);
        plan.push(Line::Chain(vec!["nice".into(), OsString::from_vec(vec![0xff])])).unwrap();
        assert_eq!(
            plan.print(),
            "{\"catena\":1,\"stage\":[\"ns-unshare\",\"--pid\"]}\n\
             {\"catena\":1,\"chain\":[\"nice\",{\"bytes\":\"ff\"}]}\n\
             {\"catena\":1,\"end\":2}\n"
        );
    }

    #[test]
    fn becomes_a_chain() {
        let chain = plan(&[&["cg-enter", "--rm"], &["ns-unshare"]]).to_chain(&["app".into()]);
        assert_eq!(chain, ["cg-enter", "--rm", "--", "ns-unshare", "--", "app"]);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let text = plan(&[&["cg-enter"], &["ns-unshare", "--pid"]]).print();
        for length in 0..text.len() {
            assert!(Plan::parse(&text.as_bytes()[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn strangers_are_refused() {
        let end = "{\"catena\":1,\"end\":1}\n";
        for (line, reason) in [
            ("{\"catena\":2,\"stage\":[\"cg-enter\"]}", "version 2"),
            ("{\"catena\":1,\"stage\":[\"cg-enter\"],\"x\":1}", "unknown field"),
            ("{\"catena\":1,\"stage\":[\"rm\"]}", "no tool of Catena"),
            ("{\"catena\":1,\"stage\":[]}", "no program"),
            ("{\"catena\":1,\"stage\":[\"cg-enter\",\"--\",\"sh\"]}", "without '--'"),
            ("{\"catena\":1,\"stage\":[\"cg-enter\",\"a\\u0000\"]}", "NUL"),
            ("{\"catena\":1,\"stage\":[\"cg-enter\",{\"bytes\":\"61\"}]}", "UTF-8"),
            ("{\"catena\":1,\"stage\":[\"cg-enter\",{\"bytes\":\"f\"}]}", "hexadecimal"),
            ("{\"catena\":1,\"stage\":[\"cg-enter\"],\"chain\":[\"nice\"]}", "exactly one"),
            ("{\"catena\":1}", "exactly one"),
            ("hello", "not a line"),
            ("", "0 are here"),
        ] {
            let error = Plan::parse(format!("{line}\n{end}").as_bytes()).unwrap_err();
            assert!(error.contains(reason), "{line}: {error}");
        }
        let twice = format!("{{\"catena\":1,\"end\":0}}\n{end}");
        assert!(Plan::parse(twice.as_bytes()).unwrap_err().contains("behind the end"));
    }

    #[test]
    fn limits() {
        let mut plan = Plan::default();
        for _ in 0..MOST_STAGES {
            plan.push(Line::Stage(vec!["cg-enter".into()])).unwrap();
        }
        assert_eq!(Plan::parse(plan.print().as_bytes()), Ok(plan.clone()));
        assert!(plan.push(Line::Stage(vec!["cg-enter".into()])).is_err());
        let big = |size| {
            let words = vec!["cg-enter".into(), OsString::from_vec(vec![0xff; size])];
            Plan::default().push(Line::Stage(words))
        };
        assert_eq!(big(MOST_BYTES - 8), Ok(()));
        assert!(big(MOST_BYTES).is_err());
    }

    #[test]
    fn beginning() {
        assert!(
            may_begin(b"")
                && may_begin(b" {")
                && may_begin(b"{\"cat")
                && may_begin(b"{ \"catena\" : 1")
        );
        assert!(
            !may_begin(b"\n")
                && !may_begin(b"hello")
                && !may_begin(b"{\"cats\"")
                && !may_begin(b"\x1f")
        );
    }
}

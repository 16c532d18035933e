//! What a test expects of a text.

use std::fmt;

/// A text that is known exactly, or whose form is known.
#[derive(Clone, Debug)]
pub struct Expected(Form);

#[derive(Clone, Debug)]
enum Form {
    Exactly(String),
    Like(String),
}

/// A text that fits `pattern`, in which `*` stands for anything; for texts with a number or a
/// path that can't be known. A backslash takes the star's meaning away.
pub fn like(pattern: impl Into<String>) -> Expected {
    Expected(Form::Like(pattern.into()))
}

/// Any text at all; for a test that is about something else.
pub fn any() -> Expected {
    like("*")
}

impl<T: Into<String>> From<T> for Expected {
    fn from(text: T) -> Expected {
        Expected(Form::Exactly(text.into()))
    }
}

impl Expected {
    /// Whether `text` is as expected.
    pub fn fits(&self, text: &str) -> bool {
        match &self.0 {
            Form::Exactly(wanted) => wanted == text,
            Form::Like(pattern) => glob(pattern.as_bytes(), text.as_bytes()),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.0 {
            Form::Exactly(wanted) => write!(f, "exactly {wanted:?}"),
            Form::Like(pattern) => write!(f, "like {pattern:?}"),
        }
    }
}

/// Whether `text` fits `pattern`.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skipped| glob(rest, &text[skipped..])),
        [b'\\', letter, rest @ ..] | [letter, rest @ ..] => {
            text.first() == Some(letter) && glob(rest, &text[1..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_exact() {
        assert!(Expected::from("a*").fits("a*"));
        assert!(!Expected::from("a*").fits("ab"));
        assert!(!Expected::from("").fits("\n"));
    }

    #[test]
    fn a_star_is_anything() {
        assert!(like("a*c*").fits("abbc\nd"));
        assert!(like("*").fits(""));
        assert!(!like("a*c").fits("abcd"));
        assert!(like(r"\*").fits("*"));
        assert!(!like(r"\*").fits("a"));
    }
}

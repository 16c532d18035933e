//! The datagrams of sd_notify(3): lines of KEY=VALUE, read the way systemd reads them.

use std::fmt;

/// What systemd receives at most (its NOTIFY_BUFFER_MAX): the rest would be cut off there.
pub const MAX_LENGTH: usize = 4096;

/// One line of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Upper-case letters, digits and `_`.
    pub key: &'a str,
    /// Any bytes but NUL and line ends.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether this is `KEY=1`, the form of all that has no value.
    pub fn is_set(&self, key: &str) -> bool {
        self.key == key && self.value == b"1"
    }
}

/// Why nothing of a datagram is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Malformed {
    /// No byte at all.
    Empty,
    /// A NUL byte elsewhere than at the end.
    Nul,
    /// Longer than what systemd takes.
    TooLong,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::Empty => "an empty message",
            Malformed::Nul => "a message with a NUL byte",
            Malformed::TooLong => "a message that is too long",
        })
    }
}

/// The fields of a datagram, in order. Lines that are no field are left out: systemd ignores them.
///
/// systemd ends a line at `\r` too, so a reader that knew `\n` only would let `MAINPID=1` through
/// behind `STATUS=x\r`.
pub fn parse(datagram: &[u8]) -> Result<Vec<Field<'_>>, Malformed> {
    if datagram.len() > MAX_LENGTH {
        return Err(Malformed::TooLong);
    }
    let text = datagram.strip_suffix(b"\0").unwrap_or(datagram);
    if text.is_empty() {
        return Err(Malformed::Empty);
    }
    if text.contains(&0) {
        return Err(Malformed::Nul);
    }
    Ok(text.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(field).collect())
}

fn field(line: &[u8]) -> Option<Field<'_>> {
    let equals = line.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&line[..equals], &line[equals + 1..]);
    let legal = |byte: &u8| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
    if key.is_empty() || !key.iter().all(legal) {
        return None;
    }
    Some(Field { key: str::from_utf8(key).ok()?, value: without_open_escape(value) })
}

/// systemd takes a backslash before a line end for an escape that joins the two lines: without it
/// a field can't swallow the one that follows.
fn without_open_escape(value: &[u8]) -> &[u8] {
    let backslashes = value.iter().rev().take_while(|b| **b == b'\\').count();
    &value[..value.len() - backslashes % 2]
}

/// The datagram of these fields.
pub fn print<'a>(fields: impl IntoIterator<Item = Field<'a>>) -> Vec<u8> {
    let mut text = Vec::new();
    for field in fields {
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(field.key.as_bytes());
        text.push(b'=');
        text.extend_from_slice(field.value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(datagram: &[u8]) -> Vec<(&str, &[u8])> {
        let fields = parse(datagram).unwrap();
        fields.into_iter().map(|f| (f.key, f.value)).collect()
    }

    #[test]
    fn fields_in_order() {
        let found = pairs(b"READY=1\nSTATUS=up = well\n\nnonsense\nlower=1\nX_A=\n");
        let expected: Vec<(&str, &[u8])> =
            vec![("READY", b"1"), ("STATUS", b"up = well"), ("X_A", b"")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_carriage_return_ends_a_line_too() {
        let found = pairs(b"STATUS=x\rMAINPID=1");
        assert_eq!(found[1], ("MAINPID", b"1".as_slice()));
    }

    #[test]
    fn a_backslash_joins_no_lines() {
        assert_eq!(pairs(b"STATUS=a\\\nREADY=1")[0].1, b"a");
        assert_eq!(pairs(b"STATUS=a\\\\\nREADY=1")[0].1, b"a\\\\");
        assert_eq!(pairs(b"MAIN\\PID=1"), []);
    }

    #[test]
    fn hostile_datagrams() {
        assert_eq!(parse(b""), Err(Malformed::Empty));
        assert_eq!(parse(b"\0"), Err(Malformed::Empty));
        assert_eq!(parse(b"\0\0"), Err(Malformed::Nul));
        assert_eq!(parse(b"READY=1\0X=1"), Err(Malformed::Nul));
        assert_eq!(parse(&[b'A'; 65536]), Err(Malformed::TooLong));
        assert_eq!(pairs(b"READY=1\0").len(), 1);
        assert_eq!(pairs(b"=1\n=\n====\n\xff=1"), []);
    }

    #[test]
    fn what_is_printed_reads_the_same() {
        let datagram = b"READY=1\nSTATUS=\xff \\\\\nX_=";
        let fields = parse(datagram).unwrap();
        assert_eq!(print(fields), datagram);
    }
}

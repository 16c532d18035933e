//! Words quoted so that every shell of the POSIX kind reads them back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// The word as it may stand on a shell's command line. Bytes that are no UTF-8 or control
/// characters are written with `$'...'`, which bash, zsh, busybox and POSIX.1-2024 know.
pub fn for_shell(word: &OsStr) -> String {
    let bytes = word.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-+./:=@%,".contains(byte);
    match word.to_str() {
        Some(text) if !bytes.is_empty() && bytes.iter().all(plain) => text.to_owned(),
        Some(text) if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', r"'\''"))
        }
        _ => {
            let escaped: String = bytes.iter().map(|&byte| escape(byte)).collect();
            format!("$'{escaped}'")
        }
    }
}

/// Three octal digits, so that a digit behind them is not taken for one of theirs.
fn escape(byte: u8) -> String {
    match byte {
        b'\'' | b'\\' => format!("\\{}", char::from(byte)),
        0x20..=0x7e => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        for (word, quoted) in [
            (&b"a-b=/c:1"[..], "a-b=/c:1"),
            (b"", "''"),
            (b"a b", "'a b'"),
            (b"it's", r"'it'\''s'"),
            (b"$x", "'$x'"),
            (b"~", "'~'"),
            (b"a\n1", r"$'a\0121'"),
            (b"\xff'\\", r"$'\377\'\\'"),
        ] {
            assert_eq!(for_shell(OsStr::from_bytes(word)), quoted);
        }
    }
}

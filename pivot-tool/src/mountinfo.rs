//! /proc/PID/mountinfo, as proc_pid_mountinfo(5) describes it.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use chain::procfs::Procfs;
use chain::{Error, Result, ResultExt};
use rustix::fs::OFlags;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it is mounted, as the reader's root has it.
    pub place: PathBuf,
    /// The type of its file system.
    pub kind: String,
}

/// The mounts that this process's root reaches.
pub fn read(procfs: &Procfs) -> Result<Vec<Line>> {
    let path = format!("{}/mountinfo", procfs.own_id()?);
    let mut text = Vec::new();
    File::from(procfs.file(&path, OFlags::RDONLY)?)
        .read_to_end(&mut text)
        .or_fail_on("can't read", format!("/proc/{path}"))?;
    parse(&text).ok_or_else(|| {
        Error::new("can't read").object(format!("/proc/{path}")).reason("not in the form of Linux")
    })
}

/// The mounts strictly below `folder`, relative to it.
pub fn below(lines: &[Line], folder: &Path) -> Vec<PathBuf> {
    lines
        .iter()
        .filter_map(|line| line.place.strip_prefix(folder).ok())
        .filter(|rest| !rest.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect()
}

/// All lines, or `None` if one of them is not in the documented form.
pub fn parse(text: &[u8]) -> Option<Vec<Line>> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Line> {
    let mut fields = line.split(|&byte| byte == b' ');
    let place = fields.nth(4)?;
    // A varying number of optional fields ends with a hyphen.
    fields.find(|field| field == b"-")?;
    let kind = fields.next()?;
    Some(Line {
        place: OsString::from_vec(unescape(place)).into(),
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

/// Space, tab, newline and backslash come as a backslash and three octal digits.
fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    while let Some((&first, rest)) = field.split_first() {
        match octal(field) {
            Some(byte) => {
                bytes.push(byte);
                field = &field[4..];
            }
            None => {
                bytes.push(first);
                field = rest;
            }
        }
    }
    bytes
}

fn octal(field: &[u8]) -> Option<u8> {
    let digits = field.strip_prefix(b"\\")?.get(..3)?;
    let value = digits.iter().try_fold(0_u32, |value, digit| match digit {
        b'0'..=b'7' => Some(value * 8 + u32::from(digit - b'0')),
        _ => None,
    })?;
    value.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_manual() {
        let text =
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
            27 1 254:0 / /a\\040b\\134 rw - overlay o rw\n";
        let lines = parse(text).unwrap();
        assert_eq!(lines[0], Line { place: "/mnt2".into(), kind: "ext3".into() });
        assert_eq!(lines[1], Line { place: "/a b\\".into(), kind: "overlay".into() });
    }

    #[test]
    fn below_is_by_name_not_by_letter() {
        let line = |place: &str| Line { place: place.into(), kind: String::new() };
        let lines = ["/", "/a", "/a/b", "/ab", "/a/b/c"].map(line);
        assert_eq!(below(&lines, Path::new("/a")), [Path::new("b"), Path::new("b/c")]);
        assert_eq!(below(&lines, Path::new("/")).len(), 4);
    }

    #[test]
    fn nonsense() {
        assert_eq!(parse(b"1 2 3"), None);
        assert_eq!(parse(b"1 2 3 4 5 6 7 8"), None);
        assert_eq!(parse(b""), Some(vec![]));
        assert_eq!(unescape(b"\\04\\0400\\999"), b"\\04 0\\999");
    }
}

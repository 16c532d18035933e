//! /proc/PID/mountinfo, as proc_pid_mountinfo(5) describes it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::procfs::Procfs;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What of its file system is mounted.
    pub root: PathBuf,
    /// Where it is mounted, as the reader's root has it.
    pub point: PathBuf,
    /// The mount's own options: `rw`, `nosuid`.
    pub options: Vec<String>,
    /// The type of its file system.
    pub kind: String,
    /// The options of the file system.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether `option` is one of the mount's or of its file system's.
    pub fn has(&self, option: &str) -> bool {
        self.options.iter().chain(&self.super_options).any(|word| word == option)
    }
}

/// The mounts that this process's root reaches.
pub fn read(procfs: &Procfs) -> Result<Vec<Mount>> {
    let path = format!("{}/mountinfo", procfs.own_id()?);
    parse(&procfs.read_bytes(&path)?).ok_or_else(|| {
        Error::new("can't read").object(format!("/proc/{path}")).reason("not in the form of Linux")
    })
}

/// The mounts strictly below `folder`, relative to it.
pub fn below(mounts: &[Mount], folder: &Path) -> Vec<PathBuf> {
    mounts
        .iter()
        .filter_map(|mount| mount.point.strip_prefix(folder).ok())
        .filter(|rest| !rest.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect()
}

/// All lines, or `None` if one of them is not in the documented form.
pub fn parse(text: &[u8]) -> Option<Vec<Mount>> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let path = |field| PathBuf::from(OsString::from_vec(unescape(field)));
    let words = |field: &[u8]| {
        String::from_utf8_lossy(field).split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let mut fields = line.split(|&byte| byte == b' ');
    let root = path(fields.nth(3)?);
    let point = path(fields.next()?);
    let options = words(fields.next()?);
    // A varying number of optional fields ends with a hyphen.
    fields.find(|field| field == b"-")?;
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    let _source = fields.next()?;
    let super_options = words(fields.next().unwrap_or_default());
    Some(Mount { root, point, options, kind, super_options })
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
            27 1 254:0 / /a\\040b\\134\xff rw - overlay o rw\n";
        let mounts = parse(text).unwrap();
        assert_eq!(mounts[0].root, Path::new("/mnt1"));
        assert_eq!(mounts[0].point, Path::new("/mnt2"));
        assert_eq!(mounts[0].kind, "ext3");
        assert!(mounts[0].has("noatime") && mounts[0].has("errors=continue"));
        assert!(!mounts[0].has("ro"));
        assert_eq!(mounts[1].point, PathBuf::from(OsString::from_vec(b"/a b\\\xff".to_vec())));
    }

    #[test]
    fn below_is_by_name_not_by_letter() {
        let text = ["/", "/a", "/a/b", "/ab", "/a/b/c"]
            .map(|point| format!("1 1 0:1 / {point} rw - tmpfs t rw\n"))
            .concat();
        let mounts = parse(text.as_bytes()).unwrap();
        assert_eq!(below(&mounts, Path::new("/a")), [Path::new("b"), Path::new("b/c")]);
        assert_eq!(below(&mounts, Path::new("/")).len(), 4);
    }

    #[test]
    fn nonsense() {
        assert_eq!(parse(b"1 2 3"), None);
        assert_eq!(parse(b"1 2 3 4 5 6 7 8"), None);
        assert_eq!(parse(b""), Some(vec![]));
        assert_eq!(unescape(b"\\04\\0400\\999"), b"\\04 0\\999");
    }
}

//! Users and groups by the files of the current root, read by a parser of our own: NSS would load
//! code from an image into a process that still has privileges.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use crate::error::{Error, Result, ResultExt};

/// (uid_t) -1: the kernel's "no id".
const NO_ID: u32 = u32::MAX;

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of the primary group.
    pub gid: u32,
}

/// A line of group(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Group name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Names of its members.
    pub members: Vec<String>,
}

/// A user or group id in decimal; (uid_t) -1 is no id.
pub fn id(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != NO_ID)
}

/// The lines of a passwd(5) text; one that is not well-formed counts as absent.
pub fn parse_users(text: &str) -> Vec<User> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, ..] = fields[..] else {
            return None;
        };
        Some(User { name: name.to_owned(), uid: id(uid)?, gid: id(gid)? })
    };
    text.lines().filter_map(line).collect()
}

/// The lines of a group(5) text; one that is not well-formed counts as absent.
pub fn parse_groups(text: &str) -> Vec<Group> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, members] = fields[..] else {
            return None;
        };
        let members = members.split(',').filter(|m| !m.is_empty()).map(str::to_owned).collect();
        Some(Group { name: name.to_owned(), gid: id(gid)?, members })
    };
    text.lines().filter_map(line).collect()
}

/// The users of the current root: none where it has no /etc/passwd.
pub fn users() -> Result<Vec<User>> {
    Ok(parse_users(&read("/etc/passwd")?))
}

/// The groups of the current root: none where it has no /etc/group.
pub fn groups() -> Result<Vec<Group>> {
    Ok(parse_groups(&read("/etc/group")?))
}

fn read(path: &str) -> Result<String> {
    /// No host has as many users as would fill this; an image can't make us read for ever.
    const LIMIT: u64 = 16 << 20;
    // A FIFO in its place must not make us wait.
    let options = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).to_owned();
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error).or_fail_on("can't open", path),
    };
    if !file.metadata().or_fail_on("can't examine", path)?.is_file() {
        return Err(Error::new("refused").object(path).reason("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes).or_fail_on("can't read", path)?;
    if bytes.len() as u64 > LIMIT {
        return Err(Error::new("refused").object(path).reason("longer than 16 MiB"));
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_strict() {
        assert_eq!(id("0"), Some(0));
        assert_eq!(id("4294967294"), Some(4_294_967_294));
        for text in ["", "-1", "+1", " 1", "4294967295", "4294967296", "0x1", "1a"] {
            assert_eq!(id(text), None, "{text}");
        }
    }

    #[test]
    fn malformed_lines_count_as_absent() {
        let users = parse_users("root:x:0:0::/:/bin/sh\n\nbad:x:-1:0::/:\nweb:x:33:33\nx:y\n");
        assert_eq!(users.iter().map(|u| u.name.as_str()).collect::<Vec<_>>(), ["root", "web"]);
        let groups = parse_groups("adm:x:4:web,root\nbad:x:q:\nempty:x:7:\nshort:x:8\n");
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].members, ["web", "root"]);
    }
}

//! Who the app is to be: `--user` and `--groups`, by number or by the files of the current root.

use std::fmt;
use std::str::FromStr;

use chain::{Error, Result, accounts};

/// `UID|NAME`: digits are always a number, never a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// An id.
    Id(u32),
    /// To be looked up.
    Name(String),
}

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Some(id) = accounts::id(text) {
            return Ok(Name::Id(id));
        }
        let numeric = text.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit());
        if numeric || text.contains([':', '\n', ',']) {
            return Err(format!("'{text}' is neither a name nor a number from 0 to 4294967294"));
        }
        Ok(Name::Name(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Id(id) => write!(f, "{id}"),
            Name::Name(name) => f.write_str(&chain::explain::word(name)),
        }
    }
}

/// `--user UID|NAME[:GID|NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    user: Name,
    group: Option<Name>,
}

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group.parse()?)),
            None => (text, None),
        };
        Ok(User { user: user.parse()?, group })
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{}:{group}", self.user),
            None => write!(f, "{}", self.user),
        }
    }
}

impl User {
    /// The user and group id. A number without an entry has no primary group: it must be named.
    pub fn resolve(&self) -> Result<(u32, u32)> {
        if let (Name::Id(uid), Some(group)) = (&self.user, &self.group) {
            return Ok((*uid, resolve_group(group)?));
        }
        let users = accounts::users()?;
        let entry = users.iter().find(|entry| match &self.user {
            Name::Id(uid) => entry.uid == *uid,
            Name::Name(name) => entry.name == *name,
        });
        match (&self.user, entry, &self.group) {
            (_, Some(entry), Some(group)) => Ok((entry.uid, resolve_group(group)?)),
            (_, Some(entry), None) => Ok((entry.uid, entry.gid)),
            (Name::Id(uid), None, _) => Err(Error::new("no group for user")
                .object(uid.to_string())
                .reason("not in /etc/passwd of this root")
                .hint(format!("say --user {uid}:GID"))),
            (Name::Name(name), None, _) => Err(Error::new("no such user")
                .object(name)
                .reason("not in /etc/passwd of this root")),
        }
    }
}

/// The id of a group.
pub fn resolve_group(group: &Name) -> Result<u32> {
    match group {
        Name::Id(gid) => Ok(*gid),
        Name::Name(name) => {
            let groups = accounts::groups()?;
            groups.iter().find(|entry| entry.name == *name).map(|entry| entry.gid).ok_or_else(
                || {
                    Error::new("no such group")
                        .object(name)
                        .reason("not in /etc/group of this root")
                },
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_never_a_name() {
        assert_eq!("1000".parse(), Ok(Name::Id(1000)));
        assert_eq!("web".parse(), Ok(Name::Name("web".into())));
        for text in ["", "-1", "4294967295", "4294967296", "99999999999999999999", "a:b", "a\nb"] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }

    #[test]
    fn user_and_group() {
        let user: User = "web:33".parse().unwrap();
        assert_eq!(user, User { user: Name::Name("web".into()), group: Some(Name::Id(33)) });
        for text in ["web:", ":33", "1:2:3", "1000:-1"] {
            assert!(text.parse::<User>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_need_no_files() {
        assert_eq!("5:6".parse::<User>().unwrap().resolve(), Ok((5, 6)));
    }
}

//! `--apparmor` and `--selinux`: the label that the next program gets, by a security module that
//! must be there.

use chain::procfs::Procfs;
use chain::{Errno, Error, Result};

/// Which label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// An AppArmor profile.
    AppArmor(String),
    /// An SELinux context.
    Selinux(String),
}

/// A name that can't be taken for more than that by the file that it is written to.
pub fn parse(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c.is_control()) {
        return Err("it is empty, or has control characters".into());
    }
    Ok(text.to_owned())
}

impl Label {
    /// Asks for it, from the next exec on, and reads it back.
    pub fn ask_for(&self) -> Result<()> {
        let procfs = Procfs::open()?;
        let own = procfs.own_id()?;
        let absent = |module: &str| {
            Err(Error::new("can't set the label")
                .object(self.name())
                .reason(format!("{module} is not among this kernel's security modules")))
        };
        let (path, request) = match self {
            Label::AppArmor(name) => {
                let path = format!("{own}/attr/apparmor/exec");
                // The folder is there if AppArmor is built in; reading tells whether it is used.
                match procfs.read(&format!("{own}/attr/apparmor/current")) {
                    Ok(_) => {}
                    Err(error) if matches!(error.errno(), Some(Errno::ENOENT | Errno::EINVAL)) => {
                        return absent("AppArmor");
                    }
                    Err(error) => return Err(error),
                }
                (path, format!("exec {name}"))
            }
            Label::Selinux(name) => {
                let known = procfs.read("filesystems")?;
                if !known.split_whitespace().any(|word| word == "selinuxfs") {
                    return absent("SELinux");
                }
                (format!("{own}/attr/exec"), name.clone())
            }
        };
        procfs.write(&path, &request).map_err(|error| match error.errno() {
            Some(Errno::ENOENT | Errno::EINVAL | Errno::EACCES | Errno::EPERM) => {
                error.hint(format!("is '{}' loaded, and a transition to it allowed?", self.name()))
            }
            _ => error,
        })?;
        if name_read_back(&procfs.read(&path)?) == self.name() {
            return Ok(());
        }
        Err(Error::new("not set").object(self.name()).reason("the kernel says otherwise"))
    }

    fn name(&self) -> &str {
        let (Label::AppArmor(name) | Label::Selinux(name)) = self;
        name
    }
}

/// The name in what the kernel prints: AppArmor adds a mode, SELinux a NUL byte.
fn name_read_back(text: &str) -> &str {
    let text = text.trim_end_matches(['\n', '\0']);
    match text.rsplit_once(" (") {
        Some((name, mode)) if mode.ends_with(')') => name,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name_read_back("my profile (enforce)\n"), "my profile");
        assert_eq!(name_read_back("unconfined\n"), "unconfined");
        assert_eq!(name_read_back("u:r:t:s0:c1,c2\0"), "u:r:t:s0:c1,c2");
        for text in ["", "a\nb", "a\0"] {
            assert!(parse(text).is_err());
        }
    }
}

//! Where a filter is read from: a file that the user names, never one of the image's.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

use chain::{Error, Next, Result, ResultExt};

/// A path, or `fd:N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of the current root.
    Path(PathBuf),
    /// One that was opened before.
    Descriptor(RawFd),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.strip_prefix("fd:") {
            _ if text.is_empty() => Err("an empty name".into()),
            None => Ok(Source::Path(text.into())),
            Some(number) => match number.parse() {
                Ok(fd) if fd > 2 => Ok(Source::Descriptor(fd)),
                _ => Err(format!("'{number}' is not a descriptor from 3 on")),
            },
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Path(path) => write!(f, "{}", path.display()),
            Source::Descriptor(fd) => write!(f, "fd:{fd}"),
        }
    }
}

impl Source {
    /// The whole of it. Once the root has been changed a path would name what the image has
    /// there, and who made the image would write the rules.
    pub fn read(&self, next: &mut Next) -> Result<Vec<u8>> {
        /// Far more than the longest filter takes.
        const LIMIT: u64 = 4 << 20;
        let name = self.to_string();
        let file = match self {
            Source::Path(_) if next.has_detached_toolbox() => {
                return Err(Error::new("refused").object(&name).reason("a file of the new root").hint(
                    "open it before: fs-pivot --keep-fd 9 ... priv-drop --seccomp fd:9 ... 9<FILE",
                ));
            }
            Source::Path(path) => File::open(path).or_fail_on("can't open", path)?,
            Source::Descriptor(fd) => File::from(next.take(*fd)?),
        };
        let mut bytes = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut bytes).or_fail_on("can't read", &name)?;
        if bytes.len() as u64 > LIMIT {
            return Err(Error::new("refused").object(&name).reason("longer than 4 MiB"));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        assert_eq!("fd:9".parse(), Ok(Source::Descriptor(9)));
        assert_eq!("./fd:9".parse(), Ok(Source::Path("./fd:9".into())));
        for text in ["", "fd:", "fd:2", "fd:-1", "fd:x"] {
            assert!(text.parse::<Source>().is_err(), "{text}");
        }
    }
}

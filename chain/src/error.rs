//! One error type, printed as `TOOL: what failed: 'object': reason` with an optional hint.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;

pub use nix::errno::Errno;

/// The result of everything in Catena that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The tool itself failed, a usage error included (as env(1), nice(1) and timeout(1) have it).
pub const FAILED: u8 = 125;
/// COMMAND was found and can't be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// COMMAND was not found.
pub const NOT_FOUND: u8 = 127;

/// Why a link of the chain stopped, and the exit status that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Box<Parts>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    what: String,
    object: Option<OsString>,
    reason: Option<String>,
    errno: Option<Errno>,
    hint: Option<String>,
    status: u8,
}

impl Error {
    /// An error of the tool itself: status 125, `what` being what it failed to do.
    pub fn new(what: impl Into<String>) -> Self {
        Error(Box::new(Parts {
            what: what.into(),
            object: None,
            reason: None,
            errno: None,
            hint: None,
            status: FAILED,
        }))
    }

    /// Names what it failed on: a path, a word of the command line.
    #[must_use]
    pub fn object(mut self, object: impl AsRef<OsStr>) -> Self {
        self.0.object = Some(object.as_ref().to_owned());
        self
    }

    /// Says why, in words.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    /// Says why, by the kernel's number.
    #[must_use]
    pub fn because(mut self, errno: impl Into<io::Error>) -> Self {
        let error = errno.into();
        match error.raw_os_error() {
            Some(code) => {
                let errno = Errno::from_raw(code);
                self.0.errno = Some(errno);
                self.0.reason = Some(errno.desc().to_owned());
            }
            None => self.0.reason = Some(error.to_string()),
        }
        self
    }

    /// Adds the second line: the knob, limit or command that helps.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the second line if the kernel's number is `errno`, where that number misleads.
    #[must_use]
    pub fn hint_if(self, errno: Errno, hint: impl Into<String>) -> Self {
        if self.0.errno == Some(errno) { self.hint(hint) } else { self }
    }

    /// Sets the exit status: 125 unless COMMAND itself is the reason (126, 127).
    #[must_use]
    pub fn with_status(mut self, status: u8) -> Self {
        self.0.status = status;
        self
    }

    /// The exit status of the tool that fails so.
    pub fn status(&self) -> u8 {
        self.0.status
    }

    /// The kernel's number, if that is the reason.
    pub fn errno(&self) -> Option<Errno> {
        self.0.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.what)?;
        if let Some(object) = &self.0.object {
            write!(f, ": {}", Quoted(object))?;
        }
        if let Some(reason) = &self.0.reason {
            write!(f, ": {reason}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// A name between quotes, its control bytes and what is not UTF-8 escaped, so that it can neither
/// move the cursor nor fake a line of the log.
pub struct Quoted<'a>(pub &'a OsStr);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        for chunk in self.0.as_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("'")
    }
}

/// Turns a failed system call into an [`Error`] that says what it was for.
pub trait ResultExt<T> {
    /// What failed.
    fn or_fail(self, what: &str) -> Result<T>;
    /// What failed, and on which object.
    fn or_fail_on(self, what: &str, object: impl AsRef<OsStr>) -> Result<T>;
}

impl<T, E: Into<io::Error>> ResultExt<T> for std::result::Result<T, E> {
    fn or_fail(self, what: &str) -> Result<T> {
        self.map_err(|e| Error::new(what).because(e))
    }

    fn or_fail_on(self, what: &str, object: impl AsRef<OsStr>) -> Result<T> {
        self.map_err(|e| Error::new(what).object(object).because(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_has_the_form_of_the_design() {
        let error = Error::new("can't open").object("/x").because(Errno::ENOENT).hint("look");
        assert_eq!(error.to_string(), "can't open: '/x': No such file or directory\nhint: look");
        assert_eq!(error.status(), 125);
    }

    #[test]
    fn hint_only_where_the_errno_misleads() {
        let error = Error::new("can't").because(Errno::EPERM).hint_if(Errno::ENOSPC, "limit");
        assert_eq!(error.to_string(), "can't: Operation not permitted");
    }

    #[test]
    fn control_bytes_are_escaped() {
        let name = OsStr::from_bytes(b"a\x1b[2J\n\xff\\");
        assert_eq!(Quoted(name).to_string(), r"'a\u{1b}[2J\n\xff\\'");
    }
}

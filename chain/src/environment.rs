//! The environment as the kernel has it: a list of byte strings, order and odd entries kept.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use crate::sys;

/// The environment of the next program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment(Vec<CString>);

impl Environment {
    /// The environment that this process was given.
    pub fn of_this_process() -> Self {
        Environment(sys::environ())
    }

    /// The value of `name`: the first entry counts, as for getenv(3).
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.iter().find_map(|entry| value_of(entry, name))
    }

    /// Sets `name`; where it stands already its place is kept. An entry can't hold a NUL byte:
    /// one in `value` ends it.
    pub fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let mut entry = Vec::from(name);
        entry.push(b'=');
        entry.extend(value.as_ref().as_bytes().iter().take_while(|&&byte| byte != 0));
        let entry = CString::new(entry).unwrap_or_default();
        match self.0.iter_mut().find(|old| value_of(old, name).is_some()) {
            Some(old) => *old = entry,
            None => self.0.push(entry),
        }
    }

    /// Removes every entry of `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|entry| value_of(entry, name).is_none());
    }

    /// Removes every entry whose name begins with `prefix`.
    pub fn remove_prefix(&mut self, prefix: &str) {
        self.0.retain(|entry| !entry.to_bytes().starts_with(prefix.as_bytes()));
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The entries, in the form that execve(2) takes.
    pub fn entries(&self) -> &[CString] {
        &self.0
    }
}

fn value_of<'a>(entry: &'a CStr, name: &str) -> Option<&'a OsStr> {
    let value = entry.to_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    Some(OsStr::from_bytes(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(entries: &[&str]) -> Environment {
        Environment(entries.iter().map(|e| CString::new(*e).unwrap()).collect())
    }

    #[test]
    fn odd_entries_survive() {
        let mut env = environment(&["A=1", "no equals sign", "=x", "A=2", "AB=3"]);
        assert_eq!(env.get("A"), Some(OsStr::new("1")));
        env.set("A", "9");
        env.remove("AB");
        assert_eq!(env, environment(&["A=9", "no equals sign", "=x", "A=2"]));
        env.remove("A");
        assert_eq!(env, environment(&["no equals sign", "=x"]));
    }
}

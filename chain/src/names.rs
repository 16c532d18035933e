//! The names of our own tools: the words that the toolbox, not PATH, resolves.

use std::ffi::OsStr;

/// Every binary of the toolbox.
pub const TOOLS: &[&str] = &[
    "cg-enter",
    "cg-signal",
    "cg-stat",
    "fs-pivot",
    "listen-fds",
    "mini-init",
    "notify-bridge",
    "ns-enter",
    "ns-unshare",
    "priv-drop",
];

/// Whether `word` names one of our tools.
pub fn is_ours(word: &OsStr) -> bool {
    TOOLS.iter().any(|name| word == *name)
}

//! What must hold for every input: one module a target, with a function `check` that panics where
//! something does not.
//!
//! The fuzzers call it with what they make up, and the tests with the corpus.

pub mod accounts;
pub mod id_maps;
pub mod mount_options;
pub mod mountinfo;
pub mod notify;
pub mod plan;
pub mod resolver;
pub mod seccomp_profile;
pub mod sizes;

/// A target: its name, and what must hold.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("accounts", accounts::check),
    ("id_maps", id_maps::check),
    ("mount_options", mount_options::check),
    ("mountinfo", mountinfo::check),
    ("notify", notify::check),
    ("plan", plan::check),
    ("resolver", resolver::check),
    ("seccomp_profile", seccomp_profile::check),
    ("sizes", sizes::check),
];

/// The input as text; what is no UTF-8 is none.
fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

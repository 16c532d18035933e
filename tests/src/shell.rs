//! The shells in which people type a pipeline.

use crate::{Chain, User, need};

/// Each of them, as it is started with a script in one word.
pub const SHELLS: [&str; 4] = ["bash -c", "dash -c", "zsh -c", "busybox sh -c"];

/// Those of [`SHELLS`] that this machine has.
pub fn shells() -> Vec<&'static str> {
    let there = |shell: &&str| {
        let program = need::program(shell.split(' ').next().unwrap_or_default());
        program.inspect_err(|reason| need::skip(reason)).is_ok()
    };
    SHELLS.into_iter().filter(there).collect()
}

/// `script`, run by `shell`.
pub fn script(user: User, shell: &str, script: impl AsRef<str>) -> Chain {
    Chain::new(user, shell).arg(script.as_ref())
}

/// `script`, run by each of the shells: `check` is given the chain, to be run, and its shell.
pub fn in_each(user: User, text: impl AsRef<str>, mut check: impl FnMut(Chain)) {
    for shell in shells() {
        check(script(user, shell, text.as_ref()));
    }
}

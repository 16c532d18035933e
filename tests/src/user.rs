//! Who runs a chain.

use std::sync::OnceLock;

use nix::unistd::{Gid, Uid};

use crate::{Chain, Ended};

/// The one who starts the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// uid 0.
    Root,
    /// Somebody without privilege: no capabilities, no supplementary groups, no passwd entry.
    /// The present user, where the suite does not run as root.
    Ordinary,
}

/// The ids of [`User::Ordinary`] when root runs the suite: any number that nobody has.
const ORDINARY: u32 = 4242;

impl User {
    /// Whether the suite itself runs as root, and so can become anybody.
    pub fn suite_is_root() -> bool {
        Uid::effective().is_root()
    }

    /// The user id.
    pub fn uid(self) -> u32 {
        match self {
            User::Root => 0,
            User::Ordinary if User::suite_is_root() => ORDINARY,
            User::Ordinary => Uid::effective().as_raw(),
        }
    }

    /// The group id.
    pub fn gid(self) -> u32 {
        match self {
            User::Root => 0,
            User::Ordinary if User::suite_is_root() => ORDINARY,
            User::Ordinary => Gid::effective().as_raw(),
        }
    }

    /// What every user can: run a program.
    pub fn can_run(self) -> Result<(), String> {
        Ok(())
    }

    /// Whether the kernel lets this user make namespaces, asked of unshare(1).
    pub fn can_isolate(self) -> Result<(), String> {
        static ANSWERS: [OnceLock<Result<(), String>>; 2] = [OnceLock::new(), OnceLock::new()];
        let answer = &ANSWERS[usize::from(self.is_root())];
        let ask = || {
            let asked =
                Chain::new(self, "unshare --user --map-root-user --mount --pid --fork true").run();
            match asked.ended {
                Some(Ended::Exit(0)) => Ok(()),
                _ => Err(format!(
                    "uid {} can't make namespaces: {}",
                    self.uid(),
                    asked.stderr.trim_end()
                )),
            }
        };
        answer.get_or_init(ask).clone()
    }

    /// Whether this is root.
    pub fn is_root(self) -> bool {
        self == User::Root
    }
}

/// Makes two tests of each function named: one as root, one as an ordinary user.
///
/// It stands at the head of a file, as its table of contents. A function that is not listed is
/// dead code, and the compiler says so. What all of them need can stand before the names:
/// `each_user![if User::can_isolate; ...]`.
#[macro_export]
macro_rules! each_user {
    (if $need:path; $($name:ident),+ $(,)?) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn as_root() {
                if $crate::User::suite_is_root() {
                    $crate::need!($need($crate::User::Root));
                    super::$name($crate::User::Root);
                }
            }

            #[test]
            fn as_ordinary_user() {
                $crate::need!($need($crate::User::Ordinary));
                super::$name($crate::User::Ordinary);
            }
        }
    )+};
    ($($name:ident),+ $(,)?) => {
        $crate::each_user![if $crate::User::can_run; $($name),+];
    };
}

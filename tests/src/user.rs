//! Who runs a chain.

use nix::unistd::{Gid, Uid};

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

    /// Whether this is root.
    pub fn is_root(self) -> bool {
        self == User::Root
    }
}

/// Makes two tests of each function named: one as root, one as an ordinary user.
///
/// It stands at the head of a file, as its table of contents. A function that is not listed is
/// dead code, and the compiler says so.
#[macro_export]
macro_rules! each_user {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn as_root() {
                if $crate::User::suite_is_root() {
                    super::$name($crate::User::Root);
                }
            }
            #[test]
            fn as_ordinary_user() {
                super::$name($crate::User::Ordinary);
            }
        }
    )+};
}

//! The harness of Catena's tests.
//!
//! A test runs a chain as a user would type it, and says all that it expects: the status, and
//! what stands on stdout and stderr, exactly, empty unless said otherwise.
//!
//! ```ignore
//! each_user![the_app_is_pid_2];
//!
//! fn the_app_is_pid_2(user: User) {
//!     let seen = Chain::new(user, "ns-unshare -- mini-init -- {probe}").see();
//!     assert_eq!(seen.pid, 2);
//! }
//! ```
//!
//! Four rules hold for all of it:
//!
//! - Each test runs as root and as an ordinary user (where the suite itself runs as root).
//! - What depends on namespaces runs in each way to have them: [`pivot::isolations`] gives the links,
//!   [`pivot::hosts`] throw-away hosts to attack.
//! - Each test of an isolation also runs without the tool and must see the opposite there: a
//!   test that can't fail shows nothing.
//! - What the machine lacks is named by [`need!`]; with `MUST_WORK=1` it is a failure, so that
//!   a suite which tests nothing can't look like one which passes.
//!
//! Each run lives in a [`Cell`], a cgroup sub-tree of its own. What is still in the cell when
//! the chain is over was left behind by it, and fails the test.

mod birth;
pub mod cell;
pub mod chain;
pub mod debian;
mod expected;
pub mod fault;
pub mod host;
pub mod interactive;
pub mod manager;
pub mod need;
pub mod outcome;
pub mod pivot;
pub mod process_trees;
pub mod rootfs;
pub mod running;
pub mod scratch;
pub mod seen;
pub mod shell;
mod sys;
pub mod systemd;
pub mod terminal;
pub mod toolbox;
pub mod tree;
pub mod user;

pub use cell::Cell;
pub use chain::Chain;
pub use expected::{Expected, any, like};
pub use interactive::Shell;
pub use outcome::{Ended, Outcome};
pub use rootfs::Rootfs;
pub use running::Running;
pub use scratch::Scratch;
pub use seen::Seen;
pub use user::User;

//! What every Catena tool shares: its arguments, the exec of the next link, errors, the monitor,
//! and the system calls that no crate offers.
//!
//! A tool is a type that implements [`Tool`] and a `main` that calls [`main`]:
//!
//! ```no_run
//! # use std::convert::Infallible;
//! #[derive(clap::Parser)]
//! #[command(name = "do-nothing")]
//! struct DoNothing {
//!     #[command(flatten)]
//!     link: chain::LinkArgs,
//! }
//!
//! impl chain::Tool for DoNothing {
//!     fn link(&self) -> &chain::LinkArgs {
//!         &self.link
//!     }
//!     fn explain(&self, to: &mut chain::Explanation) -> chain::Result<()> {
//!         to.step("does nothing");
//!         Ok(())
//!     }
//!     fn run(self, next: chain::Next) -> chain::Result<Infallible> {
//!         next.exec()
//!     }
//! }
//!
//! fn main() {
//!     chain::main::<DoNothing>()
//! }
//! ```

#![deny(unsafe_code)]

pub mod accounts;
mod act;
mod descendants;
pub mod descriptors;
pub mod environment;
mod errand;
mod error;
pub mod explain;
mod fork;
mod forward;
mod handover;
mod hearing;
pub mod help;
mod help_groups;
pub mod image;
mod job;
pub mod leash;
pub mod monitor;
pub mod mountinfo;
pub mod names;
pub mod namespace;
mod next;
pub mod pipeline;
pub mod plan;
pub mod procfs;
mod quote;
pub mod rare;
pub mod resolve;
mod search;
pub mod short_help;
pub mod signal;
mod standard_io;
mod start;
mod status;
#[allow(unsafe_code)]
pub mod sys;
mod terminal;
mod tool;
pub mod toolbox;
mod words;

pub use act::{Act, act};
pub use error::{Errno, Error, FAILED, NOT_EXECUTABLE, Quoted, Result, ResultExt};
pub use explain::Explanation;
pub use fork::{Fork, Role};
pub use job::Lead;
pub use monitor::Monitor;
pub use next::Next;
pub use status::Status;
pub use tool::{LinkArgs, Tool, main, main_after, print_note, print_warning};
pub use words::PathForm;

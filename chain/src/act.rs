//! A tool that stands outside of any chain: it looks at a container or acts on one, and starts no
//! COMMAND.

use clap::Parser;

use crate::error::Result;
use crate::start::Start;
use crate::{signal, standard_io, sys, tool};

/// One of these tools.
pub trait Act: Parser {
    /// Does its one thing; gives the exit status.
    fn run(self) -> Result<u8>;
}

/// The whole of such a tool's `main`.
pub fn act<T: Act>() -> ! {
    match Start::by_exec().and_then(start::<T>) {
        Ok(status) => sys::exit_now(status),
        Err(error) => tool::fail(T::command().get_name(), &error),
    }
}

fn start<T: Act>(given: Start) -> Result<u8> {
    tool::refuse_privileged_start()?;
    let words = given.words;
    let tool =
        crate::help::parse::<T>(&words).unwrap_or_else(|error| tool::usage::<T>(&error, &words));
    standard_io::check()?;
    signal::end_by_sigpipe();
    tool.run()
}

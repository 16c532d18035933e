//! `--pty`: a terminal of the container's own for the app, which has no way to the caller's.
//!
//! What is typed at the caller's terminal, or comes from whatever else standard input is, is written
//! to the new one, and what the app writes there to standard output. Nothing that the app does to
//! its terminal (TIOCSTI, modes, size) reaches the caller's.

mod open;
mod relay;

pub(crate) use relay::Relay;

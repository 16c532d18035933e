//! The system calls that neither `nix` nor `rustix` offers in a safe form, and nothing else: the
//! only unsafe code of the project.

mod arena;
mod confine;
mod descriptor;
mod mount;
mod process;
mod signal;
mod socket;
mod spawn;
mod start;
mod trace;
mod without_exec;

use std::io;

pub use confine::*;
pub use descriptor::*;
pub use mount::*;
pub use process::*;
pub use signal::*;
pub use socket::*;
pub use spawn::*;
pub use start::*;
pub use trace::*;
pub use without_exec::*;

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

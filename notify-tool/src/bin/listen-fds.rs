//! listen-fds: see the library.
#![forbid(unsafe_code)]

fn main() {
    chain::main::<notify_tool::ListenFds>()
}

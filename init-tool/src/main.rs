//! `mini-init`: see the library.

#![forbid(unsafe_code)]

fn main() {
    chain::main::<init_tool::MiniInit>()
}

//! `ns-unshare`: see the library.

#![forbid(unsafe_code)]

fn main() {
    chain::main::<unshare_tool::NsUnshare>()
}

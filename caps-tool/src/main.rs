//! `priv-drop`: see the library.

#![forbid(unsafe_code)]

fn main() {
    chain::main::<caps_tool::PrivDrop>()
}

//! `ns-enter`: see the library.

#![forbid(unsafe_code)]

fn main() {
    unshare_tool::ns_enter::main()
}

//! All tools in one program: see the library.

#![forbid(unsafe_code)]

fn main() {
    chain::image::main(&all_tools::TOOLS)
}

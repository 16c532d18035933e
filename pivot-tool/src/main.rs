//! See the library.

fn main() {
    chain::main::<pivot_tool::FsPivot>()
}

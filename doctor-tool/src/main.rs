//! `chain-doctor`: see the library.

#![forbid(unsafe_code)]

fn main() {
    chain::act::<doctor_tool::ChainDoctor>()
}

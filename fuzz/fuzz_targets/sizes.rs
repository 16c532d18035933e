//! Sizes, shares, names and lists of cg-enter: the claims are in the library's module `sizes`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::sizes::check(input));

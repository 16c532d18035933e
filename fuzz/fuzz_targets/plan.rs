//! Plans: the claims are in the library's module `plan`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::plan::check(input));

//! The in-root resolver: the claims are in the library's module `resolver`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::resolver::check(input));

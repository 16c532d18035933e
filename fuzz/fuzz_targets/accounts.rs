//! passwd(5) and group(5): the claims are in the library's module `accounts`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::accounts::check(input));

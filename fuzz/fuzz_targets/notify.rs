//! sd_notify(3) datagrams: the claims are in the library's module `notify`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::notify::check(input));

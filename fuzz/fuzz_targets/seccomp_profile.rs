//! Seccomp profiles: the claims are in the library's module `seccomp_profile`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::seccomp_profile::check(input));

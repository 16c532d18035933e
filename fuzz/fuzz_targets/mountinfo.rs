//! /proc/PID/mountinfo: the claims are in the library's module `mountinfo`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::mountinfo::check(input));

//! fs-pivot's options: the claims are in the library's module `mount_options`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::mount_options::check(input));

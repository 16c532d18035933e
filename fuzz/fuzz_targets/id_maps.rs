//! Id maps and subuid(5): the claims are in the library's module `id_maps`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| catena_fuzz::id_maps::check(input));

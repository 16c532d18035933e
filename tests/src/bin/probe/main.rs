//! The app of the tests: says what it sees, or does what it is told.
//!
//! Rust's runtime changes what a program starts with: it ignores SIGPIPE, catches SIGSEGV, and
//! opens /dev/null where 0, 1 or 2 are closed. The probe is there to see those very things, so it
//! has a `main` as in C and no runtime starts.

#![no_main]

mod act;
mod load;
mod look;

use std::io::Write;

/// The C entry point.
#[unsafe(no_mangle)]
extern "C" fn main(_count: libc::c_int, _words: *const *const libc::c_char) -> libc::c_int {
    // Before anything is opened.
    let descriptors = look::descriptors();
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.split_first() {
        None => {
            let seen = look::around(descriptors);
            let mut line = serde_json::to_vec(&seen).expect("a report is plain data");
            line.push(b'\n');
            // Nobody flushes stdout for a program without the runtime.
            let mut stdout = std::io::stdout().lock();
            match stdout.write_all(&line).and_then(|()| stdout.flush()) {
                Ok(()) => 0,
                Err(_) => 99,
            }
        }
        Some((deed, words)) => act::out(deed, words),
    }
}

//! The app of the tests: says what it sees, or does what it is told.
//!
//! Rust's runtime changes what a program starts with: it ignores SIGPIPE, catches SIGSEGV, and
//! opens /dev/null where 0, 1 or 2 are closed. The probe is there to see those very things, so it
//! has a `main` as in C and no runtime starts.

#![no_main]

mod act;
mod attack;
mod call;
mod load;
mod look;
mod signals;
mod tree;

use std::io::Write;

use catena_tests::Seen;

/// The C entry point.
#[unsafe(no_mangle)]
extern "C" fn main(_count: libc::c_int, _words: *const *const libc::c_char) -> libc::c_int {
    // Before anything is opened.
    let descriptors = steady(look::descriptors);
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.split_first() {
        // Where one of the calls that it makes to look is made to fail, it looks again.
        // The host's other processes are never the same twice.
        Some((deed, [])) if deed == "steadily" => report(&steady(|| Seen {
            processes: Default::default(),
            ..look::around(descriptors.clone())
        })),
        None => report(&look::around(descriptors)),
        Some((deed, words)) => act::out(deed, words),
    }
}

/// What `look` sees twice in a row.
fn steady<T: PartialEq>(look: impl Fn() -> T) -> T {
    let mut last = look();
    loop {
        let now = look();
        if now == last {
            return now;
        }
        last = now;
    }
}

fn report(seen: &Seen) -> libc::c_int {
    let mut line = serde_json::to_vec(seen).expect("a report is plain data");
    line.push(b'\n');
    // Nobody flushes stdout for a program without the runtime.
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(&line).and_then(|()| stdout.flush()) {
        Ok(()) => 0,
        Err(_) => 99,
    }
}

//! Skips: what a test needs and this machine lacks.

use std::io::Write;

/// Takes the value out of a `Result<T, String>`, or leaves the test, which counts as skipped.
///
/// With `MUST_WORK=1` in the environment a skip is a failure: continuous integration declares
/// that it has everything, and is held to it.
#[macro_export]
macro_rules! need {
    ($what:expr) => {
        match $what {
            Ok(value) => value,
            Err(reason) => {
                $crate::need::skip(&reason.to_string());
                return;
            }
        }
    };
}

/// Says why the present test is skipped, past the capture of the test runner.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    assert!(!must_work(), "{name} was skipped under MUST_WORK=1: {reason}");
    // print! and eprint! are captured for tests that pass; this is not.
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {reason}");
}

/// Whether a skip is a failure.
fn must_work() -> bool {
    std::env::var_os("MUST_WORK").is_some_and(|value| value == "1")
}

/// An existing program, or the reason why it can't be used.
pub fn program(name: &str) -> Result<std::path::PathBuf, String> {
    ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(|folder| std::path::Path::new(folder).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| format!("the program '{name}' is not installed"))
}

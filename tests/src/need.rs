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

/// Takes the value out of a `Result<T, String>`, or leaves the test, which is then one for another
/// of the machines that the suite runs on: with other controllers, swap, huge pages.
///
/// That it runs there is seen to by tests/accounted, from what this writes.
#[macro_export]
macro_rules! here_or_elsewhere {
    ($what:expr) => {
        match $what {
            Ok(value) => value,
            Err(reason) => {
                $crate::need::elsewhere(&reason.to_string());
                return;
            }
        }
    };
}

/// Says why the present test is one for another machine, past the capture of the test runner, and
/// in the file that `CATENA_ELSEWHERE` names.
pub fn elsewhere(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let program = std::env::current_exe().ok();
    let file = program.as_deref().and_then(|path| path.file_name()?.to_str()?.split('-').next());
    let line = format!("elsewhere: {} {name}: {reason}\n", file.unwrap_or("?"));
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(list) = std::env::var_os("CATENA_ELSEWHERE") {
        let list = std::fs::OpenOptions::new().append(true).create(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes())).expect("write down a test");
    }
}

/// Whether this is a machine of tests/vm/run with this security module, whose policy is for the
/// tests to make.
pub fn security_module(name: &str) -> Result<(), String> {
    if std::env::var_os("CATENA_VM").is_none() {
        return Err("this machine's security policy is not ours to change".into());
    }
    match security_modules().iter().any(|module| module == name) {
        true => Ok(()),
        false => Err(format!("{name} is not among the security modules")),
    }
}

/// The security modules of this kernel, as far as it says.
pub fn security_modules() -> Vec<String> {
    let list = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    list.trim().split(',').map(str::to_owned).collect()
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

//! What the process is given by exec, and what is done before `main`.

use std::ffi::{CStr, CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicU8, Ordering};

use super::arena::Arena;
use super::signal::is_ignored;

#[global_allocator]
pub(super) static ARENA: Arena = Arena::new();

/// What the process was given before Rust's runtime changed it: the runtime ignores SIGPIPE and
/// opens /dev/null on a closed 0, 1 or 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtStart {
    /// SIGPIPE was ignored.
    pub ignored_pipe: bool,
    /// SIGCHLD was ignored.
    pub ignored_child: bool,
    /// Bit n: descriptor n of 0 to 2 was closed.
    pub closed: u8,
}

static AT_START: AtomicU8 = AtomicU8::new(0);
const IGNORED_PIPE: u8 = 8;
const IGNORED_CHILD: u8 = 16;

extern "C" fn record_start() {
    let mut found = 0;
    for fd in 0..3 {
        // SAFETY: F_GETFD takes no pointer and changes nothing.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            found |= 1 << fd;
        }
    }
    if is_ignored(libc::SIGPIPE) {
        found |= IGNORED_PIPE;
    }
    if is_ignored(libc::SIGCHLD) {
        found |= IGNORED_CHILD;
    }
    AT_START.store(found, Ordering::Relaxed);
}

// SAFETY: an entry of .init_array is called once by the C start-up code before main, on the only
// thread; `record_start` makes system calls and stores to an atomic, both valid there.
#[used]
#[unsafe(link_section = ".init_array")]
static RECORD_START: extern "C" fn() = record_start;

/// Keeps what is allocated from here on apart from what was before, of which most will be given back.
pub fn begin_allocating_anew() {
    ARENA.begin_anew();
}

/// Gives back the memory that this process needed at its start: what has been freed, and the stack
/// below the caller.
pub fn give_memory_back() {
    /// More than any start needs, and less than the gap that the kernel keeps below a stack.
    const STACK: usize = 256 * 1024;
    /// What the functions called here need.
    const KEPT: usize = 4 * 1024;
    ARENA.give_back();
    let end = (super::spawn::stack_pointer() - KEPT) & !4095;
    // SAFETY: nothing that is in use lies below the stack pointer, but for KEPT bytes. Addresses
    // where nothing is mapped are passed over.
    unsafe { libc::madvise((end - STACK) as *mut libc::c_void, STACK, libc::MADV_DONTNEED) };
}

/// What was recorded before `main`.
pub fn at_start() -> AtStart {
    let found = AT_START.load(Ordering::Relaxed);
    AtStart {
        ignored_pipe: found & IGNORED_PIPE != 0,
        ignored_child: found & IGNORED_CHILD != 0,
        closed: found & 7,
    }
}

/// The path that this program was executed by (`AT_EXECFN`, getauxval(3)).
pub fn executed_file() -> Option<OsString> {
    // SAFETY: getauxval reads the auxiliary vector; its entry is 0 or the address of a C string that
    // the kernel put above the stack, where it stays.
    let file = unsafe { (libc::getauxval(libc::AT_EXECFN) as *const libc::c_char).as_ref() }?;
    // SAFETY: as just said.
    let file = unsafe { CStr::from_ptr(file) };
    Some(OsStr::from_bytes(file.to_bytes()).to_owned())
}

/// Whether the kernel calls this start privileged (`AT_SECURE`, getauxval(3)): setuid, setgid,
/// file capabilities.
pub fn is_secure_execution() -> bool {
    // SAFETY: getauxval reads the auxiliary vector that the kernel put there and never fails.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

unsafe extern "C" {
    #[link_name = "environ"]
    static ENVIRON: *const *const libc::c_char;
}

/// The environment, entry by entry, whatever its entries look like.
pub fn environ() -> Vec<CString> {
    let mut entries = Vec::new();
    // SAFETY: `ENVIRON` is null or a null-terminated array of C strings; nothing in this
    // single-threaded program changes it (no setenv anywhere).
    unsafe {
        let mut entry = ENVIRON;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    entries
}

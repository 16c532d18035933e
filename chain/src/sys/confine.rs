//! Seccomp filters and session keyrings.

use std::io;

use super::checked;

/// One instruction of classic BPF, laid out as `struct sock_filter` (linux/filter.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct BpfInstruction {
    /// What it does.
    pub code: u16,
    /// How many instructions are skipped if the test is true.
    pub jt: u8,
    /// How many instructions are skipped if the test is false.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

/// Adds a seccomp filter to those of this thread (SECCOMP_SET_MODE_FILTER of seccomp(2)); `flags`
/// are `SECCOMP_FILTER_FLAG_*`, none of those that return a descriptor.
pub fn add_seccomp_filter(flags: u32, program: &[BpfInstruction]) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        instructions: *const BpfInstruction,
    }
    let length = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { length, instructions: program.as_ptr() };
    // SAFETY: `program` mirrors struct sock_fprog and, like the instructions that it points to,
    // lives through the call, which copies them.
    checked(unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    })
    .map(drop)
}

/// The version of Landlock's interface that this kernel has (LANDLOCK_CREATE_RULESET_VERSION of
/// landlock_create_ruleset(2)); ENOSYS or EOPNOTSUPP where it is not built in or not enabled.
pub fn landlock_version() -> io::Result<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: u32 = 1;
    // SAFETY: with this flag no attributes are read, so that null is what they have to be.
    let version = checked(unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    })?;
    Ok(version as u32)
}

/// Puts this process into a new session keyring that nobody else has, and returns its serial
/// number (KEYCTL_JOIN_SESSION_KEYRING of keyctl(2)).
pub fn new_session_keyring() -> io::Result<i32> {
    // SAFETY: a null name asks for an anonymous keyring; nothing is read or written.
    let id = checked(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        )
    })?;
    Ok(id as i32)
}

/// The serial number of this process's session keyring (KEYCTL_GET_KEYRING_ID of keyctl(2)),
/// which is not made if there is none.
pub fn session_keyring() -> io::Result<i32> {
    // SAFETY: takes integers only.
    let id = checked(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            libc::KEYCTL_GET_KEYRING_ID,
            libc::KEY_SPEC_SESSION_KEYRING,
            0,
        )
    })?;
    Ok(id as i32)
}

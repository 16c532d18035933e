//! Reading another process's seccomp filters (ptrace(2)).

use std::io;
use std::time::{Duration, Instant};

use super::confine::BpfInstruction;
use super::{checked, retry};

/// A seccomp filter and the `SECCOMP_FILTER_FLAG_*` that it was added with, as far as they can be
/// known: `SECCOMP_FILTER_FLAG_LOG`.
pub type SeccompFilter = (Vec<BpfInstruction>, u32);

/// How long the process has until it is stopped.
const PATIENCE: Duration = Duration::from_secs(2);

/// The seccomp filters of process `pid`, the oldest first (PTRACE_SECCOMP_GET_FILTER, Linux 4.4).
///
/// Stops the process for a moment; ETIMEDOUT if it doesn't stop within two seconds, as one that
/// waits for its vfork(2) child does not. EACCES without CAP_SYS_ADMIN in the initial user namespace, or
/// where this process has a filter itself; EPERM where another process traces it.
pub fn seccomp_filters(pid: i32) -> io::Result<Vec<SeccompFilter>> {
    const PTRACE_EVENT_STOP: i32 = 128;
    trace(libc::PTRACE_SEIZE, pid, 0, 0)?;
    let mut status = 0;
    trace(libc::PTRACE_INTERRUPT, pid, 0, 0)?;
    // One that is not stopped is let go when this process ends.
    wait_for_stop(pid, &mut status)?;
    if !libc::WIFSTOPPED(status) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    let filters = read_all(pid);
    // What stopped it instead, if anything did, is its own to get.
    let signal = if status >> 16 == PTRACE_EVENT_STOP { 0 } else { libc::WSTOPSIG(status) };
    trace(libc::PTRACE_DETACH, pid, 0, signal as usize)?;
    filters
}

fn wait_for_stop(pid: i32, status: &mut i32) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        // SAFETY: `status` is a valid place for the result.
        let wait =
            || checked(unsafe { libc::waitpid(pid, status, libc::__WALL | libc::WNOHANG) }.into());
        if retry(wait)? != 0 {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
        }
        // A stop is told by SIGCHLD alone, which is not this function's to change.
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn read_all(pid: i32) -> io::Result<Vec<SeccompFilter>> {
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
    let mut filters = Vec::new();
    loop {
        let index = filters.len();
        let length = match trace(PTRACE_SECCOMP_GET_FILTER, pid, index, 0) {
            Ok(length) => length as usize,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(filters),
            Err(error) => return Err(error),
        };
        let mut program = vec![BpfInstruction { code: 0, jt: 0, jf: 0, k: 0 }; length];
        // A stopped process's filters don't change: this is as long as was said.
        trace(PTRACE_SECCOMP_GET_FILTER, pid, index, program.as_mut_ptr() as usize)?;
        filters.push((program, flags(pid, index)?));
    }
}

/// PTRACE_SECCOMP_GET_METADATA (Linux 4.16).
fn flags(pid: i32, index: usize) -> io::Result<u32> {
    const PTRACE_SECCOMP_GET_METADATA: libc::c_uint = 0x420d;
    let mut metadata = [index as u64, 0];
    let size = size_of_val(&metadata);
    trace(PTRACE_SECCOMP_GET_METADATA, pid, size, metadata.as_mut_ptr() as usize)?;
    Ok(metadata[1] as u32)
}

fn trace(request: libc::c_uint, pid: i32, address: usize, data: usize) -> io::Result<i64> {
    // SAFETY: the callers in this file give each request what it takes: no address at all, or that
    // of a buffer of the size that the kernel fills, alive during the call.
    checked(unsafe { libc::syscall(libc::SYS_ptrace, request, pid, address, data) })
}

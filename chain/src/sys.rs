//! The system calls that neither `nix` nor `rustix` offers in a safe form, and nothing else: the
//! only unsafe code of the project.

mod arena;

use std::ffi::{CStr, CString};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};

#[global_allocator]
static ARENA: arena::Arena = arena::Arena::new();

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

/// What was recorded before `main`.
pub fn at_start() -> AtStart {
    let found = AT_START.load(Ordering::Relaxed);
    AtStart {
        ignored_pipe: found & IGNORED_PIPE != 0,
        ignored_child: found & IGNORED_CHILD != 0,
        closed: found & 7,
    }
}

fn is_ignored(signal: i32) -> bool {
    // SAFETY: an all-zero sigaction is a valid value, and a null new action only queries.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

fn checked(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Ignores `signal`, or gives it its default disposition (sigaction(2)).
pub fn set_ignored(signal: i32, ignored: bool) -> io::Result<()> {
    let disposition = if ignored { libc::SIG_IGN } else { libc::SIG_DFL };
    // SAFETY: an all-zero sigaction with SIG_IGN or SIG_DFL is valid and names no handler.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = disposition;
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    checked(result.into()).map(drop)
}

/// Has `signal` interrupt system calls (EINTR) and nothing else.
pub fn interrupt_by(signal: i32) -> io::Result<()> {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: an all-zero sigaction is valid: no flags (SA_RESTART among them), an empty mask; the
    // handler does nothing, which is safe at any moment.
    let result = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(i32) as libc::sighandler_t;
        libc::sigaction(signal, &action, std::ptr::null_mut())
    };
    checked(result.into()).map(drop)
}

/// The calling thread's signal mask, all 64 bits (libc's wrapper hides signals 32 and 33).
pub fn signal_mask() -> io::Result<u64> {
    mask_call(None)
}

/// Sets the signal mask and returns the old one (rt_sigprocmask(2)).
pub fn set_signal_mask(mask: u64) -> io::Result<u64> {
    mask_call(Some(&mask))
}

fn mask_call(new: Option<&u64>) -> io::Result<u64> {
    let mut old = 0_u64;
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: both pointers are null or valid for the eight bytes that the last argument names.
    checked(unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, &mut old, size_of::<u64>())
    })?;
    Ok(old)
}

/// A descriptor that reads as the blocked signals in `mask` arrive (signalfd(2)); close-on-exec,
/// non-blocking.
pub fn signalfd(mask: u64) -> io::Result<OwnedFd> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: `mask` lives through the call and has the eight bytes that the third argument names.
    let fd = checked(unsafe {
        libc::syscall(libc::SYS_signalfd4, -1, &raw const mask, size_of::<u64>(), flags)
    })?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// One signal as signalfd(2) reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalInfo {
    /// Its number.
    pub signal: i32,
    /// `si_code`: who sent it and how (sigaction(2)); `SI_KERNEL` for the terminal.
    pub code: i32,
    /// The sender as this process's PID namespace sees it, 0 if it lies outside.
    pub pid: u32,
    /// The value sent with sigqueue(3).
    pub value: u64,
}

/// The next pending signal, or `None` when there is no more.
pub fn read_signal(fd: BorrowedFd<'_>) -> io::Result<Option<SignalInfo>> {
    let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::retry_on_intr(|| rustix::io::read(fd, &mut buffer)) {
        Ok(length) if length == buffer.len() => {}
        Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
        Err(rustix::io::Errno::AGAIN) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // SAFETY: signalfd_siginfo is plain integers, every bit pattern of which is valid, and the
    // buffer has exactly its size; read_unaligned asks for no alignment.
    let info: libc::signalfd_siginfo = unsafe { std::ptr::read_unaligned(buffer.as_ptr().cast()) };
    Ok(Some(SignalInfo {
        signal: info.ssi_signo as i32,
        code: info.ssi_code,
        pid: info.ssi_pid,
        value: info.ssi_ptr,
    }))
}

/// The head of `siginfo_t` for a queued signal, laid out as the kernel reads it on 64-bit Linux.
#[repr(C)]
struct QueuedSignal {
    signal: i32,
    errno: i32,
    code: i32,
    pad: i32,
    pid: i32,
    uid: u32,
    value: u64,
    rest: [u8; 128 - 32],
}

/// Sends `signal` with the value that came with it, as sigqueue(3) would
/// (pidfd_send_signal(2), Linux 5.1).
pub fn queue_signal(pidfd: BorrowedFd<'_>, signal: i32, value: u64) -> io::Result<()> {
    // SAFETY: getpid and getuid can't fail and touch no memory.
    let (pid, uid) = unsafe { (libc::getpid(), libc::getuid()) };
    let info = QueuedSignal {
        signal,
        errno: 0,
        code: libc::SI_QUEUE,
        pad: 0,
        pid,
        uid,
        value,
        rest: [0; 128 - 32],
    };
    // SAFETY: `info` has the 128 bytes of a siginfo_t and lives through the call.
    checked(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, &raw const info, 0)
    })
    .map(drop)
}

/// Sends `signal` to the process `pidfd`, as kill(2) would (pidfd_send_signal(2), Linux 5.1).
pub fn send_signal_to(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<QueuedSignal>();
    // SAFETY: a null info is allowed, and means what kill(2) would fill in.
    checked(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0)
    })
    .map(drop)
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

/// Takes over a descriptor whose number came with the environment or the command line.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no pointer and changes nothing.
    checked(unsafe { libc::fcntl(fd, libc::F_GETFD) }.into())?;
    // SAFETY: it is open, and the caller names a descriptor that was handed to this process and
    // that no other value here owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives descriptor `fd` the number `number` and closes what was open there (dup2(2)); it survives
/// the next exec.
pub fn place(fd: OwnedFd, number: RawFd) -> io::Result<()> {
    if fd.as_raw_fd() == number {
        return set_close_on_exec(fd.into_raw_fd(), false);
    }
    // SAFETY: dup2 takes two numbers; the caller says that nothing here owns `number`.
    checked(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into()).map(drop)
}

/// Sets close-on-exec on descriptor `fd`, or clears it (fcntl(2)); EBADF if it isn't open.
pub fn set_close_on_exec(fd: RawFd, on: bool) -> io::Result<()> {
    let flags = if on { libc::FD_CLOEXEC } else { 0 };
    // SAFETY: F_SETFD takes no pointer; it changes one flag of the descriptor.
    checked(unsafe { libc::fcntl(fd, libc::F_SETFD, flags) }.into()).map(drop)
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), Linux 5.11).
pub fn close_on_exec_from(first: RawFd) -> io::Result<()> {
    // SAFETY: CLOSE_RANGE_CLOEXEC closes nothing: it sets a flag.
    checked(unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
    .map(drop)
}

/// Which process this is after [`fork`].
#[derive(Debug)]
pub enum Forked {
    /// The old one.
    Parent {
        /// The child's id in this process's PID namespace.
        pid: i32,
        /// The child, whatever happens to its id; close-on-exec.
        pidfd: OwnedFd,
    },
    /// The new one.
    Child,
}

/// Forks, the child being put in new namespaces (`CLONE_NEW*` in `flags`) and into `cgroup` from
/// its first instruction on. clone(2) suffices unless a cgroup or CLONE_NEWTIME asks for clone3
/// (Linux 5.7), which seccomp profiles of container engines refuse.
pub fn fork(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Forked> {
    /// linux/sched.h; libc's constant is too narrow for it.
    const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
    let mut pidfd: RawFd = -1;
    let flags = flags | libc::CLONE_PIDFD as u64;
    let pid = if cgroup.is_some() || flags & libc::CLONE_NEWTIME as u64 != 0 {
        // SAFETY: an all-zero clone_args is valid.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = flags;
        args.pidfd = (&raw mut pidfd) as u64;
        args.exit_signal = libc::SIGCHLD as u64;
        if let Some(cgroup) = cgroup {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = cgroup.as_raw_fd() as u64;
        }
        // SAFETY: without CLONE_VM the child gets its own copy of all memory and the same stack,
        // as with fork(2); the process has one thread, so no lock is held by another.
        unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) }
    } else {
        // SAFETY: as above; a null stack means the caller's, and the third argument is where
        // x86_64 and aarch64 both store the pidfd.
        unsafe {
            libc::syscall(
                libc::SYS_clone,
                flags | libc::SIGCHLD as u64,
                0_usize,
                &raw mut pidfd,
                0_usize,
                0_usize,
            )
        }
    };
    match checked(pid)? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent {
            pid: pid as i32,
            // SAFETY: the kernel stored a new descriptor there, in the parent only.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Ends the process at once: no destructors, no exit handlers, which a forked child must not run.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: _exit never returns and needs no state of this program.
    unsafe { libc::_exit(status.into()) }
}

/// Arranges that the kernel sends `signal` to process `pid` when something happens to pipe end
/// `fd` (F_SETOWN_EX, F_SETSIG and O_ASYNC of fcntl(2)): here, when its last writer is gone.
pub fn signal_on_event(fd: BorrowedFd<'_>, pid: i32, signal: i32) -> io::Result<()> {
    #[repr(C)]
    struct Owner {
        kind: i32,
        pid: i32,
    }
    const F_SETSIG: i32 = 10;
    const F_SETOWN_EX: i32 = 15;
    const F_OWNER_PID: i32 = 1;
    let owner = Owner { kind: F_OWNER_PID, pid };
    let fd = fd.as_raw_fd();
    // SAFETY: F_SETOWN_EX reads a struct f_owner_ex, which `Owner` mirrors, during the call; the
    // other two take integers.
    unsafe {
        checked(libc::fcntl(fd, F_SETOWN_EX, &raw const owner).into())?;
        checked(libc::fcntl(fd, F_SETSIG, signal).into())?;
        checked(libc::fcntl(fd, libc::F_SETFL, libc::O_ASYNC).into())?;
    }
    Ok(())
}

/// Changes the attributes of the mount `fd` (mount_setattr(2), Linux 5.12), of all mounts below
/// it too if `recursive`. `set` and `clear` are `MOUNT_ATTR_*`, `propagation` is 0 or `MS_*`.
pub fn mount_setattr(
    fd: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    clear: u64,
    propagation: u64,
) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: clear, propagation, userns_fd: 0 };
    set_mount_attributes(fd, recursive, attributes)
}

/// Shows the files of the detached mount `fd`, of all mounts below it too if `recursive`, with
/// owners mapped as user namespace `namespace` maps its ids (mount_setattr(2), Linux 5.12).
pub fn mount_idmap(
    fd: BorrowedFd<'_>,
    recursive: bool,
    namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: namespace.as_raw_fd() as u64,
    };
    set_mount_attributes(fd, recursive, attributes)
}

fn set_mount_attributes(
    fd: BorrowedFd<'_>,
    recursive: bool,
    attributes: libc::mount_attr,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string and `attributes` has the size that is named.
    checked(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    })
    .map(drop)
}

/// The number of a loop device that nobody uses (LOOP_CTL_GET_FREE, loop(4)).
pub fn free_loop_device(control: BorrowedFd<'_>) -> io::Result<u32> {
    const LOOP_CTL_GET_FREE: u64 = 0x4c82;
    // SAFETY: this request takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    checked(number.into()).map(|number| number as u32)
}

/// linux/loop.h's struct loop_config, with the parts that are not set as bytes.
#[repr(C)]
struct LoopConfig {
    file: u32,
    block_size: u32,
    info_numbers: [u64; 5],
    info_number: u32,
    info_encryption: [u32; 2],
    info_flags: u32,
    info_names: [u8; 64 + 64 + 32],
    info_init: [u64; 2],
    reserved: [u64; 8],
}

/// Makes loop device `device` show `file`, read-only and until its last user is gone
/// (LOOP_CONFIGURE, Linux 5.8); EBUSY if somebody else was faster.
pub fn set_up_loop_device(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    const LOOP_CONFIGURE: u64 = 0x4c0a;
    const LO_FLAGS_READ_ONLY: u32 = 1;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    // SAFETY: all fields are integers, for which zero is valid.
    let mut config: LoopConfig = unsafe { std::mem::zeroed() };
    config.file = file.as_raw_fd() as u32;
    config.info_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    // SAFETY: the request reads a struct loop_config, which `LoopConfig` mirrors field by field.
    let done = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw const config) };
    checked(done.into()).map(drop)
}

/// The user namespace that owns namespace `fd` (NS_GET_USERNS, ioctl_ns(2)); EPERM if it lies
/// outside of the caller's.
pub fn owning_user_namespace(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: u64 = 0xb701;
    // SAFETY: this request takes no argument and returns a new descriptor.
    let owner = checked(unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_USERNS as _) }.into())?;
    // SAFETY: the kernel just gave this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(owner as RawFd) })
}

/// Borrows a descriptor whose number came with the environment or the command line; `None` if it
/// is not open. For looking at it, not for keeping it.
pub fn borrow(fd: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: F_GETFD takes no pointer and changes nothing.
    let open = fd >= 0 && unsafe { libc::fcntl(fd, libc::F_GETFD) } != -1;
    // SAFETY: it is open and not -1; descriptors that others handed to this process are closed
    // by nobody here before the exec.
    open.then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Sends `signal` to process `pid`, to group `-pid`, or to all with -1 (kill(2)).
pub fn send_signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers.
    checked(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Sends `signal` to the process behind `pidfd`, whatever became of its number
/// (pidfd_send_signal(2), Linux 5.1).
pub fn signal_by_pidfd(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks for that of kill(2); the other arguments are integers.
    checked(unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0)
    })
    .map(drop)
}

/// What waitpid(2) says of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It called exit(3) with this status.
    Exited(u8),
    /// This signal ended it.
    Signaled(i32),
    /// This signal stopped it.
    Stopped(i32),
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Exited(code) => write!(f, "exited with {code}"),
            Change::Signaled(signal) => write!(f, "killed by signal {signal}"),
            Change::Stopped(signal) => write!(f, "stopped by signal {signal}"),
        }
    }
}

/// Collects one change of state of any child, or `None` if there is none now; ECHILD if there is
/// no child. (`nix` knows no real-time signals here.)
pub fn wait_any() -> io::Result<Option<(i32, Change)>> {
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::WUNTRACED) };
    let pid = checked(pid.into())? as i32;
    let change = if libc::WIFEXITED(status) {
        Change::Exited(libc::WEXITSTATUS(status) as u8)
    } else if libc::WIFSIGNALED(status) {
        Change::Signaled(libc::WTERMSIG(status))
    } else {
        Change::Stopped(libc::WSTOPSIG(status))
    };
    Ok((pid != 0).then_some((pid, change)))
}

/// Lets the same user's processes copy this one's descriptors where Yama restricts that to
/// ancestors (PR_SET_PTRACER(2const)); without Yama there is nothing to be done.
pub fn allow_descriptor_access() -> io::Result<()> {
    // SAFETY: this prctl takes an integer.
    let result = unsafe { libc::prctl(libc::PR_SET_PTRACER, libc::PR_SET_PTRACER_ANY, 0, 0, 0) };
    match checked(result.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINVAL) => Err(error),
        _ => Ok(()),
    }
}

/// What recvmsg(2) says of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of the buffer it has filled.
    pub length: usize,
    /// How many bytes of ancillary data it has filled (cmsg(3)).
    pub control: usize,
    /// The datagram, or its ancillary data, did not fit.
    pub is_cut: bool,
}

/// Receives a datagram without waiting; descriptors that come with it are close-on-exec and belong
/// to the caller. (`rustix` takes a sender's process id for one that can't be 0, and `nix` hides
/// the descriptors of a message that did not fit.)
pub fn receive(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    control: &mut [u64],
) -> io::Result<Datagram> {
    let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    // SAFETY: an all-zero msghdr is valid: no address, no buffers.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // The C libraries differ in this type's layout; the kernel knows one.
    // SAFETY: the buffers that `message` names are exclusively borrowed with those lengths.
    let length = checked(unsafe {
        libc::syscall(libc::SYS_recvmsg, socket.as_raw_fd(), &raw mut message, flags)
    })?;
    Ok(Datagram {
        length: length as usize,
        control: message.msg_controllen as usize,
        is_cut: message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
    })
}

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

//! The profile that is built in: what a container may ask of the kernel.
//!
//! Moby's published default is the reference for what programs need and what they can do without.
//! Where this one differs it is tighter: two ioctls, all 32-bit entry points, and comparisons
//! that see what the kernel sees.

use rustix::thread::CapabilitySet;

use crate::seccomp::policy::{Action, Condition, LOW_HALF, Operator, Policy, Rule};
use crate::seccomp::syscalls::{Syscall, named};

/// Every process may make these.
const ANYBODY: &[&str] = &[
    // Reading and writing.
    "read pread64 readv preadv preadv2 write pwrite64 writev pwritev pwritev2 lseek sendfile \
     copy_file_range splice tee vmsplice readahead fadvise64 sync syncfs fsync fdatasync \
     sync_file_range truncate ftruncate fallocate",
    // Descriptors.
    "open openat openat2 creat close close_range dup dup2 dup3 fcntl flock pipe pipe2 eventfd \
     eventfd2 signalfd signalfd4 memfd_create memfd_secret pidfd_open",
    // Waiting for them.
    "select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait \
     epoll_wait_old epoll_pwait epoll_pwait2 inotify_init inotify_init1 inotify_add_watch \
     inotify_rm_watch fanotify_mark",
    // Asynchronous I/O of the old kind; io_uring has been the way into too many kernels.
    "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents",
    // Names in the file system.
    "access faccessat faccessat2 stat lstat fstat newfstatat statx statfs fstatfs statmount \
     listmount cachestat readlink readlinkat getdents getdents64 mkdir mkdirat mknod mknodat rmdir \
     unlink unlinkat link linkat symlink symlinkat rename renameat renameat2 chdir fchdir getcwd \
     chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat umask utime utimes futimesat \
     utimensat name_to_handle_at",
    // Extended attributes.
    "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr \
     llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat",
    // Memory.
    "brk mmap munmap mremap mprotect msync madvise mincore mlock mlock2 mlockall munlock \
     munlockall membarrier mseal pkey_alloc pkey_free pkey_mprotect remap_file_pages \
     map_shadow_stack",
    // Processes and threads.
    "fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid \
     getpgrp setpgid getsid setsid set_tid_address set_robust_list get_robust_list rseq \
     arch_prctl set_thread_area get_thread_area modify_ldt prctl process_mrelease ptrace \
     process_vm_readv process_vm_writev restart_syscall uretprobe",
    // Waking each other.
    "futex futex_wait futex_wake futex_waitv futex_requeue",
    // Signals.
    "kill tkill tgkill pidfd_send_signal rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend \
     rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo rt_sigreturn sigaltstack pause",
    // Who one is. What the ids and capabilities allow, the kernel checks.
    "getuid geteuid getresuid setuid setreuid setresuid setfsuid getgid getegid getresgid setgid \
     setregid setresgid setfsgid getgroups setgroups capget capset",
    // Giving more up.
    "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    // Limits and scheduling.
    "getrlimit setrlimit prlimit64 getrusage getpriority setpriority ioprio_get ioprio_set \
     getcpu sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr \
     sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_get_priority_min \
     sched_get_priority_max sched_rr_get_interval",
    // Time. The clocks are changed only by who has CAP_SYS_TIME.
    "time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep adjtimex \
     clock_adjtime times alarm getitimer setitimer timer_create timer_settime timer_gettime \
     timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime",
    // Sockets, once made.
    "socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt \
     setsockopt sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg",
    // Communication of the old kind.
    "shmget shmat shmctl shmdt semget semop semtimedop semctl msgget msgsnd msgrcv msgctl \
     mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr",
    // The system.
    "uname sysinfo getrandom",
];

/// What a capability that is left opens; without it these fail with EPERM.
const BY_CAPABILITY: &[(CapabilitySet, &str)] = &[
    (
        CapabilitySet::SYS_ADMIN,
        "mount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick \
         clone clone3 unshare setns sethostname setdomainname bpf perf_event_open fanotify_init \
         lookup_dcookie quotactl quotactl_fd syslog lsm_get_self_attr lsm_set_self_attr \
         lsm_list_modules",
    ),
    (CapabilitySet::DAC_READ_SEARCH, "open_by_handle_at"),
    (CapabilitySet::SYS_BOOT, "reboot"),
    (CapabilitySet::SYS_CHROOT, "chroot"),
    (CapabilitySet::SYS_MODULE, "init_module finit_module delete_module"),
    (CapabilitySet::SYS_PACCT, "acct"),
    (CapabilitySet::SYS_PTRACE, "kcmp pidfd_getfd process_madvise"),
    (CapabilitySet::SYS_RAWIO, "iopl ioperm"),
    (CapabilitySet::SYS_TIME, "settimeofday clock_settime"),
    (CapabilitySet::SYS_TTY_CONFIG, "vhangup"),
    (CapabilitySet::SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    (CapabilitySet::SYSLOG, "syslog"),
    (CapabilitySet::BPF, "bpf"),
    (CapabilitySet::PERFMON, "perf_event_open"),
];

/// `CLONE_NEW*` of clone(2): NS, CGROUP, UTS, IPC, USER, PID, NET.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// Put characters into a terminal's input, as if typed (TIOCSTI); the same with the console's
/// selection (TIOCLINUX).
const TYPING: [u64; 2] = [0x5412, 0x541c];
/// Address families that no container needs and that reach past its network namespace or into
/// seldom visited code: DECnet, Econet, ATM SVC, IrDA, WAN, IUCV, CAIF, the crypto API (ALG), the
/// hypervisor (VSOCK).
const FAMILIES: [u64; 9] = [12, 19, 20, 23, 25, 34, 37, 38, 40];
/// The first family that this profile doesn't know.
const NEW_FAMILY: u64 = 46;
/// Linux, 32 bits (LINUX32), new or not (UNAME26), and the question what it is.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, LOW_HALF];

/// Whether the profile is the same for the capabilities `left` as for none.
pub fn opens_nothing(left: CapabilitySet) -> bool {
    !BY_CAPABILITY.iter().any(|(capability, _)| left.contains(*capability))
}

/// The profile for a process that keeps the capabilities `left`.
pub fn policy(left: CapabilitySet) -> Policy {
    let mut policy = Policy {
        rules: Default::default(),
        default: Action::Errno(libc::EPERM as u16),
        newest: ANYBODY.iter().flat_map(|names| numbers(names)).max(),
    };
    let mut add = |names: &str, conditions: Vec<Condition>, action: Action| {
        for number in numbers(names) {
            let rule = Rule { conditions: conditions.clone(), action };
            policy.rules.entry(number).or_default().push(rule);
        }
    };
    for names in ANYBODY {
        add(names, vec![], Action::Allow);
    }
    for (capability, names) in BY_CAPABILITY {
        if left.contains(*capability) {
            add(names, vec![], Action::Allow);
        }
    }
    if !left.contains(CapabilitySet::SYS_ADMIN) {
        let plain = Condition { mask: NEW_NAMESPACES, ..first(Operator::Eq, 0) };
        add("clone", vec![plain], Action::Allow);
        // Its flags stand in memory, where no filter can look; libraries fall back to clone.
        add("clone3", vec![], Action::Errno(libc::ENOSYS as u16));
    }
    for request in TYPING {
        let request = Condition { argument: 1, ..first(Operator::Eq, request) };
        add("ioctl", vec![request], Action::Errno(libc::EPERM as u16));
    }
    add("ioctl", vec![], Action::Allow);
    let no_family = Action::Errno(libc::EAFNOSUPPORT as u16);
    for family in FAMILIES {
        add("socket", vec![first(Operator::Eq, family)], no_family);
    }
    add("socket", vec![first(Operator::Ge, NEW_FAMILY)], no_family);
    add("socket", vec![], Action::Allow);
    for personality in PERSONALITIES {
        add("personality", vec![first(Operator::Eq, personality)], Action::Allow);
    }
    policy
}

/// What keeps a process from making user namespaces, whatever else it may do.
pub fn no_user_namespaces() -> Policy {
    const NEW_USER: u64 = 0x1000_0000;
    let asks = Condition { mask: NEW_USER, ..first(Operator::Eq, NEW_USER) };
    let refuse = |action, conditions| vec![Rule { conditions, action }];
    let denied = Action::Errno(libc::EPERM as u16);
    let mut rules = std::collections::BTreeMap::new();
    for number in numbers("clone unshare") {
        rules.insert(number, refuse(denied, vec![asks]));
    }
    for number in numbers("clone3") {
        rules.insert(number, refuse(Action::Errno(libc::ENOSYS as u16), vec![]));
    }
    Policy { rules, default: Action::Allow, newest: None }
}

/// A condition on the low half of the first argument.
fn first(operator: Operator, value: u64) -> Condition {
    Condition { argument: 0, mask: LOW_HALF, operator, value }
}

/// This machine's numbers of names that the table has.
fn numbers(names: &str) -> impl Iterator<Item = u32> {
    names.split_whitespace().filter_map(|name| match named(name) {
        Some(Syscall::Number(number)) => Some(number),
        Some(Syscall::NotHere) | None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::bpf::Call;
    use crate::seccomp::policy::{MACHINE, X32};

    fn decide(left: CapabilitySet, name: &str, arguments: [u64; 6]) -> Action {
        let Some(Syscall::Number(number)) = named(name) else { panic!("{name}") };
        policy(left).decide(&Call { number, machine: MACHINE, arguments })
    }

    const NONE: CapabilitySet = CapabilitySet::empty();
    const DENIED: Action = Action::Errno(libc::EPERM as u16);
    const UNKNOWN: Action = Action::Errno(libc::ENOSYS as u16);

    #[test]
    fn every_name_is_in_the_table() {
        let lists = ANYBODY.iter().chain(BY_CAPABILITY.iter().map(|(_, names)| names));
        for name in lists.flat_map(|names| names.split_whitespace()) {
            assert!(named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn capabilities_open_what_they_are_for() {
        for name in ["mount", "unshare", "setns", "bpf", "reboot", "chroot", "kcmp", "open_tree"] {
            assert_eq!(decide(NONE, name, [0; 6]), DENIED, "{name}");
            assert_eq!(decide(CapabilitySet::all(), name, [0; 6]), Action::Allow, "{name}");
        }
        for name in ["keyctl", "add_key", "request_key", "io_uring_setup", "userfaultfd"] {
            assert_eq!(decide(CapabilitySet::all(), name, [0; 6]), DENIED, "{name}");
        }
    }

    #[test]
    fn h1_the_low_half_counts() {
        for high in [0, 1 << 32, LOW_HALF << 32] {
            assert_eq!(decide(NONE, "ioctl", [0, high | 0x5412, 0, 0, 0, 0]), DENIED);
            assert_eq!(decide(NONE, "ioctl", [0, high | 0x541c, 0, 0, 0, 0]), DENIED);
            assert_eq!(decide(NONE, "ioctl", [0, high | 0x5401, 0, 0, 0, 0]), Action::Allow);
            assert_ne!(decide(NONE, "socket", [high | 40, 1, 0, 0, 0, 0]), Action::Allow);
            assert_ne!(decide(NONE, "socket", [high | 99, 1, 0, 0, 0, 0]), Action::Allow);
            assert_eq!(decide(NONE, "socket", [high | 2, 1, 0, 0, 0, 0]), Action::Allow);
            assert_eq!(decide(NONE, "clone", [high | 0x1000_0011, 0, 0, 0, 0, 0]), DENIED);
            assert_eq!(decide(NONE, "personality", [high | 0x40_0000, 0, 0, 0, 0, 0]), DENIED);
        }
        assert_eq!(decide(NONE, "clone", [17, 0, 0, 0, 0, 0]), Action::Allow);
        assert_eq!(decide(NONE, "clone3", [0; 6]), UNKNOWN);
    }

    #[test]
    fn h1_other_machines_and_newer_calls() {
        let decide =
            |machine, number| policy(NONE).decide(&Call { number, machine, arguments: [0; 6] });
        assert_eq!(decide(MACHINE, 466), Action::Allow);
        for number in [467, 600, X32 - 1, X32, X32 + 1, u32::MAX] {
            assert_eq!(decide(MACHINE, number), UNKNOWN, "{number}");
        }
        assert_eq!(decide(0x4000_0003, 1), Action::KillProcess);
    }

    #[test]
    fn user_namespaces_alone() {
        let decide = |name: &str, flags: u64| {
            let Some(Syscall::Number(number)) = named(name) else { panic!("{name}") };
            let arguments = [flags, 0, 0, 0, 0, 0];
            no_user_namespaces().decide(&Call { number, machine: MACHINE, arguments })
        };
        assert_eq!(decide("unshare", 0x1000_0000), DENIED);
        assert_eq!(decide("clone", 0x1_1000_0011), DENIED);
        assert_eq!(decide("clone3", 0), UNKNOWN);
        assert_eq!(decide("unshare", 0x0002_0000), Action::Allow);
        assert_eq!(decide("keyctl", 0), Action::Allow);
    }
}

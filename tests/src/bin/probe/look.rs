//! Seeing.

use std::collections::BTreeMap;
use std::ffi::{CStr, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use catena_tests::seen::{Capabilities, Descriptor, Mount, Seen, Signals};
use nix::sys::stat::{Mode, umask};
use nix::unistd;

/// The open descriptors.
pub fn descriptors() -> Vec<Descriptor> {
    (0..4096).filter_map(descriptor).collect()
}

fn descriptor(number: i32) -> Option<Descriptor> {
    // SAFETY: F_GETFL only asks, and says -1 for a number that is not open.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFL) };
    let link = || fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
    (flags >= 0).then(|| Descriptor { number, target: escaped(link().as_os_str()), flags })
}

/// All that there is to see.
pub fn around(descriptors: Vec<Descriptor>) -> Seen {
    let mask = umask(Mode::empty());
    umask(mask);
    let uids = unistd::getresuid().expect("getresuid");
    let gids = unistd::getresgid().expect("getresgid");
    Seen {
        pid: unistd::getpid().as_raw(),
        ppid: unistd::getppid().as_raw(),
        pgid: unistd::getpgrp().as_raw(),
        sid: unistd::getsid(None).map_or(-1, |sid| sid.as_raw()),
        namespaces: namespaces(),
        uids: [uids.real, uids.effective, uids.saved].map(|id| id.as_raw()),
        gids: [gids.real, gids.effective, gids.saved].map(|id| id.as_raw()),
        groups: unistd::getgroups().expect("getgroups").iter().map(|id| id.as_raw()).collect(),
        uid_map: id_map("/proc/self/uid_map"),
        gid_map: id_map("/proc/self/gid_map"),
        setgroups: line("/proc/self/setgroups"),
        capabilities: capabilities(),
        no_new_privs: prctl(libc::PR_GET_NO_NEW_PRIVS, 0) == 1,
        seccomp: prctl(libc::PR_GET_SECCOMP, 0),
        descriptors,
        signals: signals(),
        environment: std::env::vars_os().map(|(name, value)| variable(&name, &value)).collect(),
        directory: directory(),
        umask: mask.bits(),
        arguments: std::env::args_os().map(|word| escaped(&word)).collect(),
        mounts: text("/proc/self/mountinfo").lines().filter_map(mount).collect(),
        limits: text("/proc/self/limits").lines().skip(1).filter_map(limit).collect(),
        hostname: unistd::gethostname().map(|name| escaped(&name)).unwrap_or_default(),
        interfaces: interfaces(),
        cgroups: text("/proc/self/cgroup").lines().map(str::to_owned).collect(),
        pids_max: catena_tests::cell::own_limit("pids", "pids.max", "pids.max"),
        processes: processes(),
        death_signal: death_signal(),
        oom_score_adj: line("/proc/self/oom_score_adj"),
        // SAFETY: takes integers and only asks.
        niceness: unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) },
        processors: status("Cpus_allowed_list:"),
        terminal: fs::File::open("/dev/tty")
            .ok()
            .map(|tty| unistd::tcgetpgrp(&tty).map_or(-1, |group| group.as_raw())),
        dumpable: prctl(libc::PR_GET_DUMPABLE, 0),
    }
}

fn escaped(text: &OsStr) -> String {
    text.as_bytes().escape_ascii().to_string()
}

fn variable(name: &OsStr, value: &OsStr) -> String {
    format!("{}={}", escaped(name), escaped(value))
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn line(path: &str) -> String {
    text(path).trim_end().to_owned()
}

/// A field of /proc/self/status.
fn status(field: &str) -> String {
    let text = text("/proc/self/status");
    let found = text.lines().find_map(|line| line.strip_prefix(field));
    found.unwrap_or_default().trim().to_owned()
}

fn namespaces() -> BTreeMap<String, u64> {
    let inode = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name, fs::metadata(entry.path()).ok()?.ino()))
    };
    fs::read_dir("/proc/self/ns").into_iter().flatten().flatten().filter_map(inode).collect()
}

fn id_map(path: &str) -> Vec<Vec<u32>> {
    let numbers = |line: &str| line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    text(path).lines().map(numbers).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let (front, back): (Vec<_>, Vec<_>) = (front.split(' ').collect(), back.split(' ').collect());
    Some(Mount {
        point: front[4].to_owned(),
        root: front[3].to_owned(),
        options: front[5].split(',').map(str::to_owned).collect(),
        propagation: front[6..].iter().map(|word| (*word).to_owned()).collect(),
        kind: back[0].to_owned(),
        super_options: back[2].to_owned(),
    })
}

/// "Max open files            1024                 4096                 files".
fn limit(line: &str) -> Option<(String, [String; 2])> {
    let name = line.get(..26)?.trim_end();
    let mut values = line.get(26..)?.split_whitespace().map(str::to_owned);
    Some((name.to_owned(), [values.next()?, values.next()?]))
}

fn interfaces() -> BTreeMap<String, bool> {
    let mut found = BTreeMap::new();
    let mut first = std::ptr::null_mut::<libc::ifaddrs>();
    // SAFETY: on success getifaddrs gives a list whose entries and names live until freeifaddrs.
    unsafe {
        if libc::getifaddrs(&raw mut first) != 0 {
            return found;
        }
        let mut next = first;
        while let Some(interface) = next.as_ref() {
            let name = CStr::from_ptr(interface.ifa_name).to_bytes().escape_ascii().to_string();
            found.insert(name, interface.ifa_flags & libc::IFF_UP.cast_unsigned() != 0);
            next = interface.ifa_next;
        }
        libc::freeifaddrs(first);
    }
    found
}

fn processes() -> BTreeMap<i32, String> {
    let process = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, line(&format!("/proc/{pid}/comm"))))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(process).collect()
}

/// The directory as the kernel says it: glibc hides `(unreachable)`.
fn directory() -> String {
    let mut buffer = [0_u8; 4096];
    // SAFETY: the kernel writes at most the length given into the buffer.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    match usize::try_from(length) {
        Ok(length) if length > 0 => buffer[..length - 1].escape_ascii().to_string(),
        _ => String::new(),
    }
}

fn prctl(option: libc::c_int, argument: libc::c_ulong) -> libc::c_int {
    // SAFETY: the options asked for here take integers and write to no memory.
    unsafe { libc::prctl(option, argument, 0, 0, 0) }
}

fn death_signal() -> i32 {
    let mut signal: libc::c_int = 0;
    // SAFETY: PR_GET_PDEATHSIG writes an int to the pointer given.
    unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) };
    signal
}

fn capabilities() -> Capabilities {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    // Two times effective, permitted, inheritable: the low words, then the high ones.
    let mut data = [[0_u32; 3]; 2];
    // SAFETY: version 3 reads a header of two words and writes two structures of three words.
    unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr()) };
    let set = |index: usize| u64::from(data[1][index]) << 32 | u64::from(data[0][index]);
    let mask = |has: &dyn Fn(u32) -> bool| {
        (0..64).filter(|n| has(*n)).fold(0, |mask: u64, n| mask | 1 << n)
    };
    let ambient = |n: u32| {
        // SAFETY: takes integers.
        unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET, n, 0, 0) == 1 }
    };
    Capabilities {
        effective: set(0),
        permitted: set(1),
        inheritable: set(2),
        bounding: mask(&|n| prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(n)) == 1),
        ambient: mask(&ambient),
    }
}

fn signals() -> Signals {
    // SAFETY: all zeroes is a valid value of both C structures, and both calls only ask.
    let (blocked, actions) = unsafe {
        let mut blocked: libc::sigset_t = std::mem::zeroed();
        libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut blocked);
        let action = |signal| {
            let mut action: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &raw mut action);
            action.sa_sigaction
        };
        (blocked, (1..=64).map(|signal| (signal, action(signal))).collect::<Vec<_>>())
    };
    let mut signals = Signals::default();
    for (signal, action) in actions {
        let bit = 1 << (signal - 1);
        // SAFETY: the set was filled in above.
        if unsafe { libc::sigismember(&raw const blocked, signal) } == 1 {
            signals.blocked |= bit;
        }
        match action {
            libc::SIG_DFL => {}
            libc::SIG_IGN => signals.ignored |= bit,
            _ => signals.caught |= bit,
        }
    }
    signals
}

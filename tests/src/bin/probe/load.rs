//! Using what a machine has: CPU time, huge pages, disks.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::act::say;

/// Computes for so many milliseconds; says what share of one CPU it got, in percent.
pub fn spin(milliseconds: u64) -> i32 {
    let start = Instant::now();
    let end = start + Duration::from_millis(milliseconds);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    let used = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage").user_time();
    let used = used.tv_sec() as f64 + used.tv_usec() as f64 / 1e6;
    say(&format!("{:.0}", used / start.elapsed().as_secs_f64() * 100.0));
    0
}

/// Uses so many huge pages, one after the other, saying so for each. Where there is none to be
/// had the kernel sends SIGBUS.
pub fn huge(pages: usize) -> i32 {
    let size = NonZeroUsize::new(2 << 20).expect("not 0");
    for number in 1..=pages {
        let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_HUGETLB;
        // SAFETY: a new anonymous mapping touches nothing that is there.
        match unsafe { mmap_anonymous(None, size, ProtFlags::PROT_WRITE, flags) } {
            // SAFETY: the mapping is writable, and nobody else knows of it.
            Ok(start) => unsafe { start.cast::<u8>().write_volatile(1) },
            Err(errno) => {
                say(&format!("{errno:?}"));
                return 1;
            }
        }
        say(&number.to_string());
    }
    0
}

const BLOCK: usize = 65536;

/// Reads so many bytes past the cache; says how many milliseconds that took.
pub fn read_direct(path: &OsString, bytes: usize) -> i32 {
    let begin = Instant::now();
    read_blocks(path, |count| count * BLOCK < bytes);
    say(&begin.elapsed().as_millis().to_string());
    0
}

/// Works beside another probe, which meets this one at the FIFO: both end at the same moment, so
/// that what each could do shows what it was given. The first tells the other when that is. Says
/// how many milliseconds of CPU time it got, or how many blocks it could read from `disk`.
pub fn together(
    fifo: &OsString,
    is_first: bool,
    milliseconds: u64,
    disk: Option<&OsString>,
) -> i32 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let end = match is_first {
        true => {
            let mut other = OpenOptions::new().write(true).open(fifo).expect("open a FIFO");
            let end = now() + u128::from(milliseconds);
            other.write_all(&end.to_ne_bytes()).expect("write to a FIFO");
            end
        }
        false => {
            let mut end = [0; 16];
            let mut other = File::open(fifo).expect("open a FIFO");
            other.read_exact(&mut end).expect("read from a FIFO");
            u128::from_ne_bytes(end)
        }
    };
    // What it took to get here is another matter.
    let before = cpu_time();
    let done = match disk {
        Some(disk) => read_blocks(disk, |_| now() < end) as i64,
        None => {
            while now() < end {
                std::hint::spin_loop();
            }
            (cpu_time() - before).num_milliseconds()
        }
    };
    say(&done.to_string());
    0
}

fn cpu_time() -> TimeVal {
    let used = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    used.user_time() + used.system_time()
}

/// Reads block after block past the cache as long as `goes_on`; gives their number.
fn read_blocks(path: &OsString, goes_on: impl Fn(usize) -> bool) -> usize {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    let file = file.expect("open a device");
    let mut memory = vec![0_u8; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(4096);
    let mut count = 0;
    while goes_on(count) {
        let block = &mut memory[start..start + BLOCK];
        let offset = (count * BLOCK) as u64;
        std::os::unix::fs::FileExt::read_exact_at(&file, block, offset).expect("read");
        count += 1;
    }
    count
}

/// Sends PID 1 `signals` signals that it forwards here, while `orphans` orphans die; says how many nobody
/// has reaped, the time that this process and PID 1 took, and what PID 1 takes after that, in
/// ticks of the clock.
pub fn storm(signals: usize, orphans: usize) -> i32 {
    let ignored = [libc::SIGUSR1, libc::SIGUSR2];
    for signal in ignored {
        // SAFETY: SIG_IGN installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    let per_orphan = signals / orphans;
    for _ in 0..orphans {
        // SAFETY: one thread, so that no lock is held at the fork; the child ends at once.
        unsafe {
            if libc::fork() == 0 {
                libc::fork();
                libc::_exit(0);
            }
        }
        for number in 0..per_orphan {
            // SAFETY: takes two integers.
            unsafe { libc::kill(1, ignored[number % 2]) };
        }
    }
    // SAFETY: a null status is allowed.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
    let dead = || {
        let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
        let stats =
            entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
        stats
            .filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
            .count()
    };
    let end = Instant::now() + Duration::from_secs(20);
    while dead() > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    let (own, theirs) = (ticks("self"), ticks("1"));
    std::thread::sleep(Duration::from_millis(300));
    let idle = ticks("1") - theirs;
    crate::act::say(&format!("{} {own} {theirs} {idle}", dead()));
    42
}

/// utime and stime of /proc/PID/stat.
fn ticks(pid: &str) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ');
    fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

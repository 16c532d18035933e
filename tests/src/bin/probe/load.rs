//! Using what a machine has: CPU time, huge pages, disks.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
use nix::sys::resource::{UsageWho, getrusage};

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

/// Reads so many bytes past the cache; says how many milliseconds that took.
pub fn read_direct(path: &OsString, bytes: usize) -> i32 {
    const BLOCK: usize = 65536;
    let file = OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(path);
    let file = file.expect("open a device");
    let mut memory = vec![0_u8; 2 * BLOCK];
    let start = memory.as_ptr().align_offset(4096);
    let begin = Instant::now();
    for offset in (0..bytes).step_by(BLOCK) {
        let block = &mut memory[start..start + BLOCK];
        std::os::unix::fs::FileExt::read_exact_at(&file, block, offset as u64).expect("read");
    }
    say(&begin.elapsed().as_millis().to_string());
    0
}

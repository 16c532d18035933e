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

//! Every signal as it arrives, with its number, and what came with it.

use crate::act::say;

/// Blocks all 64 and says of each of `count` its number, `si_code`, and the value that was queued with
/// it.
pub fn tell(count: usize) -> i32 {
    let all = u64::MAX;
    let size = size_of_val(&all);
    // SAFETY: `all` has the eight bytes that the last argument names; nothing is written.
    unsafe {
        let nothing = std::ptr::null_mut::<u64>();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &raw const all, nothing, size);
    }
    say("ready");
    for _ in 0..count {
        // SAFETY: all zeroes is a valid siginfo_t, which the call fills.
        let info = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let forever = std::ptr::null::<libc::timespec>();
            let set = &raw const all;
            libc::syscall(libc::SYS_rt_sigtimedwait, set, &raw mut info, forever, size);
            info
        };
        // SAFETY: the kernel fills the fields of a queued signal; of another they are plain bytes.
        let value = unsafe { info.si_value().sival_ptr } as usize & 0xffff_ffff;
        let value = if info.si_code == libc::SI_QUEUE { value } else { 0 };
        say(&format!("{} {} {value}", info.si_signo, info.si_code));
    }
    0
}

//! The memory that the tools allocate: a piece of the program's own zeroed data first, the C
//! library's heap once that is used up.
//!
//! A link lives for some hundred microseconds, and clap alone makes some thousand allocations. A
//! general heap gets and returns pages for them by system calls, and touches them anew each time:
//! that was a third of a link's time. Here freed blocks are kept by size and given out again.

mod list;
mod sizes;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use list::{pop, push};
use sizes::{ALIGNMENT, CLASSES, LARGEST, class, size_of_class};

/// What no tool has needed so far; pages that are not touched take no memory.
const SIZE: usize = 256 * 1024;
/// Where blocks of more than `SMALL` bytes begin. They are arrays that grow, most of them, and the last
/// one can grow where it is as long as no small block comes to stand behind it.
const LARGE_FROM: usize = 96 * 1024;
const SMALL: usize = 1024;
const HALVES: [Range<usize>; 2] = [0..LARGE_FROM, LARGE_FROM..SIZE];
const PAGE: usize = 4096;

#[repr(C, align(4096))]
struct Memory([u8; SIZE]);

/// The freed blocks of each size; each begins with the address of the next.
type Lists = [*mut u8; CLASSES];

struct State {
    /// How much has been given out for the first time of each half. Zero at first, as all of the
    /// arena is, or it would be a part of the program's file.
    used: [usize; 2],
    /// What is given out again.
    free: Lists,
    /// What is not, but may be given back.
    retired: Lists,
}

/// The pages that the bytes from `start` on, counted from the arena's start, lie in.
fn pages(start: usize, size: usize) -> Range<usize> {
    start / PAGE..(start + size).div_ceil(PAGE)
}

/// The allocator.
///
/// It takes no lock: it serves the thread that allocates first, a tool's only one, or the first of a unit
/// test. Others get theirs from the C library; what they free of the first one's is lost.
pub struct Arena {
    memory: UnsafeCell<Memory>,
    state: UnsafeCell<State>,
    /// The thread that it serves, as [`this_thread`] names it; 0 at first.
    owner: AtomicUsize,
}

// SAFETY: only the thread that `owner` names touches `state` and the blocks that are on its lists; all other
// blocks of `memory` belong to who allocated them.
unsafe impl Sync for Arena {}

/// What no two threads that are alive have in common.
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here) as usize)
}

impl Arena {
    pub(crate) const fn new() -> Self {
        Arena {
            memory: UnsafeCell::new(Memory([0; SIZE])),
            state: UnsafeCell::new(State {
                used: [0; 2],
                free: [null_mut(); CLASSES],
                retired: [null_mut(); CLASSES],
            }),
            owner: AtomicUsize::new(0),
        }
    }

    /// The state, for the thread that may touch it. `run` must not allocate.
    #[inline(always)]
    fn with_state<T>(&self, run: impl FnOnce(&mut State) -> T) -> Option<T> {
        let (owner, here) = (self.owner.load(Ordering::Relaxed), this_thread());
        // The first allocation is made before there is a second thread.
        if owner != here
            && self.owner.compare_exchange(0, here, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return None;
        }
        // SAFETY: this is the owner, and `run`, which doesn't allocate, is not within another such call.
        Some(run(unsafe { &mut *self.state.get() }))
    }

    fn holds(&self, block: *mut u8) -> bool {
        let start = self.memory.get() as usize;
        (start..start + SIZE).contains(&(block as usize))
    }

    fn offset(&self, block: *mut u8) -> usize {
        block as usize - self.memory.get() as usize
    }

    /// Has what is allocated from here on lie in pages of its own: what was freed before is not given
    /// out again.
    pub(super) fn begin_anew(&self) {
        self.with_state(|state| {
            for (free, retired) in state.free.iter_mut().zip(&mut state.retired) {
                while !free.is_null() {
                    // SAFETY: a block on a list begins with the next one's address, see `push`.
                    unsafe { push(retired, pop(free)) };
                }
            }
            self.retire_rests(state);
        });
    }

    /// The rest of the last page of each half is of nobody from here on, so that the page can be given back.
    fn retire_rests(&self, state: &mut State) {
        for (used, half) in state.used.iter_mut().zip(HALVES) {
            let next = used.next_multiple_of(PAGE);
            while *used < next {
                let fits = |class: &usize| size_of_class(*class) <= next - *used;
                let class = (0..CLASSES).rev().find(fits);
                let class = class.expect("what is used is a multiple of the smallest size");
                // SAFETY: the block lies within `memory`, and was never given out.
                unsafe {
                    let block = self.memory.get().cast::<u8>().add(half.start + *used);
                    push(&mut state.retired[class], block);
                }
                *used += size_of_class(class);
            }
        }
    }

    /// Gives the pages back that no block in use lies in. Blocks that lay there are on no list any
    /// more: a process that calls this needs little from here on.
    pub(super) fn give_back(&self) {
        self.with_state(|state| {
            self.retire_rests(state);
            let State { free, retired, .. } = state;
            let mut freed = [0; SIZE / PAGE];
            for list in [&*free, &*retired] {
                for (class, first) in list.iter().enumerate() {
                    let size = size_of_class(class);
                    let mut block = *first;
                    while !block.is_null() {
                        let start = self.offset(block);
                        for page in pages(start, size) {
                            let (from, to) = (page * PAGE, (page + 1) * PAGE);
                            freed[page] += (start + size).min(to) - start.max(from);
                        }
                        // SAFETY: it is on a list, so it begins with the next one's address.
                        block = unsafe { block.cast::<*mut u8>().read() };
                    }
                }
            }
            let is_free = freed.map(|bytes| bytes == PAGE);
            for (class, list) in free.iter_mut().enumerate().chain(retired.iter_mut().enumerate()) {
                let is_gone = |block| {
                    is_free[pages(self.offset(block), size_of_class(class))].contains(&true)
                };
                let mut link: *mut *mut u8 = list;
                // SAFETY: `link` is the list's head or the start of a block that is on it, and
                // either holds the address of the next block, or null.
                unsafe {
                    while !(*link).is_null() {
                        match is_gone(*link) {
                            true => *link = (*link).cast::<*mut u8>().read(),
                            false => link = (*link).cast(),
                        }
                    }
                }
            }
            let mut first = 0;
            for run in is_free.chunk_by(|one, other| one == other) {
                let (start, length) = (first * PAGE, run.len() * PAGE);
                first += run.len();
                if run[0] {
                    // SAFETY: the pages lie in `memory`, and no block in use nor one that is on a
                    // list lies in them: nobody cares for their content.
                    unsafe {
                        let start = self.memory.get().cast::<u8>().add(start);
                        libc::madvise(start.cast(), length, libc::MADV_DONTNEED);
                    }
                }
            }
        });
    }
}

/// Which half of the memory blocks of `size` bytes come from.
const fn half(size: usize) -> usize {
    if size <= SMALL { 0 } else { 1 }
}

/// Whether blocks of this layout come from the arena, as long as that has room.
fn fits(layout: Layout) -> bool {
    layout.size() <= LARGEST && layout.align() <= ALIGNMENT
}

// SAFETY: a block is given to one caller at a time: it comes from the part of `memory` that was
// never given out, from a list that it is taken off of, or from `System`. Blocks of one class are
// of one size, and aligned to 16 bytes or, where more is asked for, as `System` does it.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fits(layout) {
            let (class, size) = class(layout.size());
            let block = self.with_state(|state| {
                if !state.free[class].is_null() {
                    // SAFETY: a block on a list begins with the next one's address, see `push`.
                    return unsafe { pop(&mut state.free[class]) };
                }
                let half = half(size);
                let start = HALVES[half].start + state.used[half];
                if HALVES[half].end < start + size {
                    return null_mut();
                }
                state.used[half] += size;
                // SAFETY: the end of the block lies within `memory`, as just checked.
                unsafe { self.memory.get().cast::<u8>().add(start) }
            });
            if let Some(block) = block.filter(|block| !block.is_null()) {
                return block;
            }
        }
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !self.holds(block) {
            // SAFETY: it came from there, with this layout.
            return unsafe { System.dealloc(block, layout) };
        }
        // SAFETY: the block is the caller's no longer.
        self.with_state(|state| unsafe { push(&mut state.free[class(layout.size()).0], block) });
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` is not 0 and fits this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if self.holds(block) {
            if fits(wanted) && self.resize(block, layout.size(), size) {
                return block;
            }
        } else if !fits(layout) {
            // SAFETY: it came from `System` and the caller's promise is the same.
            return unsafe { System.realloc(block, layout, size) };
        }
        // SAFETY: the caller's promises; the two blocks are different ones, and both have as many
        // bytes as are copied.
        unsafe {
            let new = self.alloc(wanted);
            if !new.is_null() {
                std::ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

impl Arena {
    /// Makes a block larger or smaller where it is, if that can be done: its size is rounded up to
    /// the same, or it is the last one.
    fn resize(&self, block: *mut u8, from: usize, to: usize) -> bool {
        let ((_, from), (_, to)) = (class(from), class(to));
        from == to
            || self.with_state(|state| {
                let start = self.offset(block);
                // A small one that becomes large moves to the others of its kind.
                let (half, before) = (half(to), half(from));
                let Range { start: first, end } = HALVES[half];
                let fits =
                    half == before && start + from == first + state.used[half] && start + to <= end;
                if fits {
                    state.used[half] = start + to - first;
                }
                fits
            }) == Some(true)
    }
}

#[cfg(test)]
mod tests;

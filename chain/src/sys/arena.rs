//! The memory that the tools allocate: a piece of the program's own zeroed data first, the C
//! library's heap once that is used up.
//!
//! A link lives for some hundred microseconds, and clap alone makes some thousand allocations. A
//! general heap gets and returns pages for them by system calls, and touches them anew each time:
//! that was a third of a link's time. Here freed blocks are kept by size and given out again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

/// What no tool has needed so far; pages that are not touched take no memory.
const SIZE: usize = 256 * 1024;
/// What every tool needs: asked for at once, these pages come at a third of the price that each
/// takes when it is touched first.
const NEEDED: usize = 64 * 1024;
/// Blocks are of 16 bytes, 32, 48, ... 128, then of four sizes between one power of two and the
/// next; all are aligned to 16.
const ALIGNMENT: usize = 16;
const LARGEST: usize = 64 * 1024;
const CLASSES: usize = class(LARGEST).0 + 1;
const PAGE: usize = 4096;

#[repr(C, align(4096))]
struct Memory([u8; SIZE]);

struct State {
    /// How much has been given out for the first time.
    used: usize,
    /// The freed blocks of each size; each begins with the address of the next.
    free: [*mut u8; CLASSES],
    /// How many blocks in use lie in each page, in whole or in part.
    in_use: [u16; SIZE / PAGE],
}

impl State {
    fn count(&mut self, start: usize, size: usize, is_used: bool) {
        for count in &mut self.in_use[pages(start, size)] {
            *count = if is_used { *count + 1 } else { *count - 1 };
        }
    }
}

/// The pages that the bytes from `start` on, counted from the arena's start, lie in.
fn pages(start: usize, size: usize) -> std::ops::Range<usize> {
    start / PAGE..(start + size).div_ceil(PAGE)
}

/// The allocator.
pub struct Arena {
    memory: UnsafeCell<Memory>,
    state: UnsafeCell<State>,
    /// The tools have one thread; their unit tests have more.
    locked: AtomicBool,
}

// SAFETY: `state`, and the blocks that are on its lists, are only touched between `lock` and
// `unlock`; all other blocks of `memory` belong to who allocated them.
unsafe impl Sync for Arena {}

impl Arena {
    pub(crate) const fn new() -> Self {
        Arena {
            memory: UnsafeCell::new(Memory([0; SIZE])),
            state: UnsafeCell::new(State {
                used: 0,
                free: [null_mut(); CLASSES],
                in_use: [0; SIZE / PAGE],
            }),
            locked: AtomicBool::new(false),
        }
    }

    fn with_state<T>(&self, run: impl FnOnce(&mut State) -> T) -> T {
        while self.locked.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: the lock is held, and `run` can't take it again: it doesn't allocate.
        let result = run(unsafe { &mut *self.state.get() });
        self.locked.store(false, Ordering::Release);
        result
    }

    /// Opens the lock of a process that shared this memory and is gone. Its changes are single
    /// stores each: what it has not completed is at most a block that is on no list.
    pub(super) fn unlock(&self) {
        self.locked.store(false, Ordering::Release);
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
            state.free = [null_mut(); CLASSES];
            state.used = state.used.next_multiple_of(PAGE);
        });
    }

    /// Gives the pages back that no block in use lies in. Blocks that lay there are on no list any
    /// more: a process that calls this needs little from here on.
    pub(super) fn give_back(&self) {
        self.with_state(|state| {
            let State { free, in_use, .. } = state;
            for (class, list) in free.iter_mut().enumerate() {
                let is_gone =
                    |block| in_use[pages(self.offset(block), size_of_class(class))].contains(&0);
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
            for run in in_use.chunk_by(|one, other| (*one == 0) == (*other == 0)) {
                let (start, length) = (first * PAGE, run.len() * PAGE);
                first += run.len();
                if run[0] == 0 {
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

    /// Has the kernel provide the memory that will be needed anyway.
    pub(super) fn populate(&self) {
        // SAFETY: MADV_POPULATE_WRITE changes no content. Kernels before 5.14 refuse it, and
        // nothing is lost then.
        unsafe { libc::madvise(self.memory.get().cast(), NEEDED, libc::MADV_POPULATE_WRITE) };
    }
}

/// Which list a block of `size` bytes is on, and what blocks on it have.
const fn class(size: usize) -> (usize, usize) {
    let last = if size == 0 { 0 } else { size - 1 };
    let shift = if last < 128 { 4 } else { last.ilog2() as usize - 2 };
    let rounded = (last >> shift) + 1;
    ((shift - 4) * 4 + rounded, rounded << shift)
}

/// What blocks of the list `class` have.
fn size_of_class(class: usize) -> usize {
    if class <= 8 { class << 4 } else { (5 + (class - 9) % 4) << (5 + (class - 9) / 4) }
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
                let first = state.free[class];
                if !first.is_null() {
                    // SAFETY: a block on a list begins with the next one's address, see `dealloc`.
                    state.free[class] = unsafe { first.cast::<*mut u8>().read() };
                    state.count(self.offset(first), size, true);
                    return first;
                }
                if SIZE < state.used + size {
                    return null_mut();
                }
                // SAFETY: the end of the block lies within `memory`, as just checked.
                let block = unsafe { self.memory.get().cast::<u8>().add(state.used) };
                state.count(state.used, size, true);
                state.used += size;
                block
            });
            if !block.is_null() {
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
        self.with_state(|state| {
            let (class, size) = class(layout.size());
            state.count(self.offset(block), size, false);
            let list = &mut state.free[class];
            // SAFETY: the block is the caller's no longer, has 16 bytes at least and is aligned
            // to them.
            unsafe { block.cast::<*mut u8>().write(*list) };
            *list = block;
        });
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
                let is_last = start + from == state.used && start + to <= SIZE;
                if is_last {
                    state.count(start, from, false);
                    state.count(start, to, true);
                    state.used = start + to;
                }
                is_last
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_given_out_again() {
        static ARENA: Arena = Arena::new();
        let layout = Layout::from_size_align(40, 8).unwrap();
        // SAFETY: the layout is not empty, and each block is used as it was allocated.
        unsafe {
            let first = ARENA.alloc(layout);
            let second = ARENA.alloc(layout);
            assert_eq!(second as usize - first as usize, 48);
            ARENA.dealloc(first, layout);
            assert_eq!(ARENA.alloc(layout), first);
            second.write_bytes(7, 40);
            assert_eq!(ARENA.realloc(second, layout, 48), second);
            // The last one grows where it is, another moves.
            let layout = Layout::from_size_align(48, 8).unwrap();
            assert_eq!(ARENA.realloc(second, layout, 1000), second);
            first.write_bytes(9, 40);
            let moved = ARENA.realloc(first, layout, 1000);
            assert_eq!(moved as usize - second as usize, 1024);
            assert_eq!((moved.add(39).read(), second.add(39).read()), (9, 7));
        }
    }

    #[test]
    fn sizes() {
        let mut before = (0, 0);
        for size in 1..=LARGEST {
            let (index, rounded) = class(size);
            assert!(
                rounded >= size && rounded % ALIGNMENT == 0 && rounded - size < size.max(64) / 4
            );
            assert_eq!(size_of_class(index), rounded);
            assert!((index, rounded) == before || (index > before.0 && rounded > before.1));
            before = (index, rounded);
        }
    }

    #[test]
    fn pages_that_nobody_uses_are_given_back() {
        static ARENA: Arena = Arena::new();
        let layout = Layout::from_size_align(1000, 8).unwrap();
        // SAFETY: as above.
        unsafe {
            let blocks: Vec<_> = (0..40).map(|_| ARENA.alloc(layout)).collect();
            for (index, block) in blocks.iter().enumerate() {
                block.write_bytes(index as u8 + 1, 1000);
            }
            // Pages 0 to 9: what lies in page 3 stays, and a single block elsewhere.
            let stays = |index: usize| (12..17).contains(&index) || index == 30;
            for (index, block) in blocks.iter().enumerate().filter(|(index, _)| !stays(*index)) {
                assert_eq!(block.read(), index as u8 + 1);
                ARENA.dealloc(*block, layout);
            }
            ARENA.give_back();
            for (index, block) in blocks.iter().enumerate().filter(|(index, _)| stays(*index)) {
                assert!((0..1000).all(|at| block.add(at).read() == index as u8 + 1), "{index}");
            }
            assert_eq!(blocks[1].add(100).read(), 0);
            // What is given out now is nobody else's.
            let more: Vec<_> = (0..60).map(|_| ARENA.alloc(layout)).collect();
            more.iter().for_each(|block| block.write_bytes(0xff, 1000));
            for (index, block) in blocks.iter().enumerate().filter(|(index, _)| stays(*index)) {
                assert!((0..1000).all(|at| block.add(at).read() == index as u8 + 1), "{index}");
            }
            let mut all: Vec<_> = more.iter().map(|block| *block as usize).collect();
            all.sort_unstable();
            assert!(all.is_sorted_by(|one, next| next - one >= 1000), "one is given out twice");
        }
    }

    #[test]
    fn what_does_not_fit_comes_from_the_heap() {
        static ARENA: Arena = Arena::new();
        let layouts = [(LARGEST + 1, 16), (64, 64), (16 * 1024, 8)];
        for (size, align) in layouts {
            let layout = Layout::from_size_align(size, align).unwrap();
            for _ in 0..20 {
                // SAFETY: as above.
                unsafe {
                    let block = ARENA.alloc(layout);
                    assert_eq!(block as usize % align, 0);
                    block.write_bytes(1, size);
                    let larger = ARENA.realloc(block, layout, size * 2);
                    assert_eq!(larger.add(size - 1).read(), 1);
                    let layout = Layout::from_size_align(size * 2, align).unwrap();
                    ARENA.dealloc(larger, layout);
                    ARENA.alloc(Layout::from_size_align(size, align).unwrap());
                }
            }
        }
    }
}

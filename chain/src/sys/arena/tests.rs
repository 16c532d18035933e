//! Tests of the arena.

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
        assert!(rounded >= size && rounded % ALIGNMENT == 0 && rounded - size < size.max(64) / 4);
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
fn a_page_that_is_not_full_is_given_back_too() {
    static ARENA: Arena = Arena::new();
    for size in [100, 5000] {
        let layout = Layout::from_size_align(size, 8).unwrap();
        // SAFETY: as above.
        unsafe {
            let block = ARENA.alloc(layout);
            block.write_bytes(1, size);
            ARENA.dealloc(block, layout);
            ARENA.give_back();
            assert!((0..size).all(|at| block.add(at).read() == 0));
            let next = ARENA.alloc(layout);
            next.write_bytes(1, size);
            ARENA.dealloc(next, layout);
        }
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

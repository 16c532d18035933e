//! The sizes of blocks: 16 bytes, 32, 48, ... 128, then four between one power of two and the next; all are
//! aligned to 16.

pub(super) const ALIGNMENT: usize = 16;
pub(super) const LARGEST: usize = 64 * 1024;
pub(super) const CLASSES: usize = class(LARGEST).0 + 1;

/// Which list a block of `size` bytes is on, and what blocks on it have.
pub(super) const fn class(size: usize) -> (usize, usize) {
    let last = if size == 0 { 0 } else { size - 1 };
    let shift = if last < 128 { 4 } else { last.ilog2() as usize - 2 };
    let rounded = (last >> shift) + 1;
    ((shift - 4) * 4 + rounded, rounded << shift)
}

/// What blocks of the list `class` have.
pub(super) const fn size_of_class(class: usize) -> usize {
    if class <= 8 { class << 4 } else { (5 + (class - 9) % 4) << (5 + (class - 9) / 4) }
}

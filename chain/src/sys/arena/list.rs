//! Lists of freed blocks: each begins with the address of the next, the last one with null.

/// Takes the first block off a list that has one.
///
/// # Safety
///
/// Each block on the list begins with the address of the next.
#[inline(always)]
pub(super) unsafe fn pop(list: &mut *mut u8) -> *mut u8 {
    let first = *list;
    // SAFETY: the caller's promise.
    *list = unsafe { first.cast::<*mut u8>().read() };
    first
}

/// Puts a block on a list.
///
/// # Safety
///
/// The block is nobody's, has 16 bytes at least and is aligned to them.
#[inline(always)]
pub(super) unsafe fn push(list: &mut *mut u8, block: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe { block.cast::<*mut u8>().write(*list) };
    *list = block;
}

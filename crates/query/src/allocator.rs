//! The memory allocator of programs that run queries.
//!
//! A query reads thousands of small files on all cores, so it allocates often, and it frees what
//! it allocated a moment later. A program chooses its allocator once, in its binary: the libraries
//! impose none.

use libmimalloc_sys::mi_option_t;
pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay` of `mimalloc.h`, which the crate has no name for.
pub(crate) const PURGE_DELAY: mi_option_t = 15;

/// Keeps memory that was freed, instead of giving it back to the system after a second: the next
/// query needs as much again, and getting it page by page is a fifth of a short one.
#[expect(
    unsafe_code,
    reason = "the crate has no safe function for the allocator's options"
)]
pub fn keep_freed_memory() {
    // SAFETY: it stores a number in a table of options; the option exists.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) };
}

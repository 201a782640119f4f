use crate::allocator::{PURGE_DELAY, keep_freed_memory};

/// The option is known by its default alone, a second: a new version may number them anew.
#[test]
#[expect(unsafe_code, reason = "it asks the allocator")]
fn the_option_is_the_one_that_is_meant() {
    // SAFETY: it reads a number from a table of options; the option exists.
    let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
    assert_eq!(delay(), 1000);
    keep_freed_memory();
    assert_eq!(delay(), -1);
}

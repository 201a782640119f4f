//! Lists of which the first are told.

/// How many there are beyond the first `told` of `all`; none where that is all of them.
pub fn further(all: usize, told: usize) -> Option<usize> {
    all.checked_sub(told).filter(|more| *more > 0)
}

//! Many things drawn as few.

use std::ops::Range;

/// `count` things in at most `most` bins, as even as they can be, in order.
pub(super) fn bins(count: usize, most: usize) -> Vec<Range<usize>> {
    let num_bins = count.min(most);
    (0..num_bins)
        .map(|bin| bin * count / num_bins..(bin + 1) * count / num_bins)
        .collect()
}

/// What a bin of numbered things is called: `7`, or `7–9`.
pub(super) fn bin_name(bin: &Range<usize>, name: impl Fn(usize) -> String) -> String {
    match bin.len() {
        1 => name(bin.start),
        _ => format!("{}–{}", name(bin.start), name(bin.end - 1)),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::{bin_name, bins};

    #[test]
    fn bins_hold_everything_once() {
        assert_eq!(bins(3, 5), [0..1, 1..2, 2..3]);
        assert_eq!(bins(7, 3), [0..2, 2..4, 4..7]);
        assert_eq!(bins(0, 3), Vec::<Range<usize>>::new());
        assert_eq!(bin_name(&(4..7), |unit| unit.to_string()), "4–6");
        assert_eq!(bin_name(&(4..5), |unit| unit.to_string()), "4");
    }
}

//! Few of many.

/// At most `most` of several things, the first and the last among them, as evenly as can be.
pub fn spread<T: Copy>(things: &[T], most: usize) -> Vec<T> {
    if things.len() <= most {
        return things.to_vec();
    }
    let last = most.saturating_sub(1).max(1);
    (0..most)
        .map(|index| things[index * (things.len() - 1) / last])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_of_many_keep_the_first_and_the_last() {
        assert_eq!(spread(&[1, 2, 3], 5), [1, 2, 3]);
        assert_eq!(spread(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4), [0, 3, 6, 9]);
        assert_eq!(spread(&[4, 5], 1), [4]);
    }
}

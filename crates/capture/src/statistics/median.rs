//! Medians, of many rows one after the other, of which other statistics are known.

use super::Statistics;

/// From so many values on, a sample says near which the middle is: with fewer, looking is dearer than sorting.
const MIN_VALUES: usize = 8 * SAMPLE;

/// How many values a sample has.
const SAMPLE: usize = 32;

/// How many places of the sample on each side of its middle are taken for near. What lies further off is
/// rarely the middle of all values: 8 places are almost three standard deviations of where it falls.
const NEAR: usize = 8;

/// So far from the mean the middle is looked for, in standard deviations.
const NEAR_MEAN: f32 = 0.2;

/// With fewer values sorting is as quick as looking near the mean.
const MIN_NEAR_MEAN: usize = 16;

/// Finds medians. Keeps its buffer, so that the rows of a layer share it.
#[derive(Debug, Default)]
pub(super) struct Median {
    keys: Vec<i32>,
}

impl Median {
    /// The median of values that are finite, and whose other statistics are these; there are some. Of an even number,
    /// the mean of the middle two.
    #[inline(always)]
    pub(super) fn of(&mut self, values: &[f32], known: &Statistics) -> f32 {
        // As behind a ReLU.
        let is_none_below_zero = known.min.is_some_and(|min| min >= 0.0);
        if is_none_below_zero && known.zeros > (values.len() / 2) as i64 {
            return 0.0;
        }
        let ranks = ((values.len() - 1) / 2, values.len() / 2);
        let near_mean = match near_mean(known) {
            Some(keys) if values.len() >= MIN_NEAR_MEAN => self.between(values, keys, ranks),
            _ => None,
        };
        let (lower, upper) = near_mean.unwrap_or_else(|| self.anywhere(values, ranks));
        if lower == upper {
            return value(upper);
        }
        let sum = f64::from(value(lower)) + f64::from(value(upper));
        (sum / 2.0) as f32
    }

    /// The keys at two ranks around the middle.
    #[inline(always)]
    fn anywhere(&mut self, values: &[f32], ranks: (usize, usize)) -> (i32, i32) {
        if values.len() >= MIN_VALUES {
            self.take(values);
            if let Some(near) = near_middle(&mut self.keys, ranks) {
                return near;
            }
        }
        self.take(values);
        at_ranks(&mut self.keys, ranks)
    }

    /// The keys at two ranks, looked for from one key to another; none if they are elsewhere.
    #[inline(always)]
    fn between(
        &mut self,
        values: &[f32],
        (first, last): (i32, i32),
        (lower, upper): (usize, usize),
    ) -> Option<(i32, i32)> {
        self.keys.resize(values.len(), 0);
        let (mut num_below, mut num_near) = (0, 0);
        for &value in values {
            let key = key(value);
            // Written in any case, and over what is not near: a branch would be guessed wrong too often.
            self.keys[num_near] = key;
            num_near += usize::from(first <= key && key <= last);
            num_below += usize::from(key < first);
        }
        let is_there = num_below <= lower && upper < num_below + num_near;
        let near = &mut self.keys[..num_near];
        is_there.then(|| at_ranks(near, (lower - num_below, upper - num_below)))
    }

    #[inline(always)]
    fn take(&mut self, values: &[f32]) {
        self.keys.resize(values.len(), 0);
        for (to, &value) in self.keys.iter_mut().zip(values) {
            *to = key(value);
        }
    }
}

/// From which key to which the median is likely to be. That of values of both signs, as weights, is mostly near the
/// mean: of 100 that are drawn from a normal distribution it is further off once in 70 times, of more less often.
fn near_mean(known: &Statistics) -> Option<(i32, i32)> {
    let (min, max) = (known.min?, known.max?);
    let (mean, near) = (known.mean?, known.std? * NEAR_MEAN);
    (min < 0.0 && max > 0.0).then(|| (key(mean - near), key(mean + near)))
}

/// A whole number that stands among others as the value does among values; -0 is below 0.
#[inline(always)]
fn key(value: f32) -> i32 {
    flip_if_negative(value.to_bits().cast_signed())
}

/// The value of a key.
#[inline(always)]
fn value(key: i32) -> f32 {
    f32::from_bits(flip_if_negative(key).cast_unsigned())
}

/// Flips all bits but the sign's where that is set. Twice is once undone.
#[inline(always)]
fn flip_if_negative(bits: i32) -> i32 {
    bits ^ ((bits >> 31).cast_unsigned() >> 1).cast_signed()
}

/// The keys at two ranks, the same or neighbours, of keys in any order; they come out in another.
fn at_ranks(keys: &mut [i32], (lower, upper): (usize, usize)) -> (i32, i32) {
    let (below, &mut key, _) = keys.select_nth_unstable(upper);
    let lower_key = match lower == upper {
        true => key,
        false => below.iter().copied().max().unwrap_or(key),
    };
    (lower_key, key)
}

/// The keys at two ranks around the middle, looked for among those alone that are near the middle of a sample;
/// none if they are elsewhere. There are [`MIN_VALUES`] at least; others are written over them.
#[inline(always)]
fn near_middle(keys: &mut [i32], (lower, upper): (usize, usize)) -> Option<(i32, i32)> {
    let stride = keys.len() / SAMPLE;
    let mut sample: [i32; SAMPLE] = std::array::from_fn(|n| keys[n * stride]);
    sample.sort_unstable();
    let (first, last) = (sample[SAMPLE / 2 - NEAR], sample[SAMPLE / 2 + NEAR - 1]);
    let (mut num_below, mut num_near) = (0, 0);
    for nth in 0..keys.len() {
        let key = keys[nth];
        // Written in any case, and over what is not near: a branch would be guessed wrong half of the time.
        keys[num_near] = key;
        num_near += usize::from(first <= key && key <= last);
        num_below += usize::from(key < first);
    }
    let near = &mut keys[..num_near];
    let is_there = num_below <= lower && upper < num_below + num_near;
    // Many values may be the same, as the zeros behind a ReLU.
    let is_one = first == last;
    match (is_there, is_one) {
        (false, _) => None,
        (true, true) => Some((first, first)),
        (true, false) => Some(at_ranks(near, (lower - num_below, upper - num_below))),
    }
}

#[cfg(test)]
mod tests {
    use analysis::KeyedRng;

    use super::*;

    /// By sorting.
    fn expected(values: &[f32]) -> f32 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f32::total_cmp);
        let (lower, upper) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        ((f64::from(lower) + f64::from(upper)) / 2.0) as f32
    }

    /// As it is found beside the other statistics.
    fn found(median: &mut Median, values: &[f32]) -> f32 {
        let mut known = Statistics::default();
        assert!(known.add_finite(values));
        median.of(values, &known)
    }

    #[test]
    fn by_hand() {
        let mut median = Median::default();
        let mut of = |values: &[f32]| found(&mut median, values);
        assert_eq!(of(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(of(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(of(&[-1.0]), -1.0);
        assert_eq!(of(&[f32::MAX, f32::MAX]), f32::MAX);
        // Zeros are half of the values, or more.
        assert_eq!(of(&[0.0, 3.0, 1.0, 0.0]), 0.5);
        assert_eq!(of(&[0.0, 3.0, 0.0]), 0.0);
        assert_eq!(of(&[0.0, -3.0, 0.0, 0.0]), 0.0);
        assert_eq!(of(&[-f32::MAX, f32::MAX, f32::MAX]), f32::MAX);
    }

    #[test]
    fn values_of_any_kind_and_number() {
        let mut rng = KeyedRng::new([7, 0, 0, 0]);
        let mut median = Median::default();
        let kinds: [fn(f64) -> f32; 8] = [
            |x| x as f32,
            // Of both signs: around the mean, and with the middle far from it.
            |x| (x - 0.5) as f32,
            |x| (x.powi(8) - 0.1) as f32,
            |x| if x < 0.02 { -1e38 } else { (x * 1e-3) as f32 },
            // As a ReLU makes them.
            |x| (x.max(0.5) - 0.5) as f32,
            |x| (x * 3.0).floor() as f32,
            |x| if x < 0.5 { -1e30 } else { 1e30 },
            |x| if x < 0.5 { -0.0 } else { 0.0 },
        ];
        for (nth, kind) in kinds.into_iter().enumerate() {
            for len in (1..40)
                .chain(MIN_VALUES - 2..MIN_VALUES + 3)
                .chain([784, 1_001])
            {
                let mut values: Vec<f32> = (0..len)
                    .map(|_| kind(rng.below(1 << 24) as f64 / (1 << 24) as f64))
                    .collect();
                assert_eq!(
                    found(&mut median, &values),
                    expected(&values),
                    "kind {nth}, {len} values"
                );
                // In order, as the kernels of a layer may be.
                values.sort_by(f32::total_cmp);
                assert_eq!(
                    found(&mut median, &values),
                    expected(&values),
                    "kind {nth}, {len} in order"
                );
            }
        }
    }

    #[test]
    fn a_sample_that_is_unlike_the_rest_is_no_guide() {
        let mut values = vec![1.0; 1_024];
        for value in values.iter_mut().step_by(1_024 / SAMPLE) {
            *value = -5.0;
        }
        assert_eq!(near_middle(&mut keys(&values), (511, 512)), None);
        assert_eq!(found(&mut Median::default(), &values), 1.0);
    }

    #[test]
    fn a_middle_far_from_the_mean_is_found_elsewhere() {
        let mut known = Statistics::default();
        let values: Vec<f32> = (0..99)
            .map(|n| if n < 40 { -50.0 } else { n as f32 })
            .collect();
        assert!(known.add_finite(&values));
        let ranks = (49, 49);
        let mut median = Median::default();
        let near = near_mean(&known).unwrap();
        assert_eq!(median.between(&values, near, ranks), None);
        assert_eq!(median.of(&values, &known), 49.0);
        // Of values of one sign it is not even looked for there.
        let positive: Vec<f32> = values.iter().map(|value| value + 51.0).collect();
        assert!(known.add_finite(&positive));
        assert_eq!(near_mean(&known), None);
    }

    #[test]
    fn keys_are_in_the_order_of_values() {
        let values = [
            -f32::MAX,
            -1.0,
            -f32::MIN_POSITIVE,
            -0.0,
            0.0,
            1e-40,
            2.0,
            f32::MAX,
        ];
        let keys = keys(&values);
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert!(
            keys.iter()
                .zip(values)
                .all(|(&k, v)| value(k).to_bits() == v.to_bits())
        );
    }

    fn keys(values: &[f32]) -> Vec<i32> {
        values.iter().map(|&value| key(value)).collect()
    }
}

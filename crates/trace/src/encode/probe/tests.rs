use std::sync::Arc;

use super::*;
use crate::table::float_item;
use arrow::array::{Float32Array, ListArray};
use arrow::buffer::OffsetBuffer;

fn lists(values: Vec<f32>, width: usize) -> ListArray {
    let rows = values.len() / width;
    ListArray::new(
        Arc::new(float_item()),
        OffsetBuffer::from_lengths(std::iter::repeat_n(width, rows)),
        Arc::new(Float32Array::from(values)),
        None,
    )
}

/// Floats whose mantissas are random, as those of weights are.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32
    };
    (0..len).map(|_| next() - 0.5).collect()
}

fn is_worth_it(values: Vec<f32>) -> bool {
    let array: ArrayRef = Arc::new(lists(values, 64));
    is_compressible(&array, 0.78)
}

#[test]
fn noise_is_left_as_it_is() {
    assert!(!is_worth_it(noise(8192)));
    assert!(!is_worth_it(noise(64)));
}

#[test]
fn values_of_which_half_are_zero_are_compressed() {
    let rectified = noise(8192).into_iter().map(|value| value.max(0.0));
    assert!(is_worth_it(rectified.collect()));
}

/// A sample of the first values alone would see nothing but noise.
#[test]
fn the_whole_column_is_sampled() {
    let mut values = noise(2048);
    values.resize(65_536, 0.0);
    assert!(is_worth_it(values));
}

/// Places that come at the pace of some units meet these alone: here every eighth is busy, and all others are silent.
#[test]
fn more_units_are_sampled_than_some() {
    const SAMPLES: usize = 297;
    let mut values = noise(128 * SAMPLES);
    for (unit, values) in values.chunks_mut(SAMPLES).enumerate() {
        if unit % 8 > 0 {
            values.fill(0.0);
        }
    }
    let array: ArrayRef = Arc::new(lists(values, SAMPLES));
    assert!(is_compressible(&array, 0.78));
}

/// Only what the lists hold is looked at, not what lies beside it in the array.
#[test]
fn a_slice_is_sampled_by_itself() {
    let mut values = noise(4096);
    values.resize(65_536, 0.0);
    let array: ArrayRef = Arc::new(lists(values, 64).slice(0, 64));
    assert!(!is_compressible(&array, 0.78));
}

//! Whether a list column is worth compressing, tried on a sample of it.

use std::cell::RefCell;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowNativeType, Float32Type};

use crate::columns::put_compressed_planes;

/// Blocks of values in a sample, spread over the column: neurons differ, some are silent.
const BLOCKS: usize = 64;

/// Values of a block.
const BLOCK_VALUES: usize = 64;

/// What a sample is put into, kept between columns.
#[derive(Default)]
struct Buffers {
    values: Vec<f32>,
    compressed: Vec<u8>,
}

impl Buffers {
    fn is_smaller(&mut self, values: &[f32], share: f64) -> bool {
        let num_blocks = BLOCKS.min(values.len() / BLOCK_VALUES).max(1);
        let stride = values.len() / num_blocks;
        self.values.clear();
        for block in 0..num_blocks {
            let rest = &values[block * stride..];
            self.values
                .extend_from_slice(&rest[..BLOCK_VALUES.min(rest.len())]);
        }
        self.compressed.clear();
        let most = (size_of_val(&*self.values) as f64 * share) as usize;
        // A sample that fails decides nothing: the page itself is then tried.
        put_compressed_planes(&self.values, most, &mut self.compressed).unwrap_or(true)
    }
}

/// Whether compression leaves at most that `share` of a list column, as far as a sample of 4,096 values tells.
pub(super) fn is_compressible(lists: &ArrayRef, share: f64) -> bool {
    thread_local! {
        static BUFFERS: RefCell<Buffers> = RefCell::default();
    }
    let lists = lists.as_list::<i32>();
    let offsets = lists.value_offsets();
    let values = lists.values().as_primitive::<Float32Type>().values();
    let values = &values[offsets[0].as_usize()..offsets[lists.len()].as_usize()];
    !values.is_empty() && BUFFERS.with_borrow_mut(|buffers| buffers.is_smaller(values, share))
}

#[cfg(test)]
mod tests;

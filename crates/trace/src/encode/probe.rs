//! Whether a list column is worth compressing, tried on a sample of it.

use std::cell::RefCell;
use std::io;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowNativeType, Float32Type};
use zstd::bulk::Compressor;

use super::{MAX_COMPRESSION_RATIO, ZSTD_LEVEL};

/// Blocks of values in a sample, spread over the column: neurons differ, some are silent.
const BLOCKS: usize = 16;

/// Values of a block.
const BLOCK_VALUES: usize = 256;

/// What a thread needs for sampling, kept between columns: a compressor takes longer to set up
/// than to compress a sample.
struct Probe {
    compressor: Compressor<'static>,
    planes: Vec<u8>,
    compressed: Vec<u8>,
}

impl Probe {
    fn try_new() -> io::Result<Self> {
        let sample_bytes = BLOCKS * BLOCK_VALUES * size_of::<f32>();
        Ok(Self {
            compressor: Compressor::new(ZSTD_LEVEL)?,
            planes: Vec::with_capacity(sample_bytes),
            compressed: vec![0; zstd::zstd_safe::compress_bound(sample_bytes)],
        })
    }

    fn ratio(&mut self, values: &[f32]) -> io::Result<f64> {
        let num_blocks = BLOCKS.min(values.len() / BLOCK_VALUES).max(1);
        let stride = values.len() / num_blocks;
        let sample = (0..num_blocks).flat_map(|block| {
            let rest = &values[block * stride..];
            &rest[..BLOCK_VALUES.min(rest.len())]
        });
        self.planes.clear();
        // As BYTE_STREAM_SPLIT has them: all first bytes, then all second ones, ...
        for byte in 0..size_of::<f32>() {
            self.planes
                .extend(sample.clone().map(|value| value.to_le_bytes()[byte]));
        }
        let compressed = self
            .compressor
            .compress_to_buffer(&self.planes, &mut self.compressed)?;
        Ok(compressed as f64 / self.planes.len() as f64)
    }
}

/// Whether compression makes a list column smaller than [`MAX_COMPRESSION_RATIO`] of itself, as
/// far as a sample of 4,096 values tells.
pub(super) fn is_compressible(lists: &ArrayRef) -> bool {
    thread_local! {
        static PROBE: RefCell<Option<Probe>> = const { RefCell::new(None) };
    }
    let lists = lists.as_list::<i32>();
    let offsets = lists.value_offsets();
    let values = lists.values().as_primitive::<Float32Type>().values();
    let values = &values[offsets[0].as_usize()..offsets[lists.len()].as_usize()];
    if values.is_empty() {
        return false;
    }
    PROBE.with_borrow_mut(|probe| {
        let ratio = match probe {
            Some(probe) => probe.ratio(values),
            None => Probe::try_new().and_then(|new| probe.insert(new).ratio(values)),
        };
        // A sample that fails decides nothing: the page itself is then tried.
        ratio.map_or(true, |ratio| ratio <= MAX_COMPRESSION_RATIO)
    })
}

#[cfg(test)]
mod tests;

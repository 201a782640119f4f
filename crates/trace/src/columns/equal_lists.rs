//! Lists of one length, as all of a layer are, straight into pages: the levels are runs, and the values go
//! into byte planes where the page will be written from.
//!
//! parquet's own column writer takes two levels for each value, and copies the values three times.

use std::cell::Cell;
use std::io::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowNativeType, DataType, Float32Type};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::planes::{PAGE_VALUES, ZSTD_LEVEL, put_compressed_planes, put_planes};

/// From so long lists on two runs of levels a list are shorter than a bit a value.
const MIN_RUN_LENGTH: usize = 48;

/// Groups of 8 bits in a run, at most, so that the length of a run is one byte, as in what others write.
const MAX_BIT_GROUPS: usize = 63;

/// Some lists of floats, all of one length, none of them null or empty.
#[derive(Debug, Clone, Copy)]
pub struct EqualLists<'a> {
    values: &'a [f32],
    length: usize,
}

impl<'a> EqualLists<'a> {
    /// None if these are no such lists.
    pub fn of(array: &'a ArrayRef) -> Option<Self> {
        if !matches!(array.data_type(), DataType::List(_)) || array.null_count() > 0 {
            return None;
        }
        let lists = array.as_list::<i32>();
        let offsets = lists.value_offsets();
        let (&first, &last) = offsets.first().zip(offsets.last())?;
        let length = offsets.get(1)? - first;
        let are_equal = offsets.windows(2).all(|two| two[1] - two[0] == length);
        let values = lists.values().as_primitive::<Float32Type>().values();
        (length > 0 && are_equal).then(|| Self {
            values: &values[first.as_usize()..last.as_usize()],
            length: length.as_usize(),
        })
    }

    /// Writes them as a column chunk. Pages of which compression leaves at most the share `compressed` are
    /// compressed; none are if that is none.
    ///
    /// # Errors
    /// If a page is too large for Parquet, or cannot be written.
    pub fn write<W: Write + Send>(
        &self,
        column: &ColumnDescPtr,
        compressed: Option<f64>,
        output: &mut TrackedWrite<W>,
    ) -> Result<ColumnCloseResult> {
        let start = output.bytes_written();
        let mut pages = SerializedPageWriter::new(output);
        let mut offsets = OffsetIndexBuilder::new();
        let (mut num_pages, mut is_any_compressed) = (0, false);
        let (mut bytes_written, mut num_uncompressed) = (0, 0);
        let most_rows = (PAGE_VALUES / self.length).max(1);
        for values in self.values.chunks(most_rows * self.length) {
            let (page, is_compressed) = self.page(values, column.max_def_level(), compressed)?;
            let written = pages.write_page(page)?;
            let num_rows = (values.len() / self.length) as i64;
            let bytes = i32::try_from(written.bytes_written).map_err(too_large)?;
            offsets.append_offset_and_size(written.offset as i64, bytes);
            offsets.append_row_count(num_rows);
            num_pages += 1;
            is_any_compressed |= is_compressed;
            bytes_written += written.bytes_written;
            num_uncompressed += written.uncompressed_size;
        }
        pages.close()?;
        let zstd = || ZstdLevel::try_new(ZSTD_LEVEL).map(Compression::ZSTD);
        let metadata = ColumnChunkMetaData::builder(column.clone())
            .set_compression(match is_any_compressed {
                true => zstd()?,
                false => Compression::UNCOMPRESSED,
            })
            .set_encodings(vec![Encoding::RLE, Encoding::BYTE_STREAM_SPLIT])
            .set_page_encoding_stats(vec![PageEncodingStats {
                page_type: PageType::DATA_PAGE_V2,
                encoding: Encoding::BYTE_STREAM_SPLIT,
                count: num_pages,
            }])
            .set_total_compressed_size(bytes_written as i64)
            .set_total_uncompressed_size(num_uncompressed as i64)
            .set_num_values(self.values.len() as i64)
            .set_data_page_offset(start as i64)
            .build()?;
        Ok(ColumnCloseResult {
            bytes_written,
            rows_written: (self.values.len() / self.length) as u64,
            metadata,
            bloom_filter: None,
            column_index: None,
            offset_index: Some(offsets.build()),
        })
    }

    /// A page of some of the lists' values, and whether it is compressed.
    fn page(
        &self,
        values: &[f32],
        definition: i16,
        compressed: Option<f64>,
    ) -> Result<(CompressedPage, bool)> {
        let mut page = take_buffer();
        put_repetition(values.len(), self.length, &mut page);
        let repetition_bytes = page.len();
        put_run(values.len(), definition as u8, &mut page);
        let level_bytes = page.len();
        let num_bytes = level_bytes + size_of_val(values);
        let is_compressed = match compressed {
            None => false,
            Some(share) => {
                // Levels stay as they are.
                let most = (size_of_val(values) as f64 * share) as usize;
                put_compressed_planes(values, most, &mut page)?
            }
        };
        if !is_compressed {
            put_planes(values, &mut page);
        }
        let page = Page::DataPageV2 {
            buf: Bytes::from_owner(PageBuffer(page)),
            num_values: u32::try_from(values.len()).map_err(too_large)?,
            encoding: Encoding::BYTE_STREAM_SPLIT,
            num_nulls: 0,
            num_rows: u32::try_from(values.len() / self.length).map_err(too_large)?,
            def_levels_byte_len: (level_bytes - repetition_bytes) as u32,
            rep_levels_byte_len: repetition_bytes as u32,
            is_compressed,
            statistics: None,
        };
        Ok((CompressedPage::new(page, num_bytes), is_compressed))
    }
}

fn too_large(error: impl std::fmt::Display) -> ParquetError {
    ParquetError::General(format!("a list is too long for a page: {error}"))
}

/// Repetition levels, 0 where a list begins and else 1, in Parquet's hybrid of runs and bits.
fn put_repetition(num_values: usize, length: usize, levels: &mut Vec<u8>) {
    if length == 1 {
        put_run(num_values, 0, levels);
    } else if length >= MIN_RUN_LENGTH {
        for _ in 0..num_values / length {
            put_run(1, 0, levels);
            put_run(length - 1, 1, levels);
        }
    } else {
        let num_groups = num_values.div_ceil(8);
        // The place in its list of the value that the next bit is of.
        let mut place = 0;
        for first in (0..num_groups).step_by(MAX_BIT_GROUPS) {
            let groups = MAX_BIT_GROUPS.min(num_groups - first);
            levels.push((groups << 1 | 1) as u8);
            for _ in 0..groups {
                let mut bits = 0;
                for bit in 0..8 {
                    bits |= u8::from(place != 0) << bit;
                    place = if place + 1 == length { 0 } else { place + 1 };
                }
                levels.push(bits);
            }
        }
    }
}

/// So many times the same level, which takes one byte.
fn put_run(count: usize, level: u8, levels: &mut Vec<u8>) {
    let mut header = count << 1;
    while header >= 0x80 {
        levels.push(header as u8 | 0x80);
        header >>= 7;
    }
    levels.extend([header as u8, level]);
}

thread_local! {
    /// The buffer of the last page: memory that was used before is there, new memory has to be cleared first.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn take_buffer() -> Vec<u8> {
    let mut buffer = BUFFER.take();
    buffer.clear();
    buffer
}

/// Bytes of a page; their memory is used again.
struct PageBuffer(Vec<u8>);

impl AsRef<[u8]> for PageBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for PageBuffer {
    fn drop(&mut self) {
        // A page of one list that is longer than others is not kept.
        if self.0.capacity() <= 2 * size_of::<f32>() * PAGE_VALUES {
            let buffer = std::mem::take(&mut self.0);
            // Where the thread ends there is no next page.
            let _ = BUFFER.try_with(|kept| kept.set(buffer));
        }
    }
}

#[cfg(test)]
mod tests;

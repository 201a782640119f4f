//! Where the columns of a part file are that are held against their checksums.

use std::ops::Range;

use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::Stretch;
use crate::checksum::Crc32c;

/// Where the columns are that are read, row group by row group, with their checksums.
pub(crate) fn stretches(
    metadata: &ParquetMetaData,
    columns: &[usize],
    checksums: &[Crc32c],
    num_bytes: u64,
) -> ParquetResult<Vec<Stretch>> {
    let mut stretches = Vec::new();
    let mut first = 0;
    for row_group in metadata.row_groups() {
        for &column in columns {
            let chunk = row_group.columns().get(column);
            let range = chunk.and_then(|chunk| range_of(chunk, num_bytes));
            let (Some(chunk), Some(range)) = (chunk, range) else {
                let message = format!("there is no column {column} where its footer says");
                return Err(ParquetError::General(message));
            };
            stretches.push(Stretch {
                range,
                crc32c: checksums[first + column],
                name: format!("column {}", chunk.column_path()),
            });
        }
        first += row_group.num_columns();
    }
    stretches.sort_by_key(|stretch| stretch.range.start);
    Ok(stretches)
}

/// Where all column chunks are, in the order of their checksums.
pub(crate) fn chunk_ranges(
    metadata: &ParquetMetaData,
    num_bytes: u64,
) -> ParquetResult<Vec<Range<u64>>> {
    let chunks = metadata.row_groups().iter();
    let chunks = chunks.flat_map(|row_group| row_group.columns());
    let ranges = chunks.map(|chunk| {
        range_of(chunk, num_bytes).ok_or_else(|| {
            let column = chunk.column_path();
            ParquetError::General(format!("there is no column {column} where its footer says"))
        })
    });
    ranges.collect()
}

/// The bytes of a column chunk in a file of so many; none if the footer cannot mean that.
fn range_of(chunk: &ColumnChunkMetaData, num_bytes: u64) -> Option<Range<u64>> {
    let start = chunk
        .dictionary_page_offset()
        .unwrap_or_else(|| chunk.data_page_offset());
    let start = u64::try_from(start).ok()?;
    let end = start.checked_add(u64::try_from(chunk.compressed_size()).ok()?)?;
    (end <= num_bytes).then_some(start..end)
}

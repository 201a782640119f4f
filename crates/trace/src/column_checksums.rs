//! The checksums that a part file's footer has of its column chunks, and a commit of the footer: by
//! them a few columns of a file are checked without the rest.

use parquet::file::metadata::ParquetMetaData;

use crate::checksum::Crc32c;

/// Key of the column chunks' checksums in a part file's footer: 8 digits each, one row group after
/// the other, in the order of the columns.
pub const COLUMN_CRC32C_KEY: &str = "stratigraph.column_crc32c";

/// Digits of a checksum.
const NUM_DIGITS: usize = 8;

/// The end of a part file, behind its last column chunk: what a reader needs to know before it reads
/// a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footer {
    /// Bytes that it has: indexes of the columns, Parquet's footer, its length and its magic bytes.
    pub bytes: u64,
    /// Their checksum.
    pub crc32c: Crc32c,
}

/// The value of the footer's key.
pub(crate) fn to_text(checksums: impl Iterator<Item = Crc32c>) -> String {
    checksums.map(|crc32c| crc32c.to_string()).collect()
}

/// The checksum of each column chunk; none where the footer has none, or not one for each.
pub(crate) fn of_chunks(metadata: &ParquetMetaData) -> Option<Vec<Crc32c>> {
    let entries = metadata.file_metadata().key_value_metadata()?;
    let entry = entries
        .iter()
        .find(|entry| entry.key == COLUMN_CRC32C_KEY)?;
    let digits = entry.value.as_deref()?.as_bytes();
    let checksums = digits.chunks(NUM_DIGITS).map(Crc32c::from_digits);
    let checksums = checksums.collect::<Option<Vec<_>>>()?;
    let num_chunks = metadata
        .row_groups()
        .iter()
        .map(|group| group.num_columns());
    (checksums.len() == num_chunks.sum::<usize>()).then_some(checksums)
}

//! The checksums that a part file's footer has of its column chunks, and a commit of the footer: by
//! them a few columns of a file are checked without the rest.

use parquet::file::metadata::ParquetMetaData;
use serde::{Deserialize, Serialize};

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

/// The checksums of a file's column chunks, one row group after the other, in the order of the columns;
/// written as 8 digits each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ColumnChecksums(Vec<Crc32c>);

impl ColumnChecksums {
    /// Those of the chunks, in their order.
    pub(crate) fn new(checksums: Vec<Crc32c>) -> Self {
        Self(checksums)
    }

    /// The checksums, in the order of the chunks.
    pub fn chunks(&self) -> &[Crc32c] {
        &self.0
    }
}

impl From<ColumnChecksums> for String {
    fn from(checksums: ColumnChecksums) -> Self {
        to_text(checksums.0.into_iter())
    }
}

impl TryFrom<String> for ColumnChecksums {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let checksums = from_digits(text.as_bytes());
        let checksums = checksums.filter(|checksums| !checksums.is_empty());
        checksums
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no row of checksums of 8 hexadecimal digits each"))
    }
}

/// Checksums as they are written, 8 digits each.
fn from_digits(digits: &[u8]) -> Option<Vec<Crc32c>> {
    digits.chunks(NUM_DIGITS).map(Crc32c::from_digits).collect()
}

/// The value of the footer's key.
pub(crate) fn to_text(checksums: impl Iterator<Item = Crc32c>) -> String {
    checksums.map(|crc32c| crc32c.to_string()).collect()
}

/// The checksum of each column chunk: those of the footer, or those that were `committed` beside it.
/// None where there are none, or not one for each chunk.
pub(crate) fn of_chunks(
    metadata: &ParquetMetaData,
    committed: Option<&[Crc32c]>,
) -> Option<Vec<Crc32c>> {
    let checksums = in_footer(metadata).or_else(|| committed.map(<[_]>::to_vec))?;
    let num_chunks = metadata
        .row_groups()
        .iter()
        .map(|group| group.num_columns());
    (checksums.len() == num_chunks.sum::<usize>()).then_some(checksums)
}

/// The checksums that a footer has.
pub(crate) fn in_footer(metadata: &ParquetMetaData) -> Option<Vec<Crc32c>> {
    let entries = metadata.file_metadata().key_value_metadata()?;
    let entry = entries
        .iter()
        .find(|entry| entry.key == COLUMN_CRC32C_KEY)?;
    from_digits(entry.value.as_deref()?.as_bytes())
}

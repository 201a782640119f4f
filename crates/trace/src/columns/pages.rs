//! What page headers ask for before a value of theirs is decoded: room for as many bytes and values as they
//! say, which may be gigabytes behind a few bytes.

use std::io::{BufRead, BufReader, Read as _};

use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::ChunkReader;

use crate::thrift::{Fields, Input, Kind, kind};

/// A page may unpack to so many bytes, whatever it is packed in: zeros take nearly none. What is longer is to be
/// written as it is, or nearly.
pub(crate) const MAX_PAGE_BYTES: u64 = 64 << 20;

/// A page may unpack to more if it is packed in at least so much of it.
const MAX_RATIO: u64 = 64;

/// A page may have so many values, however few bytes they take, or one a byte.
const MAX_PAGE_VALUES: u64 = 1 << 22;

/// What most headers have less than, which is read at once.
const HEADER_BYTES: usize = 128;

/// Checks the page headers of the columns at `indices`, in each row group.
///
/// # Errors
/// If one asks for more than its page can be meant to have, or is none.
pub fn check_pages(
    file: &impl ChunkReader,
    metadata: &ParquetMetaData,
    indices: &[usize],
) -> Result<()> {
    check_pages_within(MAX_PAGE_BYTES, file, metadata, indices)
}

/// As [`check_pages`], with another bound on what a page may unpack to from however few bytes.
pub(crate) fn check_pages_within(
    max_bytes: u64,
    file: &impl ChunkReader,
    metadata: &ParquetMetaData,
    indices: &[usize],
) -> Result<()> {
    for row_group in metadata.row_groups() {
        for &index in indices {
            // That a column is missing is told by whoever reads it.
            if let Some(chunk) = row_group.columns().get(index) {
                check_chunk(max_bytes, file, chunk)?;
            }
        }
    }
    Ok(())
}

fn check_chunk(max_bytes: u64, file: &impl ChunkReader, chunk: &ColumnChunkMetaData) -> Result<()> {
    let malformed = |what: &str| {
        let column = chunk.column_path();
        ParquetError::General(format!("a page of column {column} {what}"))
    };
    let start = chunk
        .dictionary_page_offset()
        .unwrap_or_else(|| chunk.data_page_offset());
    let bytes = u64::try_from(chunk.compressed_size()).ok();
    let range = u64::try_from(start).ok().zip(bytes);
    let range = range.and_then(|(start, bytes)| Some((start, start.checked_add(bytes)?)));
    let Some((mut at, end)) = range.filter(|(_, end)| *end <= file.len()) else {
        return Err(malformed("is not where the footer says"));
    };
    let is_packed = chunk.compression() != Compression::UNCOMPRESSED;
    while at < end {
        let header = read_header(file, at, end)?;
        let (page, header_bytes) = header.ok_or_else(|| malformed("has no header"))?;
        let most = max_bytes.max(page.packed.saturating_mul(MAX_RATIO));
        if is_packed && page.unpacked > most {
            return Err(malformed(&format!(
                "would be unpacked from {} bytes to {}",
                page.packed, page.unpacked
            )));
        }
        if page.num_values > MAX_PAGE_VALUES.max(page.unpacked) {
            return Err(malformed(&format!(
                "would have {} values in {} bytes",
                page.num_values, page.unpacked
            )));
        }
        at = at.saturating_add(header_bytes).saturating_add(page.packed);
    }
    Ok(())
}

/// The header that begins at a place before `end`, and how many bytes it has; none where it is none.
fn read_header(file: &impl ChunkReader, at: u64, end: u64) -> Result<Option<(Page, u64)>> {
    let left = usize::try_from(end - at).unwrap_or(usize::MAX);
    let first = file.get_bytes(at, left.min(HEADER_BYTES))?;
    let mut input = Input::new(&first[..]);
    if let Some(page) = page(&mut input) {
        return Ok(Some((page, input.num_bytes())));
    }
    // Of a longer one, with statistics of long texts, all is read that there is.
    let mut input = Input::new(BufReader::new(file.get_read(at)?.take(end - at)));
    Ok(page(&mut input).map(|page| (page, input.num_bytes())))
}

/// What a page's header says.
#[derive(Debug, Default, PartialEq)]
struct Page {
    packed: u64,
    unpacked: u64,
    num_values: u64,
}

/// Fields of a page's header (`PageHeader` in parquet.thrift) that are looked at; that of each kind of data pages has
/// its number of values first, as that of a dictionary has.
const UNPACKED: i16 = 2;
const PACKED: i16 = 3;
const DATA: i16 = 5;
const DICTIONARY: i16 = 7;
const DATA_V2: i16 = 8;
const NUM_VALUES: i16 = 1;

/// The others that parquet reads.
const PAGE_HEADER: Fields = &[(1, Kind::Int), (4, Kind::Int), (6, Kind::Struct(&[]))];

const DATA_HEADER: Fields = &[(2, Kind::Int), (3, Kind::Int), (4, Kind::Int)];

const DICTIONARY_HEADER: Fields = &[(2, Kind::Int), (3, Kind::Bool)];

const DATA_V2_HEADER: Fields = &[
    (2, Kind::Int),
    (3, Kind::Int),
    (4, Kind::Int),
    (5, Kind::Int),
    (6, Kind::Int),
    (7, Kind::Bool),
];

/// What a header says; none where it is none.
fn page(input: &mut Input<impl BufRead>) -> Option<Page> {
    let mut page = Page::default();
    let mut field = 0;
    while let Some(kind) = input.field(&mut field)? {
        let of = match field {
            UNPACKED => {
                page.unpacked = input.size(kind)?;
                continue;
            }
            PACKED => {
                page.packed = input.size(kind)?;
                continue;
            }
            DATA => DATA_HEADER,
            DICTIONARY => DICTIONARY_HEADER,
            DATA_V2 => DATA_V2_HEADER,
            _ => {
                input.pass(kind, field, PAGE_HEADER)?;
                continue;
            }
        };
        if kind != kind::STRUCT {
            return None;
        }
        let mut field = 0;
        while let Some(kind) = input.field(&mut field)? {
            match field {
                NUM_VALUES => page.num_values = input.size(kind)?,
                _ => input.pass(kind, field, of)?,
            }
        }
    }
    Some(page)
}

#[cfg(test)]
mod tests;

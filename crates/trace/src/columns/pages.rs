//! What page headers ask for before a value of theirs is decoded: room for as many bytes and values as they
//! say, which may be gigabytes behind a few bytes.

use std::io::Read;

use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::ChunkReader;

/// A page may unpack to so many bytes, whatever it is packed in: zeros take nearly none. What is longer is to be
/// written as it is, or nearly.
pub(crate) const MAX_PAGE_BYTES: u64 = 64 << 20;

/// A page may unpack to more if it is packed in at least so much of it.
const MAX_RATIO: u64 = 64;

/// A page may have so many values, however few bytes they take, or one a byte.
const MAX_PAGE_VALUES: u64 = 1 << 22;

/// What most headers have less than, which is read at once.
const HEADER_BYTES: usize = 128;

/// How deep a header nests: statistics are in a page's own header, in that of all.
const MAX_NESTING: usize = 8;

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
    if let Some(page) = input.page() {
        return Ok(Some((page, input.num_bytes)));
    }
    // Of a longer one, with statistics of long texts, all is read that there is.
    let mut input = Input::new(file.get_read(at)?.take(end - at));
    Ok(input.page().map(|page| (page, input.num_bytes)))
}

/// What a page's header says.
#[derive(Debug, Default, PartialEq)]
struct Page {
    packed: u64,
    unpacked: u64,
    num_values: u64,
}

/// Reads a header in Thrift's compact protocol; none where it is none.
struct Input<R> {
    input: R,
    num_bytes: u64,
}

/// Types of the compact protocol.
mod kind {
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
}

/// Fields of a page's header (`PageHeader` in parquet.thrift); that of data pages has its number of values
/// first, as that of a dictionary has.
const UNPACKED: i64 = 2;
const PACKED: i64 = 3;
const HEADERS: [i64; 3] = [5, 7, 8];
const NUM_VALUES: i64 = 1;

impl<R: Read> Input<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            num_bytes: 0,
        }
    }

    fn page(&mut self) -> Option<Page> {
        let mut page = Page::default();
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (UNPACKED, kind::I16..=kind::I64) => page.unpacked = self.size()?,
                (PACKED, kind::I16..=kind::I64) => page.packed = self.size()?,
                (field, kind::STRUCT) if HEADERS.contains(&field) => {
                    let mut field = 0;
                    while let Some(kind) = self.field(&mut field)? {
                        match (field, kind) {
                            (NUM_VALUES, kind::I16..=kind::I64) => page.num_values = self.size()?,
                            _ => self.skip(kind, MAX_NESTING)?,
                        }
                    }
                }
                _ => self.skip(kind, MAX_NESTING)?,
            }
        }
        Some(page)
    }

    /// The next field's type; none inside where the struct ends.
    fn field(&mut self, field: &mut i64) -> Option<Option<u8>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        *field = match head >> 4 {
            0 => self.number()?,
            delta => field.checked_add(delta.into())?,
        };
        Some(Some(head & 0xf))
    }

    fn skip(&mut self, kind: u8, nesting: usize) -> Option<()> {
        let nesting = nesting.checked_sub(1)?;
        match kind {
            kind::TRUE | kind::FALSE => {}
            kind::BYTE => _ = self.byte()?,
            kind::I16..=kind::I64 => _ = self.number()?,
            kind::DOUBLE => self.skip_bytes(8)?,
            kind::BINARY => {
                let length = self.varint()?;
                self.skip_bytes(length)?;
            }
            kind::LIST | kind::SET => {
                let head = self.byte()?;
                let length = match head >> 4 {
                    15 => self.varint()?,
                    length => length.into(),
                };
                for _ in 0..length {
                    match head & 0xf {
                        kind::TRUE | kind::FALSE => _ = self.byte()?,
                        kind => self.skip(kind, nesting)?,
                    }
                }
            }
            kind::STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, nesting)?;
                }
            }
            // A page's header has no maps.
            _ => return None,
        }
        Some(())
    }

    /// A number that is not negative.
    fn size(&mut self) -> Option<u64> {
        u64::try_from(self.number()?).ok()
    }

    /// A number with its sign in its lowest bit.
    fn number(&mut self) -> Option<i64> {
        let number = self.varint()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte).ok()?;
        self.num_bytes += 1;
        Some(byte[0])
    }

    fn skip_bytes(&mut self, length: u64) -> Option<()> {
        let skipped = std::io::copy(&mut self.input.by_ref().take(length), &mut std::io::sink());
        let skipped = skipped.ok()?;
        self.num_bytes += skipped;
        (skipped == length).then_some(())
    }
}

#[cfg(test)]
mod tests;

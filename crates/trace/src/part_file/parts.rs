//! Stretches of a file that were held against their checksums, as parquet reads them.

use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

use super::{FileProblem, WHOLE_FILE_BYTES, checksum_of_rest};
use crate::checksum::Crc32c;
use crate::store::StoredPart;

/// A stretch of a file that is to be read.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub(crate) range: Range<u64>,
    /// The checksum that was written of it.
    pub(crate) crc32c: Crc32c,
    /// What it is, after "its".
    pub(crate) name: String,
}

impl Stretch {
    fn len(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    fn compare(&self, found: Crc32c) -> Result<(), FileProblem> {
        if found == self.crc32c {
            return Ok(());
        }
        Err(FileProblem::DamagedStretch {
            stretch: self.name.clone(),
            found,
            written: self.crc32c,
        })
    }
}

/// A file of which some stretches were held against their checksums: these can be read, and nothing
/// else. What goes into [`WHOLE_FILE_BYTES`] is held in memory.
#[derive(Debug)]
pub struct CheckedParts {
    file: Arc<dyn StoredPart>,
    num_bytes: u64,
    /// Where each begins, and its bytes.
    in_memory: Vec<(u64, Bytes)>,
    in_memory_bytes: u64,
    in_file: Vec<Range<u64>>,
}

impl CheckedParts {
    pub(super) fn new(file: Arc<dyn StoredPart>, num_bytes: u64) -> Self {
        Self {
            file,
            num_bytes,
            in_memory: Vec::new(),
            in_memory_bytes: 0,
            in_file: Vec::new(),
        }
    }

    /// How many bytes the file has now.
    pub(super) fn found_bytes(&self) -> io::Result<u64> {
        self.file.num_bytes()
    }

    /// The checksum of all of the file, a megabyte at a time.
    pub(super) fn checksum(&self) -> io::Result<Crc32c> {
        checksum_of_rest(&mut FileRange::new(&self.file, 0..self.num_bytes))
    }

    /// All of the file can be read from now on.
    pub(super) fn trust_all(&mut self) {
        self.in_file.clear();
        self.in_file.push(0..self.num_bytes);
    }

    /// Whether everything that can be read is in memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.in_file.is_empty()
    }

    /// Reads stretches, which ascend, and holds them against their checksums. Neighbours are read
    /// together.
    pub(crate) fn read(&mut self, stretches: Vec<Stretch>) -> Result<(), FileProblem> {
        let together = |a: &Stretch, b: &Stretch| a.range.end == b.range.start;
        for stretches in stretches.chunk_by(together) {
            let num_bytes = stretches.iter().map(Stretch::len).sum::<u64>();
            if self.in_memory_bytes.saturating_add(num_bytes) <= WHOLE_FILE_BYTES {
                self.read_into_memory(stretches)?;
                continue;
            }
            for stretch in stretches {
                if self.in_memory_bytes.saturating_add(stretch.len()) <= WHOLE_FILE_BYTES {
                    self.read_into_memory(std::slice::from_ref(stretch))?;
                } else {
                    self.check_in_file(stretch)?;
                }
            }
        }
        Ok(())
    }

    fn read_into_memory(&mut self, stretches: &[Stretch]) -> Result<(), FileProblem> {
        let Some(start) = stretches.first().map(|first| first.range.start) else {
            return Ok(());
        };
        let num_bytes = stretches.iter().map(Stretch::len).sum::<u64>();
        let read = self.read_range(start..start.saturating_add(num_bytes));
        let bytes = read.map_err(|error| self.problem(error))?;
        let mut rest = &bytes[..];
        for stretch in stretches {
            let (of_stretch, behind) = rest.split_at(stretch.len() as usize);
            stretch.compare(Crc32c::of(of_stretch))?;
            rest = behind;
        }
        self.in_memory_bytes += num_bytes;
        self.in_memory.push((start, bytes));
        Ok(())
    }

    /// All bytes of a range. A file that ends in it is an error.
    fn read_range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let wanted = range.end.saturating_sub(range.start);
        let bytes = self.file.read_range(range)?;
        match bytes.len() as u64 == wanted {
            true => Ok(bytes),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn check_in_file(&mut self, stretch: &Stretch) -> Result<(), FileProblem> {
        let input = FileRange::new(&self.file, stretch.range.clone());
        let found = checksum_of_rest(&mut { input });
        stretch.compare(found.map_err(|error| self.problem(error))?)?;
        self.in_file.push(stretch.range.clone());
        Ok(())
    }

    /// What is wrong with a file of which a stretch could not be read.
    fn problem(&self, error: io::Error) -> FileProblem {
        match (error.kind(), self.file.num_bytes()) {
            (io::ErrorKind::UnexpectedEof, Ok(found)) => FileProblem::Size {
                found,
                committed: self.num_bytes,
            },
            _ => FileProblem::of(error),
        }
    }

    /// What is in memory from there on.
    fn bytes_from(&self, start: u64) -> Option<Bytes> {
        self.in_memory.iter().find_map(|(first, bytes)| {
            let at = usize::try_from(start.checked_sub(*first)?).ok()?;
            (at < bytes.len()).then(|| bytes.slice(at..))
        })
    }

    /// What of the file was checked from there on.
    fn range_from(&self, start: u64) -> Option<FileRange> {
        let mut ranges = self.in_file.iter();
        let range = ranges.find(|range| range.contains(&start))?;
        Some(FileRange::new(&self.file, start..range.end))
    }
}

fn unchecked(start: u64) -> ParquetError {
    ParquetError::General(format!(
        "what begins at byte {start} is no part of what was asked for"
    ))
}

impl Length for CheckedParts {
    fn len(&self) -> u64 {
        self.num_bytes
    }
}

impl ChunkReader for CheckedParts {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        if let Some(bytes) = self.bytes_from(start) {
            return Ok(Box::new(bytes.reader()));
        }
        let range = self.range_from(start).ok_or_else(|| unchecked(start))?;
        Ok(Box::new(BufReader::new(range)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        if let Some(bytes) = self.bytes_from(start) {
            return match bytes.len() < length {
                true => Err(unchecked(start + bytes.len() as u64)),
                false => Ok(bytes.slice(..length)),
            };
        }
        let range = self.range_from(start).ok_or_else(|| unchecked(start))?;
        match range.left() < length as u64 {
            true => Err(unchecked(start + range.left())),
            false => Ok(self.read_range(start..start + length as u64)?),
        }
    }
}

/// Reads a range of a file, wherever others read it. A file that ends in it is an error.
#[derive(Debug)]
struct FileRange {
    file: Arc<dyn StoredPart>,
    range: Range<u64>,
}

impl FileRange {
    fn new(file: &Arc<dyn StoredPart>, range: Range<u64>) -> Self {
        Self {
            file: Arc::clone(file),
            range,
        }
    }

    /// How many bytes are left of it.
    fn left(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

impl Read for FileRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left();
        let at_most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let buffer = &mut buffer[..at_most];
        let n = self.file.read_at(buffer, self.range.start)?;
        if n == 0 && at_most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.range.start += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests;

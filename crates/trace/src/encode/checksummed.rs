//! An output that takes the checksums of a Parquet file's stretches, and of all of it.

use std::io::{self, BufWriter, Write};
use std::ops::Range;

use crate::checksum::Crc32c;

/// Parquet's magic bytes, which come before the first column.
pub(super) const MAGIC: &[u8] = b"PAR1";

/// Bytes that are gathered before they are written: most part files are smaller.
const BUFFER_BYTES: usize = 64 * 1024;

/// The first bytes of a stretch are read twice, for its checksum and for that of the file. The rest
/// is read once, and both are worked out from that: it takes as long as to read this much.
const READ_TWICE_BYTES: u64 = 1024 * 1024;

/// Writes to `W` what parquet writes. Parquet flushes its output behind each column: there a stretch
/// ends, with a checksum of its own.
pub(super) struct Checksummed<W: Write> {
    output: BufWriter<W>,
    bytes: u64,
    /// Of all bytes but the `tail`.
    crc32c: Crc32c,
    stretches: Vec<Stretch>,
    /// Where the stretch begins that is being written.
    start: u64,
    /// Of its first bytes.
    head: Crc32c,
    /// Of its bytes after [`READ_TWICE_BYTES`].
    tail: Crc32c,
    tail_bytes: usize,
    /// The first that went wrong: whoever wrote then may not have asked.
    failure: Option<io::Error>,
}

/// Some bytes of the file, and their checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) range: Range<u64>,
    pub(super) crc32c: Crc32c,
}

/// What was written.
pub(super) struct Written<W> {
    pub(super) output: W,
    pub(super) bytes: u64,
    pub(super) crc32c: Crc32c,
    pub(super) stretches: Vec<Stretch>,
}

impl<W: Write> Checksummed<W> {
    pub(super) fn new(output: W) -> Self {
        let nothing = Crc32c::of(&[]);
        Self {
            output: BufWriter::with_capacity(BUFFER_BYTES, output),
            bytes: 0,
            crc32c: nothing,
            stretches: Vec::new(),
            start: 0,
            head: nothing,
            tail: nothing,
            tail_bytes: 0,
            failure: None,
        }
    }

    /// The checksum of a stretch that has ended.
    pub(super) fn checksum_of(&self, range: &Range<u64>) -> Option<Crc32c> {
        let stretch = self.stretches.iter().find(|s| s.range == *range);
        stretch.map(|stretch| stretch.crc32c)
    }

    /// Writes what was gathered, and ends.
    ///
    /// # Errors
    /// If anything could not be written, now or before.
    pub(super) fn finish(mut self) -> io::Result<Written<W>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.end_stretch();
        let output = self.output.into_inner();
        Ok(Written {
            output: output.map_err(io::IntoInnerError::into_error)?,
            bytes: self.bytes,
            crc32c: self.crc32c,
            stretches: self.stretches,
        })
    }

    fn add(&mut self, mut bytes: &[u8]) {
        let num_magic = MAGIC.len() as u64;
        if self.bytes < num_magic {
            let missing = (num_magic - self.bytes) as usize;
            let (magic, rest) = bytes.split_at(missing.min(bytes.len()));
            self.append(magic);
            if self.bytes == num_magic {
                self.end_stretch();
            }
            bytes = rest;
        }
        self.append(bytes);
    }

    fn append(&mut self, bytes: &[u8]) {
        let room = READ_TWICE_BYTES.saturating_sub(self.bytes - self.start);
        let num_head = usize::try_from(room).map_or(bytes.len(), |room| room.min(bytes.len()));
        let (head, tail) = bytes.split_at(num_head);
        self.crc32c = self.crc32c.append(head);
        self.head = self.head.append(head);
        self.tail = self.tail.append(tail);
        self.tail_bytes += tail.len();
        self.bytes += bytes.len() as u64;
    }

    fn end_stretch(&mut self) {
        if self.bytes == self.start {
            return;
        }
        let with_tail = |crc32c: Crc32c| match self.tail_bytes {
            0 => crc32c,
            num_bytes => crc32c.combine(self.tail, num_bytes),
        };
        self.crc32c = with_tail(self.crc32c);
        self.stretches.push(Stretch {
            range: self.start..self.bytes,
            crc32c: with_tail(self.head),
        });
        self.start = self.bytes;
        (self.head, self.tail) = (Crc32c::of(&[]), Crc32c::of(&[]));
        self.tail_bytes = 0;
    }
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.output.write(bytes) {
            Ok(n) => {
                self.add(&bytes[..n]);
                Ok(n)
            }
            Err(error) => {
                // It is tried again.
                if error.kind() != io::ErrorKind::Interrupted && self.failure.is_none() {
                    self.failure = Some(same(&error));
                }
                Err(error)
            }
        }
    }

    /// Ends a stretch. What was gathered is written when there is more, or at the end.
    fn flush(&mut self) -> io::Result<()> {
        self.end_stretch();
        Ok(())
    }
}

/// An error that says the same.
fn same(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests;

//! Part files being written, not yet part of the run.

use std::io::{self, Write};
use std::sync::Arc;

use crate::checksum::Crc32c;
use crate::column_checksums::Footer;
use crate::commit::FileEntry;
use crate::encode::Encoded;
use crate::id::Nonce;
use crate::part::PartPath;
use crate::place::RunPath;
use crate::store::{PartOutput, PartToPut, StagedBytes, StoreWriter};

/// Where a writer's part files are before they are published; cheap to clone, and may be written to by
/// several threads. What was not published goes with its last clone.
#[derive(Debug, Clone)]
pub struct Staging(Arc<dyn StoreWriter>);

impl Staging {
    pub(crate) fn of(writer: Arc<dyn StoreWriter>) -> Self {
        Self(writer)
    }

    /// The writer's name.
    pub fn nonce(&self) -> &Nonce {
        self.0.nonce()
    }

    /// Starts a part file.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn create_part(&self, path: PartPath) -> io::Result<PartWriter> {
        let output = self.0.create_part()?;
        Ok(PartWriter { output, path })
    }

    /// Stages a part file of bytes that were encoded elsewhere: nothing is known of its columns.
    ///
    /// # Errors
    /// If the store refuses.
    pub fn stage(&self, path: PartPath, bytes: &[u8], rows: u64) -> io::Result<StagedPart> {
        let mut writer = self.create_part(path)?;
        writer.write_all(bytes)?;
        writer.end(rows, bytes.len() as u64, Crc32c::of(bytes), None)
    }

    pub(crate) fn writer(&self) -> &dyn StoreWriter {
        &*self.0
    }
}

/// Writes one part file. Dropped before it was encoded and finished, it removes the file.
#[derive(Debug)]
pub struct PartWriter {
    output: Box<dyn PartOutput>,
    path: PartPath,
}

impl Encoded<PartWriter> {
    /// Ends the file, which now waits to be published.
    ///
    /// # Errors
    /// If the store refuses, as where it is to be synced by itself, and cannot be made durable.
    pub fn finish(self, rows: u64) -> io::Result<StagedPart> {
        self.output
            .end(rows, self.bytes, self.crc32c, Some(self.footer))
    }
}

impl PartWriter {
    fn end(
        self,
        rows: u64,
        bytes: u64,
        crc32c: Crc32c,
        footer: Option<Footer>,
    ) -> io::Result<StagedPart> {
        let staged = self.output.finish()?;
        Ok(StagedPart {
            staged,
            entry: FileEntry {
                table: self.path.table.into(),
                epoch: self.path.epoch,
                path: RunPath::from(&self.path),
                layer: self.path.layer,
                rows,
                bytes,
                footer_bytes: footer.map(|footer| footer.bytes),
                footer_crc32c: footer.map(|footer| footer.crc32c),
                column_crc32c: None,
                crc32c,
            },
        })
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// A part file that is written, but no part of the run yet, and perhaps not durable. Dropped, it is
/// removed.
#[derive(Debug)]
pub struct StagedPart {
    staged: Box<dyn StagedBytes>,
    entry: FileEntry,
}

impl StagedPart {
    /// What a commit record will say of the file.
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// What the store needs to put it.
    pub(crate) fn into_put(self) -> PartToPut {
        PartToPut {
            staged: self.staged,
            path: self.entry.path,
        }
    }
}

//! Committed part files, held against what was committed of them.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::PathBuf;

use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::errors::ParquetError;

use crate::catalog::CommittedFile;
use crate::caught::PanickedError;
use crate::checksum::Crc32c;
use crate::run::RunDir;

/// A file up to this size is read in one go and held against its checksum, whoever reads it.
pub const WHOLE_FILE_BYTES: u64 = 4 << 20;

/// What is read at once of a larger file for its checksum.
const READ_BYTES: usize = 1 << 20;

/// A part file, and what was committed of it.
#[derive(Debug, Clone)]
pub struct PartFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub num_bytes: u64,
    /// The checksum of all its bytes; none where the run has no commits.
    pub crc32c: Option<Crc32c>,
}

/// A file of the run that cannot be what was committed.
#[derive(Debug, thiserror::Error)]
#[error("{} {problem}; `sink verify` lists every bad file of the run", path.display())]
pub struct BadFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: FileProblem,
}

/// What is wrong with a file; told after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// There is no such file.
    #[error("is committed, but not there")]
    Missing,
    /// The file system does not give it.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// It has another size.
    #[error(
        "is {} than the {committed} bytes that were committed",
        if found < committed { "shorter" } else { "longer" }
    )]
    Size {
        /// Bytes that it has.
        found: u64,
        /// Bytes that were committed.
        committed: u64,
    },
    /// Its bytes are others.
    #[error("was damaged: its checksum is {found}, {committed} was committed")]
    Damaged {
        /// Its checksum.
        found: Crc32c,
        /// The checksum that was committed.
        committed: Crc32c,
    },
    /// It has no footer, or one that nobody understands.
    #[error("is no whole Parquet file ({0})")]
    NotParquet(ParquetError),
    /// Its rows are not what its footer says.
    #[error("cannot be decoded ({0})")]
    Undecodable(ArrowError),
    /// What decodes it does not bear it.
    #[error("cannot be decoded ({0})")]
    Panicked(PanickedError),
    /// Its columns are not the table's.
    #[error("has other columns ({0})")]
    OtherColumns(ArrowError),
    /// Its name does not say what it holds.
    #[error("is no part file's name")]
    NoPartName,
}

impl FileProblem {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Unreadable(error),
        }
    }
}

/// What a file holds.
pub(crate) enum Content {
    /// All of it, as it was committed.
    Whole(Bytes),
    /// A file that is read as it is asked for.
    Parts(File),
}

impl PartFile {
    /// A committed file of a run.
    pub fn committed(run: &RunDir, file: &CommittedFile<'_>) -> Self {
        Self {
            path: run.path().join(file.path),
            num_bytes: file.bytes,
            crc32c: Some(file.crc32c),
        }
    }

    /// The error for a file that cannot be what was committed.
    pub fn bad(&self, problem: FileProblem) -> BadFileError {
        BadFileError {
            path: self.path.clone(),
            problem,
        }
    }

    /// Opens the file once all of it was held against its size and checksum, a megabyte at a time.
    ///
    /// # Errors
    /// If it is not what was committed, or cannot be read.
    pub fn open_checked(&self) -> Result<File, BadFileError> {
        self.checked().map_err(|problem| self.bad(problem))
    }

    fn checked(&self) -> Result<File, FileProblem> {
        let mut file = File::open(&self.path).map_err(FileProblem::of)?;
        let found = file.metadata().map_err(FileProblem::of)?.len();
        if found != self.num_bytes {
            return Err(self.size(found));
        }
        if let Some(committed) = self.crc32c {
            compare(checksum(&mut file).map_err(FileProblem::of)?, committed)?;
            file.rewind().map_err(FileProblem::of)?;
        }
        Ok(file)
    }

    /// The bytes of a small file, which are those that were committed; a large one, opened. Where
    /// `all` is set, that is held against its checksum, too, and nothing may come after it.
    pub(crate) fn content(&self, all: bool) -> Result<Content, BadFileError> {
        let content = match self.num_bytes > WHOLE_FILE_BYTES {
            true if all => self.checked().map(Content::Parts),
            true => self.large().map(Content::Parts),
            false => self.small(all).map(Content::Whole),
        };
        content.map_err(|problem| self.bad(problem))
    }

    fn small(&self, all: bool) -> Result<Bytes, FileProblem> {
        let mut file = File::open(&self.path).map_err(FileProblem::of)?;
        let mut bytes = Vec::with_capacity(self.num_bytes as usize);
        let read = (&mut file).take(self.num_bytes).read_to_end(&mut bytes);
        read.map_err(FileProblem::of)?;
        let mut found = bytes.len() as u64;
        if all {
            found = file.metadata().map_err(FileProblem::of)?.len();
        }
        if found < self.num_bytes || (all && found > self.num_bytes) {
            return Err(self.size(found));
        }
        if let Some(committed) = self.crc32c {
            compare(Crc32c::of(&bytes), committed)?;
        }
        Ok(bytes.into())
    }

    fn large(&self) -> Result<File, FileProblem> {
        let file = File::open(&self.path).map_err(FileProblem::of)?;
        let found = file.metadata().map_err(FileProblem::of)?.len();
        match found < self.num_bytes {
            true => Err(self.size(found)),
            false => Ok(file),
        }
    }

    fn size(&self, found: u64) -> FileProblem {
        FileProblem::Size {
            found,
            committed: self.num_bytes,
        }
    }
}

fn compare(found: Crc32c, committed: Crc32c) -> Result<(), FileProblem> {
    match found == committed {
        true => Ok(()),
        false => Err(FileProblem::Damaged { found, committed }),
    }
}

fn checksum(file: &mut File) -> io::Result<Crc32c> {
    let mut buffer = vec![0; READ_BYTES];
    let mut crc32c = Crc32c::of(&[]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(crc32c),
            Ok(n) => crc32c = crc32c.append(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;

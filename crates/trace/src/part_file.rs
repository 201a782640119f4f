//! Committed part files, held against what was committed of them.

mod parts;
mod stretches;

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::errors::ParquetError;

pub use self::parts::CheckedParts;
pub(crate) use self::parts::Stretch;
pub(crate) use self::stretches::{chunk_ranges, stretches};
use crate::caught::{PanickedError, caught};
use crate::checksum::Crc32c;
use crate::column_checksums::{self, Footer};
use crate::footer::read_footer;
use crate::regular;
use crate::store::{Store, StoredPart};

/// The most that is held in memory of a file while it is read; more is held against its checksums
/// first, and then read as it is asked for.
pub const WHOLE_FILE_BYTES: u64 = 4 << 20;

/// Files up to this size are read in one go: looking for their columns would take longer.
pub const SMALL_FILE_BYTES: u64 = 64 << 10;

/// What is read at once of a larger stretch for its checksum.
const READ_BYTES: usize = 1 << 20;

/// A part file, and what was committed of it.
#[derive(Debug, Clone)]
pub struct PartFile {
    /// The store that it lies in.
    pub store: Arc<dyn Store>,
    /// Its path there, below the run.
    pub path: String,
    /// Its size in bytes.
    pub num_bytes: u64,
    /// The checksum of all its bytes; none where the run has no commits.
    pub crc32c: Option<Crc32c>,
    /// Its end, by which columns are checked without the rest; none where the commit does not say.
    pub footer: Option<Footer>,
    /// The checksums of its column chunks, where the commit has them, since the footer has none.
    pub columns: Option<Arc<[Crc32c]>>,
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
    /// It is a directory, a pipe, or something else that is no file.
    #[error("is no regular file")]
    NoFile,
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
    /// A stretch of its bytes is another.
    #[error("was damaged: the checksum of its {stretch} is {found}, {written} was written")]
    DamagedStretch {
        /// The footer, or which column.
        stretch: String,
        /// The stretch's checksum.
        found: Crc32c,
        /// The checksum that was written.
        written: Crc32c,
    },
    /// Its footer was committed with more bytes than the file has.
    #[error("has no footer of the {committed} bytes that were committed")]
    NoFooter {
        /// Bytes of the footer that were committed.
        committed: u64,
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
    /// It is what was committed, and a part of a layer of which another is not.
    #[error("is whole, and a part of a layer of which another file is not")]
    OfLayerInPart,
}

impl FileProblem {
    pub(crate) fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ if regular::is_irregular(&error) => Self::NoFile,
            _ => Self::Unreadable(error),
        }
    }
}

/// What a file holds.
pub(crate) enum Content {
    /// All of it, as it was committed.
    Whole(Bytes),
    /// A file all of which was.
    Checked(CheckedParts),
    /// A file of which the footer was, and every column can be.
    ByColumn(CheckedParts),
}

impl PartFile {
    /// The error for a file that cannot be what was committed.
    pub fn bad(&self, problem: FileProblem) -> BadFileError {
        BadFileError {
            path: self.location(),
            problem,
        }
    }

    /// Where it is, as messages say it.
    pub fn location(&self) -> PathBuf {
        self.store.path().join(&self.path)
    }

    fn open(&self) -> Result<Arc<dyn StoredPart>, FileProblem> {
        self.store.open_part(&self.path).map_err(FileProblem::of)
    }

    /// Opens the file once all of it was held against its size and checksum, a megabyte at a time.
    ///
    /// # Errors
    /// If it is not what was committed, or cannot be read.
    pub fn open_checked(&self) -> Result<CheckedParts, BadFileError> {
        self.checked().map_err(|problem| self.bad(problem))
    }

    /// As [`PartFile::open_checked`], once the footer and each column were held against their own
    /// checksums as well: readers go by these, and they may be wrong where that of the file is right.
    ///
    /// # Errors
    /// If the file is not what was committed or written, or cannot be read.
    pub fn open_whole(&self) -> Result<CheckedParts, BadFileError> {
        let opened = caught(|| {
            let file = self.checked()?;
            self.check_parts()?;
            Ok(file)
        });
        let opened = opened.unwrap_or_else(|error| Err(FileProblem::Panicked(error)));
        opened.map_err(|problem| self.bad(problem))
    }

    /// Holds the footer and every column chunk against their checksums, where there are any.
    fn check_parts(&self) -> Result<(), FileProblem> {
        let Some(footer) = self.footer else {
            return Ok(());
        };
        if footer.bytes > self.num_bytes {
            return Err(FileProblem::NoFooter {
                committed: footer.bytes,
            });
        }
        let mut parts = self.by_column(footer)?;
        let metadata = read_footer(&parts).map_err(FileProblem::NotParquet)?;
        let Some(checksums) = column_checksums::of_chunks(&metadata, self.columns.as_deref())
        else {
            // Another writer's, who left them out: readers check the file as a whole.
            return Ok(());
        };
        let num_columns = metadata.file_metadata().schema_descr().num_columns();
        let columns: Vec<usize> = (0..num_columns).collect();
        let stretches = stretches(&metadata, &columns, &checksums, self.num_bytes);
        parts.read(stretches.map_err(FileProblem::NotParquet)?)
    }

    pub(crate) fn checked(&self) -> Result<CheckedParts, FileProblem> {
        let mut parts = CheckedParts::new(self.open()?, self.num_bytes);
        let found = parts.found_bytes().map_err(FileProblem::of)?;
        if found != self.num_bytes {
            return Err(self.size(found));
        }
        if let Some(committed) = self.crc32c {
            compare(parts.checksum().map_err(FileProblem::of)?, committed)?;
        }
        parts.trust_all();
        Ok(parts)
    }

    /// What may be read of the file. All of it was held against its checksum, or its footer was, by
    /// which its columns are. Where `all` is set it is all of it, and nothing may come after it.
    pub(crate) fn content(&self, all: bool) -> Result<Content, BadFileError> {
        let is_small = self.num_bytes <= SMALL_FILE_BYTES;
        let content = if !all
            && !is_small
            && let Some(footer) = self.footer_in_memory()
        {
            self.by_column(footer).map(Content::ByColumn)
        } else if self.num_bytes <= WHOLE_FILE_BYTES {
            self.small(all).map(Content::Whole)
        } else {
            self.checked().map(Content::Checked)
        };
        content.map_err(|problem| self.bad(problem))
    }

    fn footer_in_memory(&self) -> Option<Footer> {
        self.footer
            .filter(|footer| footer.bytes <= self.num_bytes.min(WHOLE_FILE_BYTES))
    }

    fn by_column(&self, footer: Footer) -> Result<CheckedParts, FileProblem> {
        let mut parts = CheckedParts::new(self.open()?, self.num_bytes);
        parts.read(vec![Stretch {
            range: self.num_bytes - footer.bytes..self.num_bytes,
            crc32c: footer.crc32c,
            name: "footer".to_owned(),
        }])?;
        Ok(parts)
    }

    fn small(&self, all: bool) -> Result<Bytes, FileProblem> {
        let part = self.open()?;
        let bytes = part
            .read_range(0..self.num_bytes)
            .map_err(FileProblem::of)?;
        let mut found = bytes.len() as u64;
        if all {
            found = part.num_bytes().map_err(FileProblem::of)?;
        }
        if found < self.num_bytes || (all && found > self.num_bytes) {
            return Err(self.size(found));
        }
        if let Some(committed) = self.crc32c {
            compare(Crc32c::of(&bytes), committed)?;
        }
        Ok(bytes)
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

/// The checksum of some bytes of a file, a megabyte at a time.
pub(crate) fn checksum(file: &mut File, range: std::ops::Range<u64>) -> io::Result<Crc32c> {
    file.seek(io::SeekFrom::Start(range.start))?;
    checksum_of_rest(&mut file.take(range.end.saturating_sub(range.start)))
}

/// The checksum of what is left to be read, a megabyte at a time.
fn checksum_of_rest(input: &mut impl Read) -> io::Result<Crc32c> {
    let mut buffer = vec![0; READ_BYTES];
    let mut crc32c = Crc32c::of(&[]);
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(crc32c),
            Ok(n) => crc32c = crc32c.append(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;

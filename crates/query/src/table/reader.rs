//! Reads part files: committed, local, never changing.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use trace::Crc32c;

/// A file up to this size is read in one go and held against its checksum; of a larger one, only
/// what a query asks for is read.
pub const WHOLE_FILE_BYTES: u64 = 4 << 20;

/// How much of a larger file's end is read at first, in the hope that it is the whole footer.
const FOOTER_BYTES: u64 = 64 << 10;

/// A file of the run that cannot be what was committed.
#[derive(Debug, thiserror::Error)]
#[error("{} {problem}; `sink verify` lists every bad file of the run", path.display())]
pub struct BadFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, after the file's name.
    pub problem: String,
}

/// Opens a run's files.
///
/// Reads are plain blocking ones: the files are local and mostly small, and a hop to another
/// thread for each costs more than the read.
#[derive(Debug)]
pub(super) struct PartReaderFactory {
    root: PathBuf,
}

/// What the commit says of a file, carried along in its [`PartitionedFile`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Committed(pub(super) Crc32c);

impl PartReaderFactory {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }
}

impl ParquetFileReaderFactory for PartReaderFactory {
    fn create_reader(
        &self,
        _partition_index: usize,
        file: PartitionedFile,
        _metadata_size_hint: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        Ok(Box::new(PartReader {
            path: self.root.join(file.object_meta.location.as_ref()),
            num_bytes: file.object_meta.size,
            crc32c: file.extension::<Committed>().map(|committed| committed.0),
            content: None,
        }))
    }
}

struct PartReader {
    path: PathBuf,
    num_bytes: u64,
    crc32c: Option<Crc32c>,
    content: Option<Content>,
}

enum Content {
    Whole(Bytes),
    File(File),
}

impl PartReader {
    fn bad(&self, problem: String) -> ParquetError {
        ParquetError::External(Box::new(BadFileError {
            path: self.path.clone(),
            problem,
        }))
    }

    fn unreadable(&self, error: &io::Error) -> ParquetError {
        self.bad(match error.kind() {
            io::ErrorKind::NotFound => "is committed, but not there".to_owned(),
            io::ErrorKind::UnexpectedEof => {
                format!(
                    "is shorter than the {} bytes that were committed",
                    self.num_bytes
                )
            }
            _ => format!("cannot be read: {error}"),
        })
    }

    fn content(&mut self) -> ParquetResult<&mut Content> {
        if self.content.is_none() {
            self.content = Some(self.open()?);
        }
        Ok(self.content.as_mut().expect("opened above"))
    }

    fn open(&self) -> ParquetResult<Content> {
        let mut file = File::open(&self.path).map_err(|e| self.unreadable(&e))?;
        if self.num_bytes > WHOLE_FILE_BYTES {
            return Ok(Content::File(file));
        }
        let mut bytes = vec![0; self.num_bytes as usize];
        file.read_exact(&mut bytes)
            .map_err(|e| self.unreadable(&e))?;
        if let Some(committed) = self.crc32c {
            let found = Crc32c::of(&bytes);
            if found != committed {
                return Err(self.bad(format!(
                    "was damaged: its checksum is {found}, {committed} was committed"
                )));
            }
        }
        Ok(Content::Whole(bytes.into()))
    }

    fn read(&mut self, range: Range<u64>) -> ParquetResult<Bytes> {
        if range.end > self.num_bytes || range.start > range.end {
            return Err(self.bad(format!(
                "has {} bytes, but its footer speaks of bytes {} to {}",
                self.num_bytes, range.start, range.end
            )));
        }
        let read = match self.content()? {
            Content::Whole(bytes) => {
                return Ok(bytes.slice(range.start as usize..range.end as usize));
            }
            Content::File(file) => read_range(file, &range),
        };
        read.map_err(|e| self.unreadable(&e))
    }

    fn metadata(&mut self, options: Option<&ArrowReaderOptions>) -> ParquetResult<ParquetMetaData> {
        let mut reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
        let mut start = match self.content()? {
            Content::Whole(_) => 0,
            Content::File(_) => self.num_bytes.saturating_sub(FOOTER_BYTES),
        };
        loop {
            let tail = self.read(start..self.num_bytes)?;
            match reader.try_parse_sized(&tail, self.num_bytes) {
                Ok(()) => return reader.finish(),
                Err(ParquetError::NeedMoreData(needed))
                    if (tail.len()..self.num_bytes as usize).contains(&(needed - 1)) =>
                {
                    start = self.num_bytes - needed as u64;
                }
                Err(error) => return Err(self.bad(format!("is no whole Parquet file ({error})"))),
            }
        }
    }
}

fn read_range(file: &mut File, range: &Range<u64>) -> io::Result<Bytes> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.seek(SeekFrom::Start(range.start))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes.into())
}

impl AsyncFileReader for PartReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, ParquetResult<Bytes>> {
        std::future::ready(self.read(range)).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, ParquetResult<Arc<ParquetMetaData>>> {
        std::future::ready(self.metadata(options).map(Arc::new)).boxed()
    }
}

#[cfg(test)]
mod tests;

//! Files that queries spill to.
//!
//! DataFusion's own have a handle open from when they are made until they are read, and a query may have thousands of
//! them: more than a process may have open. These are open while they are written or read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::{Stream, stream};
use tempfile::{Builder, TempDir, TempPath};

/// The most that the queries of a session may have spilled at once, as DataFusion has it.
const MAX_SPILLED_BYTES: u64 = 100 << 30;

/// What is read of a file at a time.
const READ_BYTES: usize = 128 << 10;

/// Makes the files, in a directory of its own.
#[derive(Debug)]
pub(super) struct SpillFiles {
    /// Where the directory is made; in the system's own place where that is not said.
    parent: Option<PathBuf>,
    /// Made for the first file.
    dir: Mutex<Option<Arc<TempDir>>>,
    num_bytes: Arc<AtomicU64>,
}

impl SpillFiles {
    /// Files below `parent`, which is made now: where somebody has taken it away since, as a process that ends does, none
    /// is made.
    pub(super) fn try_new(parent: Option<PathBuf>) -> io::Result<Self> {
        if let Some(parent) = &parent {
            fs::create_dir_all(parent)?;
        }
        Ok(Self {
            parent,
            dir: Mutex::new(None),
            num_bytes: Arc::default(),
        })
    }

    fn dir(&self) -> io::Result<Arc<TempDir>> {
        let mut dir = self.dir.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dir) = &*dir {
            return Ok(Arc::clone(dir));
        }
        let mut builder = Builder::new();
        let builder = builder.prefix("datafusion-");
        let made = Arc::new(match &self.parent {
            None => builder.tempdir()?,
            Some(parent) => builder.tempdir_in(parent)?,
        });
        *dir = Some(Arc::clone(&made));
        Ok(made)
    }
}

impl TempFileFactory for SpillFiles {
    fn create_temp_file(&self, _description: &str) -> Result<Arc<dyn SpillFile>> {
        let dir = self.dir()?;
        let path = Builder::new().tempfile_in(dir.path())?.into_temp_path();
        Ok(Arc::new(Spilled {
            path,
            _dir: dir,
            num_bytes: Arc::default(),
            of_all: Arc::clone(&self.num_bytes),
        }))
    }
}

/// A file, which is removed with this.
#[derive(Debug)]
struct Spilled {
    path: TempPath,
    /// Removed behind its last file.
    _dir: Arc<TempDir>,
    num_bytes: Arc<AtomicU64>,
    /// Of all files there are.
    of_all: Arc<AtomicU64>,
}

impl Drop for Spilled {
    fn drop(&mut self) {
        let num_bytes = self.num_bytes.load(Ordering::Relaxed);
        self.of_all.fetch_sub(num_bytes, Ordering::Relaxed);
    }
}

impl SpillFile for Spilled {
    fn path(&self) -> Option<&Path> {
        Some(&self.path)
    }

    fn size(&self) -> Option<u64> {
        Some(self.num_bytes.load(Ordering::Relaxed))
    }

    /// Reads are plain blocking ones, as those of part files are.
    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let file = File::open(&self.path)?;
        let next = |mut file: File| async move {
            let mut bytes = Vec::with_capacity(READ_BYTES);
            let most = READ_BYTES as u64;
            Read::by_ref(&mut file).take(most).read_to_end(&mut bytes)?;
            Ok((!bytes.is_empty()).then(|| (Bytes::from(bytes), file)))
        };
        Ok(Box::pin(stream::try_unfold(file, next)))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        let file = File::options().append(true).open(&self.path)?;
        Ok(Box::new(Writer {
            file,
            num_bytes: Arc::clone(&self.num_bytes),
            of_all: Arc::clone(&self.of_all),
        }))
    }
}

struct Writer {
    file: File,
    num_bytes: Arc<AtomicU64>,
    of_all: Arc<AtomicU64>,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let num_bytes = bytes.len() as u64;
        let there_were = self.of_all.fetch_add(num_bytes, Ordering::Relaxed);
        if there_were.saturating_add(num_bytes) > MAX_SPILLED_BYTES {
            self.of_all.fetch_sub(num_bytes, Ordering::Relaxed);
            let spilled = MAX_SPILLED_BYTES >> 30;
            let error = format!("more than {spilled} GiB would be spilled to disk at once");
            return Err(io::Error::other(resources_datafusion_err!("{error}")));
        }
        let written = self.file.write(bytes);
        let num_written = *written.as_ref().unwrap_or(&0) as u64;
        self.of_all
            .fetch_sub(num_bytes - num_written, Ordering::Relaxed);
        self.num_bytes.fetch_add(num_written, Ordering::Relaxed);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        // All of it was handed to the system.
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn a_file_is_read_as_it_was_written_and_goes_with_whoever_has_it() {
        let parent = tempfile::tempdir().unwrap();
        let files = SpillFiles::try_new(Some(parent.path().join("here"))).unwrap();
        let file = files.create_temp_file("a test").unwrap();
        let mut writer = file.open_writer().unwrap();
        let bytes: Vec<u8> = (0..3 * READ_BYTES / 2).map(|n| (n % 251) as u8).collect();
        writer.write_all(&bytes[..1000]).unwrap();
        let first: Vec<Bytes> = file.read_stream().unwrap().try_collect().await.unwrap();
        assert_eq!(first.concat(), bytes[..1000]);
        // Others may read while there is more to come.
        writer.write_all(&bytes[1000..]).unwrap();
        writer.finish().unwrap();
        let all: Vec<Bytes> = file.read_stream().unwrap().try_collect().await.unwrap();
        assert_eq!((all.len(), all.concat()), (2, bytes.clone()));
        let num_bytes = bytes.len() as u64;
        assert_eq!(file.size(), Some(num_bytes));
        assert_eq!(files.num_bytes.load(Ordering::Relaxed), num_bytes);

        let path = file.path().unwrap().to_owned();
        assert!(path.starts_with(parent.path()));
        drop((writer, file));
        assert!(!path.exists());
        assert_eq!(files.num_bytes.load(Ordering::Relaxed), 0);
        drop(files);
        assert_eq!(fs::read_dir(parent.path().join("here")).unwrap().count(), 0);
    }

    #[test]
    fn in_a_place_that_was_taken_away_no_file_is_made() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("here");
        let files = SpillFiles::try_new(Some(place.clone())).unwrap();
        fs::rename(&place, parent.path().join("removed")).unwrap();
        assert!(files.create_temp_file("a test").is_err());
        assert!(!place.exists());
    }

    #[test]
    fn there_is_a_bound_to_what_is_spilled() {
        let files = SpillFiles::try_new(None).unwrap();
        files
            .num_bytes
            .store(MAX_SPILLED_BYTES - 1, Ordering::Relaxed);
        let file = files.create_temp_file("a test").unwrap();
        let mut writer = file.open_writer().unwrap();
        writer.write_all(b"x").unwrap();
        let error = writer.write_all(b"x").unwrap_err().to_string();
        assert!(error.contains("100 GiB would be spilled"), "{error}");
    }
}

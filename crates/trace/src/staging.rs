//! Files being written: in a directory of the writer's own, not yet part of the run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::commit::{Crc32c, FileEntry};
use crate::durable;
use crate::fault;
use crate::id::Nonce;
use crate::part::PartPath;
use crate::run::RunDir;

/// A writer's own directory below `.staging/`; cheap to clone, removed with its last clone.
#[derive(Debug, Clone)]
pub struct Staging(Arc<StagingDir>);

#[derive(Debug)]
struct StagingDir {
    dir: PathBuf,
    nonce: Nonce,
    next: AtomicU64,
}

impl Staging {
    /// Makes a staging directory in the run.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn create(run: &RunDir) -> io::Result<Self> {
        let nonce = Nonce::draw()?;
        let dir = run.staging_dir().join(nonce.as_str());
        fs::create_dir_all(&dir)?;
        Ok(Self(Arc::new(StagingDir {
            dir,
            nonce,
            next: AtomicU64::new(0),
        })))
    }

    /// The writer's name.
    pub fn nonce(&self) -> &Nonce {
        &self.0.nonce
    }

    /// Starts a part file.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn create_part(&self, path: PartPath) -> io::Result<PartWriter> {
        let staged = self.next_path();
        fault::check("create file", &staged)?;
        let file = File::create_new(&staged)?;
        Ok(PartWriter {
            file,
            staged: Some(StagedPath(staged)),
            path,
            bytes: 0,
            crc32c: Crc32c::of(&[]),
        })
    }

    /// A name in the directory that was not used before.
    pub(crate) fn next_path(&self) -> PathBuf {
        let n = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.dir.join(n.to_string())
    }
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        // Others may stage beside us: the directory above goes only if it is empty.
        let _ = fs::remove_dir_all(&self.dir);
        if let Some(parent) = self.dir.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
}

/// A staged file; it is removed with this value unless it was moved into place.
#[derive(Debug)]
struct StagedPath(PathBuf);

impl Drop for StagedPath {
    fn drop(&mut self) {
        durable::remove_if_there(&self.0);
    }
}

/// Writes one part file, counting its bytes and their checksum. Dropped before
/// [`PartWriter::finish`], it removes the file.
#[derive(Debug)]
pub struct PartWriter {
    file: File,
    staged: Option<StagedPath>,
    path: PartPath,
    bytes: u64,
    crc32c: Crc32c,
}

impl PartWriter {
    /// Ends the file, which now waits in the staging directory to be published.
    pub fn finish(mut self, rows: u64) -> StagedPart {
        StagedPart {
            staged: self.staged.take().expect("taken here alone"),
            entry: FileEntry {
                table: self.path.table.name().to_owned(),
                epoch: self.path.epoch,
                path: self.path.to_string(),
                layer: self.path.layer.take(),
                rows,
                bytes: self.bytes,
                crc32c: self.crc32c,
            },
        }
    }
}

impl Write for PartWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(StagedPath(path)) = &self.staged {
            fault::check("write file", path)?;
        }
        let n = self.file.write(bytes)?;
        self.bytes += n as u64;
        self.crc32c = self.crc32c.append(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A part file that is written, but neither durable nor part of the run. Dropped, it is removed.
#[derive(Debug)]
pub struct StagedPart {
    staged: StagedPath,
    entry: FileEntry,
}

impl StagedPart {
    /// What a commit record will say of the file.
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Where it lies now.
    pub(crate) fn staged_path(&self) -> &Path {
        &self.staged.0
    }
}

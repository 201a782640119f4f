//! Files being written: in a directory of the writer's own, not yet part of the run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::checksum::Crc32c;
use crate::column_checksums::Footer;
use crate::commit::FileEntry;
use crate::disk::{Disk, DiskFile, Subject, retried};
use crate::durable::{self, SyncByFile};
use crate::encode::Encoded;
use crate::id::Nonce;
use crate::part::PartPath;
use crate::place::RunPath;
use crate::run::RunDir;

/// A writer's own directory below `.staging/`; cheap to clone, removed with its last clone.
///
/// As long as the writer lives it holds an exclusive lock on the directory, so that what a dead one
/// left can be told and removed, see [`Publisher::clear_leftovers`](crate::Publisher::clear_leftovers).
#[derive(Debug, Clone)]
pub struct Staging(Arc<StagingDir>);

#[derive(Debug)]
struct StagingDir {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    nonce: Nonce,
    next: AtomicU64,
    by_file: SyncByFile,
    /// The directory, locked; none where the file system has no such locks.
    _lock: Option<File>,
}

/// How often a directory is made that somebody takes for abandoned before it is locked.
const MAX_ATTEMPTS: usize = 100;

impl Staging {
    /// Makes a staging directory in the run; `by_file` says who syncs what is written there.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(crate) fn create(run: &RunDir, by_file: &SyncByFile) -> io::Result<Self> {
        let mut taken = io::Error::other("it was removed again and again");
        for _ in 0..MAX_ATTEMPTS {
            let nonce = Nonce::draw()?;
            let dir = run.staging_dir().join(nonce.as_str());
            match make_dir(&**run.disk(), &dir) {
                // Another writer ended between the two, and removed the directory above.
                Err(error) if error.kind() == io::ErrorKind::NotFound && run.path().is_dir() => {
                    taken = error;
                    continue;
                }
                made => made?,
            }
            match lock_dir(&dir) {
                // Somebody cleared it away between the two lines above.
                Err(error) => taken = error,
                Ok(_) if !dir.exists() => {}
                Ok(lock) => {
                    return Ok(Self(Arc::new(StagingDir {
                        disk: Arc::clone(run.disk()),
                        dir,
                        nonce,
                        next: AtomicU64::new(0),
                        by_file: by_file.clone(),
                        _lock: lock,
                    })));
                }
            }
        }
        Err(taken)
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
        let disk = &self.0.disk;
        let file = retried(|| disk.create_file(Subject::StagedPart, &staged))?;
        Ok(PartWriter {
            file,
            staged: StagedPath {
                disk: Arc::clone(disk),
                path: staged,
            },
            by_file: self.0.by_file.clone(),
            path,
        })
    }

    /// Stages a part file of bytes that were encoded elsewhere: nothing is known of its columns.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn stage(&self, path: PartPath, bytes: &[u8], rows: u64) -> io::Result<StagedPart> {
        let mut writer = self.create_part(path)?;
        writer.write_all(bytes)?;
        writer.end(rows, bytes.len() as u64, Crc32c::of(bytes), None)
    }

    /// A name in the directory that was not used before.
    pub(crate) fn next_path(&self) -> PathBuf {
        let n = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.dir.join(n.to_string())
    }
}

/// Makes a staging directory, and the one above it where it is the first.
fn make_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    let above = dir
        .parent()
        .expect("it lies in the run's staging directory");
    if !above.is_dir() {
        match disk.create_dir(Subject::Staging, above) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    disk.create_dir(Subject::Staging, dir)
}

/// Locks a staging directory; `None` where the file system cannot.
///
/// # Errors
/// If it is gone, or another process has the lock.
fn lock_dir(dir: &Path) -> io::Result<Option<File>> {
    let file = match File::open(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
        Err(_) => return Ok(None),
        Ok(file) => file,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(fs::TryLockError::Error(_)) => Ok(None),
    }
}

/// Removes the staging directories whose writers are no more. Nothing is removed where a link leads to.
pub(crate) fn remove_abandoned(run: &RunDir) {
    let (disk, staging) = (&**run.disk(), run.staging_dir());
    if staging.is_symlink() {
        tracing::warn!(path = %staging.display(), "left as it is: it is a link");
        return;
    }
    let Ok(entries) = retried(|| disk.list(Subject::Staging, &staging)) else {
        return;
    };
    for entry in entries.into_iter().filter(|entry| entry.is_dir) {
        let dir = staging.join(entry.name);
        if let Ok(Some(_lock)) = lock_dir(&dir)
            && let Err(error) = durable::remove_dir_all(disk, Subject::Staging, &dir)
        {
            tracing::debug!(path = %dir.display(), %error, "could not remove what a dead writer left");
        }
    }
    // Others may stage beside them: it goes only if it is empty.
    let _ = disk.remove_dir(Subject::Staging, &staging);
}

impl Drop for StagingDir {
    fn drop(&mut self) {
        // Others may stage beside us: the directory above goes only if it is empty.
        let _ = durable::remove_dir_all(&*self.disk, Subject::Staging, &self.dir);
        if let Some(parent) = self.dir.parent() {
            let _ = self.disk.remove_dir(Subject::Staging, parent);
        }
    }
}

/// A staged file; it is removed with this value unless it was moved into place.
#[derive(Debug)]
struct StagedPath {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Drop for StagedPath {
    fn drop(&mut self) {
        durable::remove_if_there(&*self.disk, Subject::StagedPart, &self.path);
    }
}

/// Writes one part file. Dropped before it was encoded and finished, it removes the file.
#[derive(Debug)]
pub struct PartWriter {
    file: Box<dyn DiskFile>,
    staged: StagedPath,
    by_file: SyncByFile,
    path: PartPath,
}

impl Encoded<PartWriter> {
    /// Ends the file, which now waits in the staging directory to be published.
    ///
    /// # Errors
    /// If it is to be synced by itself, and cannot be made durable.
    pub fn finish(self, rows: u64) -> io::Result<StagedPart> {
        self.output
            .end(rows, self.bytes, self.crc32c, Some(self.footer))
    }
}

impl PartWriter {
    /// Ends the file. Where each is synced by itself, it is synced here, by the descriptor and the
    /// thread that wrote it.
    fn end(
        mut self,
        rows: u64,
        bytes: u64,
        crc32c: Crc32c,
        footer: Option<Footer>,
    ) -> io::Result<StagedPart> {
        let is_synced = self.by_file.sync(&mut *self.file)?;
        Ok(StagedPart {
            staged: self.staged,
            is_synced,
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
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A part file that is written, but no part of the run yet, and perhaps not durable. Dropped, it is
/// removed.
#[derive(Debug)]
pub struct StagedPart {
    staged: StagedPath,
    is_synced: bool,
    entry: FileEntry,
}

impl StagedPart {
    /// What a commit record will say of the file.
    pub fn entry(&self) -> &FileEntry {
        &self.entry
    }

    /// Whether its bytes are durable already.
    pub(crate) fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Where it lies now.
    pub(crate) fn staged_path(&self) -> &Path {
        &self.staged.path
    }
}

//! Files being written: in a directory of the writer's own, not yet part of the run.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{PartOutput, StagedBytes};
use crate::disk::{Disk, DiskFile, Subject, retried};
use crate::durable::{self, SyncByFile};
use crate::id::Nonce;
use crate::place::STAGING_DIR;

/// A writer's own directory below `.staging/`, removed with this value.
///
/// As long as the writer lives it holds an exclusive lock on the directory, so that what a dead one
/// left can be told and removed.
#[derive(Debug)]
pub(super) struct StagingDir {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    nonce: Nonce,
    next: AtomicU64,
    /// The directory, locked; none where the file system has no such locks.
    _lock: Option<File>,
}

/// How often a directory is made that somebody takes for abandoned before it is locked.
const MAX_ATTEMPTS: usize = 100;

/// The directory of all staging directories of a run.
pub(super) fn above(run: &Path) -> PathBuf {
    run.join(STAGING_DIR)
}

impl StagingDir {
    /// Makes a staging directory in the run.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(super) fn create(disk: &Arc<dyn Disk>, run: &Path) -> io::Result<Self> {
        let mut taken = io::Error::other("it was removed again and again");
        for _ in 0..MAX_ATTEMPTS {
            let nonce = Nonce::draw()?;
            let dir = above(run).join(nonce.as_str());
            match make_dir(&**disk, &dir) {
                // Another writer ended between the two, and removed the directory above.
                Err(error) if error.kind() == io::ErrorKind::NotFound && run.is_dir() => {
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
                    return Ok(Self {
                        disk: Arc::clone(disk),
                        dir,
                        nonce,
                        next: AtomicU64::new(0),
                        _lock: lock,
                    });
                }
            }
        }
        Err(taken)
    }

    /// The writer's name.
    pub(super) fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// Starts a part file; `by_file` says who syncs it.
    ///
    /// # Errors
    /// If the file system refuses.
    pub(super) fn create_part(
        &self,
        disk: &Arc<dyn Disk>,
        by_file: &SyncByFile,
    ) -> io::Result<LocalOutput> {
        let path = self.next_path();
        let file = retried(|| disk.create_file(Subject::StagedPart, &path))?;
        Ok(LocalOutput {
            file,
            staged: StagedPath {
                disk: Arc::clone(disk),
                path,
                was_moved: false,
            },
            by_file: by_file.clone(),
        })
    }

    /// A name in the directory that was not used before.
    pub(super) fn next_path(&self) -> PathBuf {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        self.dir.join(n.to_string())
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
pub(super) fn remove_abandoned(disk: &dyn Disk, run: &Path) {
    let staging = above(run);
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
    was_moved: bool,
}

impl Drop for StagedPath {
    fn drop(&mut self) {
        if !self.was_moved {
            durable::remove_if_there(&*self.disk, Subject::StagedPart, &self.path);
        }
    }
}

/// Writes one part file. Dropped before it is finished, it removes the file.
#[derive(Debug)]
pub(super) struct LocalOutput {
    file: Box<dyn DiskFile>,
    staged: StagedPath,
    by_file: SyncByFile,
}

impl PartOutput for LocalOutput {
    /// Where each file is synced by itself, it is synced here, by the descriptor and the thread that wrote
    /// it.
    fn finish(mut self: Box<Self>) -> io::Result<Box<dyn StagedBytes>> {
        let is_synced = self.by_file.sync(&mut *self.file)?;
        let staged = self.staged;
        Ok(Box::new(StagedFile { staged, is_synced }))
    }
}

impl Write for LocalOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A part file that is written, but no part of the run yet, and perhaps not durable.
#[derive(Debug)]
pub(super) struct StagedFile {
    staged: StagedPath,
    is_synced: bool,
}

impl StagedBytes for StagedFile {}

impl StagedFile {
    /// Whether its bytes are durable already.
    pub(super) fn is_synced(&self) -> bool {
        self.is_synced
    }

    /// Where it lies now.
    pub(super) fn path(&self) -> &Path {
        &self.staged.path
    }

    /// Says that it was moved into place: nothing is left to remove. One whose move failed may lie where it was.
    pub(super) fn was_moved(&mut self) {
        self.staged.was_moved = true;
    }
}

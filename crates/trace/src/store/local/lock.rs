//! The locks that a recorder holds: on the file of its rank, and on the run's directory where it has one rank.
//!
//! A lock is an inode's, and somebody may put another file in the place of `run.json`, by copying it back for one:
//! the next recorder would lock that. The directory stays the one that it was.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

use super::super::StoreError;
use crate::id::Rank;
use crate::place::RUN_FILE;

/// How often a file is opened anew that somebody puts another one in the place of.
const MAX_REPLACED: usize = 16;

/// Takes the locks of a recorder of the run at `root`; none if another process has one. `rank` is none in a run
/// of one rank.
///
/// # Errors
/// If the file system refuses.
pub(super) fn lock_rank(root: &Path, rank: Option<Rank>) -> Result<Option<Vec<File>>, StoreError> {
    let path = match rank {
        None => root.join(RUN_FILE),
        Some(rank) => root.join(format!(".rank-{rank}.lock")),
    };
    let failed = |error| StoreError::of("lock", &path)(error);
    for _ in 0..MAX_REPLACED {
        let file = open(&path, rank.is_some()).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        if !is_at(&file, &path).map_err(failed)? {
            continue;
        }
        let mut locks = vec![file];
        // Ranks share the directory.
        if rank.is_none() {
            match lock_directory(root) {
                DirectoryLock::Taken(lock) => locks.push(lock),
                DirectoryLock::Impossible => {}
                DirectoryLock::Held => return Ok(None),
            }
        }
        return Ok(Some(locks));
    }
    let error = io::Error::other("another file was put in its place again and again");
    Err(failed(error))
}

fn open(path: &Path, is_made: bool) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true);
    if is_made {
        return options.create(true).truncate(false).open(path);
    }
    // Some file systems, as NFS, lock for one alone only what is open for writing.
    match options.open(path) {
        Err(error) if is_read_only(&error) => File::open(path),
        file => file,
    }
}

/// Whether a path is that of an open file still.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// What came of locking the run's directory.
enum DirectoryLock {
    Taken(File),
    /// Another process has the lock.
    Held,
    /// The file system locks no directories.
    Impossible,
}

fn lock_directory(root: &Path) -> DirectoryLock {
    let Ok(directory) = File::open(root) else {
        return DirectoryLock::Impossible;
    };
    match directory.try_lock() {
        Ok(()) => DirectoryLock::Taken(directory),
        Err(TryLockError::WouldBlock) => DirectoryLock::Held,
        Err(TryLockError::Error(_)) => DirectoryLock::Impossible,
    }
}

/// Whether a file may be read, and not written.
fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

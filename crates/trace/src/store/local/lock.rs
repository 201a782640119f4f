//! The locks that a recorder holds: on the file of its rank, on the run's directory, and on `run.json`. The latter two
//! are held alone where the run has one rank, and shared with the other ranks elsewhere: who repairs a run takes them
//! alone, and no rank begins meanwhile, whether it has recorded before or not.
//!
//! A lock is an inode's, and somebody may put another file in the place of `run.json`, by copying it back for one:
//! the next recorder would lock that. The directory stays the one that it was.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

use super::super::StoreError;
use crate::id::Rank;
use crate::lock_file::{self, MAX_REPLACED, is_at};
use crate::place::RUN_FILE;

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
        let beside = match rank {
            None => [Beside::lock(root, File::try_lock), Beside::Impossible],
            Some(_) => [
                Beside::lock(root, File::try_lock_shared),
                Beside::lock(&root.join(RUN_FILE), File::try_lock_shared),
            ],
        };
        let mut locks = vec![file];
        for lock in beside {
            match lock {
                Beside::Taken(lock) => locks.push(lock),
                Beside::Impossible => {}
                Beside::Held => return Ok(None),
            }
        }
        return Ok(Some(locks));
    }
    let error = io::Error::other("another file was put in its place again and again");
    Err(failed(error))
}

fn open(path: &Path, is_made: bool) -> io::Result<File> {
    if is_made {
        return lock_file::open(path);
    }
    // Some file systems, as NFS, lock for one alone only what is open for writing.
    match File::options().read(true).write(true).open(path) {
        Err(error) if is_read_only(&error) => File::open(path),
        file => file,
    }
}

/// What came of locking the run's directory, or `run.json` beside a rank's own file.
enum Beside {
    Taken(File),
    /// Another process has the lock.
    Held,
    /// The file system has no such locks: some lock no directories.
    Impossible,
}

impl Beside {
    fn lock(path: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Self {
        let Ok(file) = File::open(path) else {
            return Self::Impossible;
        };
        match lock(&file) {
            Ok(()) => Self::Taken(file),
            Err(TryLockError::WouldBlock) => Self::Held,
            Err(TryLockError::Error(_)) => Self::Impossible,
        }
    }
}

/// Whether a file may be read, and not written.
fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

//! The locks of everybody who writes to a run.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::RepairError;
use crate::holders::Holders;
use crate::lock_file;
use crate::place::{COMMITS_DIR, RUN_FILE, STAGING_DIR};
use crate::regular;
use crate::table::Table;

/// The most locks that are held, of those that nobody takes anew: the others are looked at, and given up again. A process
/// may have 1024 files.
pub(super) const MAX_HELD: usize = 256;

/// Locks of a run, given up when dropped and when the process dies.
#[derive(Debug, Default)]
pub(crate) struct Locks {
    held: Vec<File>,
    /// Files that were made to be locked, and go with the locks.
    made: Vec<PathBuf>,
}

impl Locks {
    /// Holds one more.
    pub(super) fn add(&mut self, file: File) {
        self.held.push(file);
    }

    #[cfg(test)]
    pub(super) fn num_held(&self) -> usize {
        self.held.len()
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        for path in &self.made {
            if let Err(error) = fs::remove_file(path) {
                tracing::debug!(path = %path.display(), %error, "could not remove a file");
            }
        }
    }
}

/// Takes the locks of all who may write: of the run, which no rank begins to record meanwhile, of all derived tables,
/// and of the ranks and staging directories that there are. A lock that would have to be created is left out where
/// nothing may be changed.
///
/// # Errors
/// If somebody holds one, or the file system refuses.
pub(crate) fn lock_all(root: &Path, dry_run: bool) -> Result<Locks, RepairError> {
    let mut locks = Locks::default();
    // Nothing is made where there is no run.
    let is_run = [RUN_FILE, COMMITS_DIR]
        .into_iter()
        .chain(Table::ALL.map(Table::name))
        .any(|name| root.join(name).exists());
    // Who records holds the run's directory, and its own, even where run.json is another file by now.
    lock_existing(root, &mut locks)?;
    lock_existing(&root.join(RUN_FILE), &mut locks)?;
    for table in Table::ALL.into_iter().filter(|table| table.is_derived()) {
        let path = root.join(format!(".{table}.lock"));
        let io_error = || RepairError::io("lock", &path);
        let mut file = lock_file::open_existing(&path).map_err(io_error())?;
        let mut is_made = false;
        if file.is_none() && is_run && !dry_run {
            file = lock_file::make(&path).map_err(io_error())?;
            is_made = file.is_some();
            if file.is_none() {
                // Somebody else has made it meanwhile.
                file = lock_file::open_existing(&path).map_err(io_error())?;
            }
        }
        if let Some(file) = file {
            lock(file, &path, &mut locks)?;
            // One that somebody else has locked meanwhile stays.
            if is_made {
                locks.made.push(path);
            }
        }
    }
    // Earlier versions lock nothing but the files of their ranks.
    for path in lock_files_of_ranks(root)? {
        let file = lock_file::open_existing(&path).map_err(RepairError::io("lock", &path))?;
        if let Some(file) = file {
            lock(file, &path, &mut locks)?;
            give_up_some(&mut locks);
        }
    }
    for dir in entries(&root.join(STAGING_DIR))? {
        lock_existing(&dir, &mut locks)?;
        give_up_some(&mut locks);
    }
    Ok(locks)
}

/// Gives up the lock that was taken last, where there are many.
fn give_up_some(locks: &mut Locks) {
    locks.held.truncate(MAX_HELD);
}

/// The files that ranks have locked.
fn lock_files_of_ranks(root: &Path) -> Result<Vec<PathBuf>, RepairError> {
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let is_of_rank = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(".rank-") && name.ends_with(".lock"))
    };
    let mut paths = entries(root)?;
    paths.retain(is_of_rank);
    paths.sort_unstable();
    Ok(paths)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, RepairError> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(RepairError::io("list", dir)(error)),
        Ok(entries) => entries
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<_>>()
            .map_err(RepairError::io("list", dir)),
    }
}

/// Locks a file or directory, if it is there.
pub(super) fn lock_existing(path: &Path, locks: &mut Locks) -> Result<(), RepairError> {
    // Some file systems lock for one alone only what is open for writing.
    let opened = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => regular::open(path),
        opened => opened,
    };
    lock(opened.map_err(RepairError::io("lock", path))?, path, locks)
}

fn lock(file: File, path: &Path, locks: &mut Locks) -> Result<(), RepairError> {
    match file.try_lock() {
        Ok(()) => {
            locks.add(file);
            Ok(())
        }
        Err(TryLockError::WouldBlock) => Err(RepairError::Held {
            path: path.to_owned(),
            holders: Holders::of(path),
        }),
        // Some file systems lock no directories: staging does without as well.
        Err(TryLockError::Error(_)) if path.is_dir() => Ok(()),
        Err(TryLockError::Error(error)) => Err(RepairError::io("lock", path)(error)),
    }
}

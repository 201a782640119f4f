//! The locks of everybody who writes to a run.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::RepairError;
use crate::place::{COMMITS_DIR, RUN_FILE, STAGING_DIR};
use crate::regular;
use crate::run::RunDir;
use crate::table::Table;

/// Locks of a run, given up when dropped and when the process dies.
#[derive(Debug, Default)]
pub(crate) struct Locks(Vec<File>);

impl Locks {
    /// Holds one more.
    pub(super) fn add(&mut self, file: File) {
        self.0.push(file);
    }
}

/// Takes the locks of all ranks, of all derived tables, and of all staging directories. A lock that would
/// have to be created is left out where nothing may be changed.
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
    for dir in entries(&root.join(STAGING_DIR))? {
        lock_existing(&dir, &mut locks)?;
    }
    let run_file = root.join(RUN_FILE);
    lock_existing(&run_file, &mut locks)?;
    for path in lock_files(root)? {
        if dry_run || !is_run {
            lock_existing(&path, &mut locks)?;
            continue;
        }
        let mut options = File::options();
        // Read as well: a pipe that is only written waits for a reader.
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path);
        lock(
            file.map_err(RepairError::io("lock", &path))?,
            &path,
            &mut locks,
        )?;
    }
    Ok(locks)
}

/// The files that are there for nothing but to be locked, or will be.
fn lock_files(root: &Path) -> Result<Vec<PathBuf>, RepairError> {
    if !root.is_dir() {
        return Ok(Vec::new());
    }
    let name_of = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    let is_rank = |name: &str| name.starts_with(".rank-") && name.ends_with(".lock");
    let mut names: Vec<String> = entries(root)?
        .iter()
        .filter_map(|path| name_of(path))
        .collect();
    names.retain(|name| is_rank(name));
    // Of a run.json that cannot be read the ranks are those that have recorded.
    let world_size = RunDir::open(root).map_or(1, |run| run.info().world_size);
    if world_size > 1 {
        names.extend((0..world_size).map(|rank| format!(".rank-{rank}.lock")));
    }
    let derived = Table::ALL.into_iter().filter(|table| table.is_derived());
    names.extend(derived.map(|table| format!(".{table}.lock")));
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(|name| root.join(name)).collect())
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
        }),
        // Some file systems lock no directories: staging does without as well.
        Err(TryLockError::Error(_)) if path.is_dir() => Ok(()),
        Err(TryLockError::Error(error)) => Err(RepairError::io("lock", path)(error)),
    }
}

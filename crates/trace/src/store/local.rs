//! A run in a directory of a disk: durable by syncs, at once by renames and links.

mod create;
mod group;
mod lock;
mod retire;
mod staging;

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{
    BeginError, Creation, NewRunError, PartOutput, PartToPut, Store, StoreError, StoreLock,
    StoreWriter, StoredGroup, StoredPart, Vacancy,
};
use crate::disk::{Disk, LocalDisk, Subject, retried};
use crate::durable::{self, Durability};
use crate::id::{Nonce, Rank};
use crate::lock_file::{self, MAX_REPLACED};
use crate::place::{COMMITS_DIR, RUN_FILE};
use crate::regular;
use crate::table::Table;
use crate::walk::ListFilesError;

use staging::StagingDir;

/// A run's directory.
///
/// What changes the run goes through the disk, as does what is read of `run.json` and the log. Part files,
/// of which a run has most, are read through the file system itself; locks are a process's.
#[derive(Debug, Clone)]
pub struct LocalStore {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    log: PathBuf,
}

impl LocalStore {
    /// A directory of this machine, whether it is there or not.
    pub fn new(path: &Path) -> Self {
        Self::on(Arc::new(LocalDisk), path)
    }

    /// A directory of a disk of one's own.
    pub fn on(disk: Arc<dyn Disk>, path: &Path) -> Self {
        Self {
            disk,
            path: path.to_owned(),
            log: path.join(COMMITS_DIR),
        }
    }

    /// Whether the directory is there, and empty but for what an interrupted creation left.
    pub(crate) fn is_unborn(&self) -> bool {
        create::is_unborn(&*self.disk, &self.path)
    }

    /// As [`Store::begin`].
    pub(crate) fn begin_writing(&self) -> Result<LocalWriter, BeginError> {
        // Opened before anything is written, so that it reports every error from here on.
        let durability = Durability::for_directory(Arc::clone(&self.disk), &self.path);
        self.ensure_log()?;
        if durability.by_file().is_on() {
            // Who created the run may have been killed before the names in it were durable. Elsewhere they are with
            // the first barrier.
            durable::sync_directory(&*self.disk, Subject::RunFile, &self.path).map_err(
                StoreError::of("make durable what was written to", &self.path),
            )?;
        }
        let above = staging::above(&self.path);
        let staging = StagingDir::create(&self.disk, &self.path)
            .map_err(StoreError::of("make a staging directory in", &above))?;
        Ok(LocalWriter {
            store: self.clone(),
            durability,
            staging,
        })
    }

    /// Makes the directory of the commits where the run's creation was interrupted before that. Its name is durable
    /// when the others in the run are.
    fn ensure_log(&self) -> Result<(), BeginError> {
        let creation = self.creation().map_err(|error| StoreError {
            operation: "list",
            path: error.path,
            source: error.source,
        })?;
        match creation {
            Creation::Complete => Ok(()),
            Creation::Interrupted => {
                let (disk, subject) = (&*self.disk, Subject::Commits);
                let made = durable::create_missing_dirs(disk, subject, &self.log, &mut Vec::new());
                Ok(made.map_err(StoreError::of("make the directory", &self.log))?)
            }
            Creation::CommitsLost { example } => Err(BeginError::NoLog {
                path: self.log.clone(),
                example,
            }),
        }
    }
}

impl Store for LocalStore {
    fn path(&self) -> &Path {
        &self.path
    }

    fn create_run(&self, run_id: &Nonce, json: &[u8]) -> Result<(), NewRunError> {
        create::create(&*self.disk, &self.path, run_id, json)
    }

    fn read_run(&self) -> io::Result<Vec<u8>> {
        let file = self.path.join(RUN_FILE);
        retried(|| self.disk.read(Subject::RunFile, &file))
    }

    fn vacancy(&self) -> Vacancy {
        match () {
            () if !self.path.exists() => Vacancy::Absent,
            () if create::has_leftovers(&*self.disk, &self.path) => Vacancy::Unborn,
            () => Vacancy::Taken,
        }
    }

    fn creation(&self) -> Result<Creation, ListFilesError> {
        create::creation(&self.path)
    }

    fn lock_rank(&self, rank: Option<Rank>) -> Result<Option<Box<dyn StoreLock>>, StoreError> {
        let locked = lock::lock_rank(&self.path, rank)?;
        Ok(locked.map(|files| Box::new(files) as Box<dyn StoreLock>))
    }

    fn lock_table(&self, table: Table) -> Result<Box<dyn StoreLock>, StoreError> {
        let path = self.path.join(format!(".{table}.lock"));
        let failed = |error| StoreError::of("lock", &path)(error);
        for _ in 0..MAX_REPLACED {
            let file = lock_file::open(&path).map_err(failed)?;
            file.lock().map_err(failed)?;
            // Who has made it only to hold it for a moment removes it again.
            if lock_file::is_at(&file, &path).map_err(failed)? {
                return Ok(Box::new(file));
            }
        }
        Err(failed(io::Error::other("it was removed again and again")))
    }

    fn list_log(&self) -> io::Result<Vec<String>> {
        let entries = match retried(|| self.disk.list(Subject::Commits, &self.log)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        // What is no text is no name of the log's.
        let names = entries.into_iter().map(|entry| entry.name.into_string());
        Ok(names.filter_map(Result::ok).collect())
    }

    fn read_log(&self, name: &str) -> io::Result<Vec<u8>> {
        let subject = match name.ends_with(".json") {
            true => Subject::Record,
            false => Subject::Rollup,
        };
        let path = self.log.join(name);
        retried(|| self.disk.read(subject, &path))
    }

    fn log_bytes(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.log.join(name))?.len())
    }

    fn open_part(&self, path: &str) -> io::Result<Arc<dyn StoredPart>> {
        Ok(Arc::new(regular::open_file(&self.path.join(path))?))
    }

    fn list_parts(&self) -> Result<Vec<String>, StoreError> {
        let parts = retire::parts(&*self.disk, &self.path)?;
        Ok(parts.into_iter().map(|(path, _)| path).collect())
    }

    fn begin(&self) -> Result<Arc<dyn StoreWriter>, BeginError> {
        Ok(Arc::new(self.begin_writing()?))
    }
}

impl StoreLock for File {}

impl StoreLock for Vec<File> {}

impl StoredPart for File {
    fn num_bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let too_large = |_| io::Error::from(io::ErrorKind::OutOfMemory);
        let num_bytes = range.end.saturating_sub(range.start);
        let num_bytes = usize::try_from(num_bytes).map_err(too_large)?;
        let mut bytes = Vec::with_capacity(num_bytes);
        while bytes.len() < num_bytes {
            let start = range.start + bytes.len() as u64;
            // Into what is not written yet, so that nothing is written twice.
            let free = rustix::buffer::spare_capacity(&mut bytes);
            match rustix::io::pread(self, free, start) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(num_bytes);
        Ok(bytes.into())
    }

    fn read_at(&self, buffer: &mut [u8], start: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, start)
    }
}

/// Writes to a run's directory, with a staging directory of its own there.
#[derive(Debug)]
pub(crate) struct LocalWriter {
    store: LocalStore,
    durability: Durability,
    staging: StagingDir,
}

impl LocalWriter {
    /// Returns once what was written before is durable, as [`Durability::barrier`] does.
    fn barrier(
        &self,
        subject: Subject,
        are_synced: bool,
        directories: &[PathBuf],
    ) -> Result<(), StoreError> {
        self.durability
            .barrier(subject, are_synced, directories)
            .map_err(StoreError::of(
                "make durable what was written to",
                &self.store.path,
            ))
    }

    /// As where barriers have become slow.
    #[cfg(test)]
    pub(crate) fn sync_by_file(&self) {
        self.durability.sync_by_file();
    }
}

impl StoreWriter for LocalWriter {
    fn nonce(&self) -> &Nonce {
        self.staging.nonce()
    }

    fn create_part(&self) -> io::Result<Box<dyn PartOutput>> {
        let disk = &self.store.disk;
        let output = self.staging.create_part(disk, self.durability.by_file())?;
        Ok(Box::new(output))
    }

    fn put<'a>(
        &'a self,
        parts: Vec<PartToPut>,
        record: &[u8],
    ) -> Result<Box<dyn StoredGroup + 'a>, StoreError> {
        Ok(Box::new(self.put_group(parts, record)?))
    }

    fn retire(&self, paths: &[&str]) -> Result<(), StoreError> {
        self.remove_retired(paths)
    }

    fn clear_abandoned(&self) {
        create::remove_staged(&*self.store.disk, &self.store.path);
        staging::remove_abandoned(&*self.store.disk, &self.store.path);
    }

    fn unclaimed(&self, rank: Rank) -> Result<Vec<String>, StoreError> {
        retire::unclaimed(&*self.store.disk, &self.store.path, rank)
    }

    fn create_rollup(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (staged, path) = (self.staging.next_path(), self.store.log.join(name));
        durable::link_once(&*self.store.disk, Subject::Rollup, &staged, &path, bytes)
    }

    fn remove_covered(&self, names: &[String]) -> Result<(), StoreError> {
        let (disk, log) = (&*self.store.disk, &self.store.log);
        // The roll-ups may be another writer's, who has not come so far.
        durable::sync_directory(disk, Subject::Rollup, log)
            .map_err(StoreError::of("make durable the checkpoints in", log))?;
        for name in names {
            durable::remove_if_there(disk, Subject::Covered, &log.join(name));
        }
        Ok(())
    }
}

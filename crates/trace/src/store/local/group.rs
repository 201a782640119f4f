//! The durable publish: from staged files to a commit record, so that a crash at any moment
//! leaves whole captures or nothing.
//!
//! staged files and staged record → barrier → renames → barrier → link of the record to its
//! number → barrier. Each arrow is a type here: what was not made durable cannot be moved into
//! place, and what is not in place cannot be committed (`ARCHITECTURE.md`, invariant 4).

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::{PartToPut, StoreError, StoredGroup};
use super::LocalWriter;
use super::staging::StagedFile;
use crate::disk::{Disk, Subject};
use crate::durable;
use crate::place::RunPath;

/// How often a directory is made in which a part is to lie and that another writer removes meanwhile.
const MAX_ATTEMPTS: usize = 1000;

/// A part file in the staging directory, and where it goes.
type Part = (Box<StagedFile>, RunPath);

/// Files whose bytes are on the disk, still in the staging directory.
struct Durable(Vec<Part>);

/// Files whose bytes and names are on the disk. Dropped before they are committed, they are
/// removed: no record names them.
#[derive(Debug)]
struct Placed {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    paths: Vec<RunPath>,
    committed: bool,
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.committed {
            for path in &self.paths {
                let path = self.root.join(path.as_str());
                durable::remove_if_there(&*self.disk, Subject::Part, &path);
            }
        }
    }
}

/// A commit record that waits in the staging directory for a number.
#[derive(Debug)]
struct StagedRecord {
    path: PathBuf,
    is_synced: bool,
}

/// A group whose files are in place, and its record.
#[derive(Debug)]
pub(super) struct LocalGroup<'a> {
    writer: &'a LocalWriter,
    placed: Placed,
    /// None once it was linked, or could not be.
    record: Option<StagedRecord>,
}

impl LocalWriter {
    /// As [`StoreWriter::put`](super::StoreWriter::put).
    pub(super) fn put_group(
        &self,
        parts: Vec<PartToPut>,
        record: &[u8],
    ) -> Result<LocalGroup<'_>, StoreError> {
        let parts = parts.into_iter().map(|part| -> Result<Part, StoreError> {
            let staged = (part.staged as Box<dyn Any>).downcast();
            let staged = staged.map_err(|_| {
                let path = self.store.path.join(part.path.as_str());
                let elsewhere = io::Error::other("it was written to another store");
                StoreError::of("move into place", &path)(elsewhere)
            });
            Ok((staged?, part.path))
        });
        let parts = parts.collect::<Result<Vec<Part>, _>>()?;
        let record = self.stage_record(record)?;
        let durable = self.make_durable(parts, &record)?;
        let placed = self.place(durable)?;
        Ok(LocalGroup {
            writer: self,
            placed,
            record: Some(record),
        })
    }

    fn stage_record(&self, bytes: &[u8]) -> Result<StagedRecord, StoreError> {
        let path = self.staging.next_path();
        let (disk, subject) = (&*self.store.disk, Subject::StagedRecord);
        let written = durable::write_new(disk, subject, &path, bytes)
            .and_then(|mut file| self.durability.by_file().sync(&mut *file));
        match written {
            Ok(is_synced) => Ok(StagedRecord { path, is_synced }),
            Err(e) => {
                durable::remove_if_there(disk, subject, &path);
                Err(StoreError::of("write", &path)(e))
            }
        }
    }

    fn make_durable(&self, parts: Vec<Part>, record: &StagedRecord) -> Result<Durable, StoreError> {
        let are_synced = record.is_synced && parts.iter().all(|(part, _)| part.is_synced());
        self.barrier(Subject::StagedPart, are_synced, &[])?;
        Ok(Durable(parts))
    }

    fn place(&self, Durable(parts): Durable) -> Result<Placed, StoreError> {
        let root = &self.store.path;
        let disk = &self.store.disk;
        let mut placed = Placed {
            disk: Arc::clone(disk),
            root: root.clone(),
            paths: Vec::with_capacity(parts.len()),
            committed: false,
        };
        let mut touched = Vec::new();
        for (mut part, below) in parts {
            let path = root.join(below.as_str());
            let dir = path.parent().expect("a part lies in its table's directory");
            move_into_place(&**disk, part.path(), dir, &path, &mut touched)?;
            part.was_moved();
            placed.paths.push(below);
            touched.push(dir.to_owned());
            // Another may have made a directory above and not made it durable: a rank, a writer of a derived
            // table, or a process that was killed.
            let above = dir.ancestors().skip(1);
            touched.extend(
                above
                    .take_while(|dir| dir.starts_with(root))
                    .map(Path::to_owned),
            );
        }
        touched.sort_unstable();
        touched.dedup();
        self.barrier(Subject::Part, true, &touched)?;
        Ok(placed)
    }
}

/// Moves a staged part to `path` in `dir`, whose missing directories are made and noted in
/// `touched`. A writer that retires the last file of a directory removes it, perhaps just now.
fn move_into_place(
    disk: &dyn Disk,
    staged: &Path,
    dir: &Path,
    path: &Path,
    touched: &mut Vec<PathBuf>,
) -> Result<(), StoreError> {
    let mut attempts = 0..MAX_ATTEMPTS;
    loop {
        let is_last = attempts.next().is_none();
        let is_gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound && !is_last;
        match durable::create_missing_dirs(disk, Subject::Part, dir, touched) {
            Err(e) if is_gone(&e) => continue,
            made => made.map_err(StoreError::of("make the directory", dir))?,
        }
        match disk.rename_new(Subject::Part, staged, path) {
            Err(e) if is_gone(&e) && !dir.exists() => {}
            moved => return moved.map_err(StoreError::of("move into place", path)),
        }
    }
}

impl StoredGroup for LocalGroup<'_> {
    fn create_record(&mut self, name: &str) -> io::Result<()> {
        let Some(StagedRecord { path: staged, .. }) = self.record.take() else {
            return Err(io::Error::other("no record is in hand"));
        };
        let store = &self.writer.store;
        let linked = store
            .disk
            .link_new(Subject::Record, &staged, &store.log.join(name));
        durable::remove_if_there(&*store.disk, Subject::StagedRecord, &staged);
        linked
    }

    fn keep(&mut self, keep: bool) {
        self.placed.committed = keep;
    }

    fn confirm(&mut self) -> Result<(), StoreError> {
        let log = std::slice::from_ref(&self.writer.store.log);
        self.writer.barrier(Subject::Record, true, log)
    }

    fn withdraw(&mut self, name: &str) {
        let store = &self.writer.store;
        durable::remove_if_there(&*store.disk, Subject::Record, &store.log.join(name));
    }

    fn take_record(&mut self, record: &[u8]) -> Result<(), StoreError> {
        let staged = self.writer.stage_record(record)?;
        self.writer
            .barrier(Subject::StagedRecord, staged.is_synced, &[])?;
        self.record = Some(staged);
        Ok(())
    }
}

impl Drop for LocalGroup<'_> {
    fn drop(&mut self) {
        if let Some(record) = &self.record {
            let disk = &*self.writer.store.disk;
            durable::remove_if_there(disk, Subject::StagedRecord, &record.path);
        }
    }
}

//! The durable publish: from staged files to a commit record, so that a crash at any moment
//! leaves whole captures or nothing.
//!
//! staged files and staged record → barrier → renames → barrier → link of the record to its
//! number → barrier. Each arrow is a type here: what was not made durable cannot be moved into
//! place, and what is not in place cannot be committed.

use std::io;
use std::path::{Path, PathBuf};

use crate::checkpoint;
use crate::commit::{CaptureId, CommitRecord, FileEntry};
use crate::durable::{self, Durability};
use crate::fault;
use crate::id::{Nonce, Rank};
use crate::log::{self, Listing, ReadCommitsError, Segment};
use crate::run::RunDir;
use crate::staging::{StagedPart, Staging};
use crate::time;

/// How many segments of one level are rolled up into a checkpoint of the next.
pub const ROLLUP_FANOUT: usize = 16;

/// With no more segments than this, [`Publisher::seal`] leaves them as they are.
pub const MAX_SEALED_SEGMENTS: usize = 4;

/// The most that a checkpoint rolls up, in bytes of the records as JSON: rolling up takes a few
/// times as much memory, which must not grow with the length of a run. About 2,000 files.
pub const MAX_CHECKPOINT_RECORD_BYTES: u64 = 512 * 1024;

/// How many times larger records are as JSON than in a checkpoint, about.
const CHECKPOINT_COMPRESSION: u64 = 16;

/// How often a number that another writer took first is tried anew.
const MAX_CONFLICTS: usize = 1000;

/// Publishes groups of captures into one run.
#[derive(Debug)]
pub struct Publisher {
    run: RunDir,
    rank: Rank,
    staging: Staging,
    durability: Durability,
    /// The configuration, until a record has carried it.
    session: Option<serde_json::Value>,
    next_number: u64,
}

/// What becomes part of the run at once.
#[derive(Debug, Default)]
pub struct Group {
    /// The captures that are whole with these files.
    pub captures: Vec<CaptureId>,
    /// Their files.
    pub parts: Vec<StagedPart>,
}

/// Why a publish failed. What was committed before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The file system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The run's commits cannot be read.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// Other writers took every number that was tried.
    #[error("other writers took {MAX_CONFLICTS} commit numbers in a row in {}", dir.display())]
    Contended {
        /// The directory of the commits.
        dir: PathBuf,
    },
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PublishError {
    move |source| PublishError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

/// Files whose bytes are on the disk, still in the staging directory.
struct Durable(Vec<StagedPart>);

/// Files whose bytes and names are on the disk. Dropped before they are committed, they are
/// removed: no record names them.
struct Placed {
    root: PathBuf,
    entries: Vec<FileEntry>,
    committed: bool,
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.committed {
            for entry in &self.entries {
                durable::remove_if_there(&self.root.join(&entry.path));
            }
        }
    }
}

/// A commit record that waits in the staging directory for a number.
struct StagedRecord {
    record: CommitRecord,
    path: PathBuf,
}

impl Publisher {
    /// Makes a publisher for `run`; `session` goes into its first record.
    ///
    /// # Errors
    /// If the staging directory cannot be made or the commits cannot be listed.
    pub fn try_new(
        run: &RunDir,
        rank: Rank,
        session: Option<serde_json::Value>,
    ) -> Result<Self, PublishError> {
        // Opened before anything is written, so that it reports every error from here on.
        let durability = Durability::for_directory(run.path());
        let staging = Staging::create(run)
            .map_err(io_error("make a staging directory in", &run.staging_dir()))?;
        let mut publisher = Self {
            run: run.clone(),
            rank,
            staging,
            durability,
            session,
            next_number: 0,
        };
        publisher.next_number = publisher.list()?.next_number();
        Ok(publisher)
    }

    /// The directory in which this publisher's files are staged.
    pub fn staging(&self) -> &Staging {
        &self.staging
    }

    /// Makes a group durable and commits it; returns the record.
    ///
    /// # Errors
    /// If any step fails. Unless only the last barrier failed, the group is not part of the run;
    /// it is never tried again on the same files.
    pub fn publish(&mut self, group: Group) -> Result<CommitRecord, PublishError> {
        let Group { captures, parts } = group;
        let record = CommitRecord {
            number: self.next_number,
            nonce: Nonce::draw().map_err(io_error("draw a nonce for", self.run.path()))?,
            time: time::now(),
            rank: self.rank,
            session: self.session.clone(),
            captures,
            files: parts.iter().map(|part| part.entry().clone()).collect(),
            retired: Vec::new(),
        };
        let staged = self.stage_record(record)?;
        let durable = self.make_durable(parts, &staged)?;
        let placed = self.place(durable)?;
        let record = self.commit(placed, staged)?;
        self.session = None;
        self.next_number = record.number + 1;
        if let Err(error) = self.roll_up() {
            // The records stay as they are, so nothing is lost; the next publish tries again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not roll up commits"
            );
        }
        Ok(record)
    }

    /// Rolls the records up so far that whoever opens the run reads few files.
    ///
    /// # Errors
    /// If the checkpoint cannot be written; the records then stay as they are.
    pub fn seal(&mut self) -> Result<(), PublishError> {
        let live = self.list()?.live;
        if live.len() > MAX_SEALED_SEGMENTS {
            let mut start = 0;
            while start < live.len() {
                let end = self.end_of_checkpoint(&live, start);
                if end - start > 1 {
                    self.write_checkpoint(&live[start..end])?;
                }
                start = end;
            }
        }
        self.remove_covered()
    }

    fn stage_record(&self, record: CommitRecord) -> Result<StagedRecord, PublishError> {
        let path = self.staging.next_path();
        if let Err(e) = durable::write_new(&path, &record.encode()) {
            durable::remove_if_there(&path);
            return Err(io_error("write", &path)(e));
        }
        Ok(StagedRecord { record, path })
    }

    fn make_durable(
        &mut self,
        parts: Vec<StagedPart>,
        record: &StagedRecord,
    ) -> Result<Durable, PublishError> {
        let mut files: Vec<PathBuf> = parts.iter().map(|p| p.staged_path().to_owned()).collect();
        files.push(record.path.clone());
        self.barrier(&files, &[])?;
        Ok(Durable(parts))
    }

    fn place(&mut self, Durable(parts): Durable) -> Result<Placed, PublishError> {
        let root = self.run.path().to_owned();
        let mut placed = Placed {
            root: root.clone(),
            entries: Vec::with_capacity(parts.len()),
            committed: false,
        };
        let mut touched = Vec::new();
        for part in parts {
            let path = root.join(&part.entry().path);
            let dir = path.parent().expect("a part lies in its table's directory");
            durable::create_missing_dirs(dir, &mut touched)
                .map_err(io_error("make the directory", dir))?;
            durable::rename_new(part.staged_path(), &path)
                .map_err(io_error("move into place", &path))?;
            placed.entries.push(part.entry().clone());
            touched.push(dir.to_owned());
        }
        touched.sort_unstable();
        touched.dedup();
        self.barrier(&[], &touched)?;
        Ok(placed)
    }

    fn commit(
        &mut self,
        mut placed: Placed,
        mut staged: StagedRecord,
    ) -> Result<CommitRecord, PublishError> {
        let dir = self.run.commits_dir();
        for _ in 0..MAX_CONFLICTS {
            let segment = Segment::record(staged.record.number);
            let path = dir.join(segment.file_name());
            let linked =
                fault::check("link").and_then(|()| std::fs::hard_link(&staged.path, &path));
            let taken = match linked {
                Ok(()) => false,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    !self.is_ours(&path, &staged.record)
                }
                Err(e) => {
                    durable::remove_if_there(&staged.path);
                    return Err(io_error("commit", &path)(e));
                }
            };
            let listing = self.list();
            if !taken {
                // From here on a record names the files, whatever happens next.
                placed.committed = true;
                let rolled_up = listing.as_ref().is_ok_and(|l| l.covered.contains(&segment));
                if !rolled_up {
                    durable::remove_if_there(&staged.path);
                    self.barrier(&[], std::slice::from_ref(&dir))?;
                    return Ok(staged.record);
                }
                // Others rolled up this number before it was taken: readers ignore our record.
                durable::remove_if_there(&path);
                placed.committed = false;
            }
            let number = listing?.next_number().max(staged.record.number + 1);
            durable::remove_if_there(&staged.path);
            staged = self.stage_record(CommitRecord {
                number,
                ..staged.record
            })?;
            self.barrier(std::slice::from_ref(&staged.path), &[])?;
        }
        durable::remove_if_there(&staged.path);
        Err(PublishError::Contended { dir })
    }

    /// Whether a link that failed because the name exists had in truth succeeded before.
    fn is_ours(&self, path: &Path, record: &CommitRecord) -> bool {
        std::fs::read(path)
            .ok()
            .and_then(|bytes| CommitRecord::decode(&bytes).ok())
            .is_some_and(|there| there.nonce == record.nonce)
    }

    fn barrier(&mut self, files: &[PathBuf], directories: &[PathBuf]) -> Result<(), PublishError> {
        self.durability
            .barrier(files, directories)
            .map_err(io_error(
                "make durable what was written to",
                self.run.path(),
            ))
    }

    fn list(&self) -> Result<Listing, PublishError> {
        let dir = self.run.commits_dir();
        log::list(&dir).map_err(io_error("list", &dir))
    }

    /// Rolls up the newest segments of a level once there are [`ROLLUP_FANOUT`] of them.
    fn roll_up(&mut self) -> Result<(), PublishError> {
        let live = self.list()?.live;
        if let Some(start) = rollup_start(&live)
            && self.end_of_checkpoint(&live, start) == live.len()
        {
            self.write_checkpoint(&live[start..])?;
            self.remove_covered()?;
        }
        Ok(())
    }

    /// Where the segments from `start` on end that one checkpoint may cover; at least one of them.
    fn end_of_checkpoint(&self, segments: &[Segment], start: usize) -> usize {
        let dir = self.run.commits_dir();
        let mut bytes = 0;
        let fits = |segment: &&Segment| -> bool {
            let file_bytes =
                std::fs::metadata(dir.join(segment.file_name())).map_or(0, |m| m.len());
            bytes += file_bytes
                * if segment.is_checkpoint {
                    CHECKPOINT_COMPRESSION
                } else {
                    1
                };
            bytes <= MAX_CHECKPOINT_RECORD_BYTES
        };
        let num_fitting = segments[start..].iter().take_while(fits).count();
        start + num_fitting.max(1)
    }

    fn write_checkpoint(&mut self, segments: &[Segment]) -> Result<(), PublishError> {
        let dir = self.run.commits_dir();
        let (Some(first), Some(last)) = (
            segments.iter().map(|s| s.first).min(),
            segments.iter().map(|s| s.last).max(),
        ) else {
            return Ok(());
        };
        let mut checkpoint = checkpoint::Encoder::default();
        if !log::visit_segments(&dir, segments, first, &mut |r| checkpoint.push(&r))? {
            // Another writer rolled them up meanwhile.
            return Ok(());
        }
        let path = dir.join(Segment::checkpoint(first, last).file_name());
        let bytes = checkpoint
            .finish()
            .map_err(|e| io_error("encode", &path)(io::Error::other(e)))?;
        match durable::create_once(&self.staging.next_path(), &path, &bytes) {
            // Another writer's of the same cover says the same.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map_err(io_error("write", &path)),
        }
    }

    /// Deletes what a durable checkpoint covers.
    fn remove_covered(&self) -> Result<(), PublishError> {
        let dir = self.run.commits_dir();
        for segment in self.list()?.covered {
            durable::remove_if_there(&dir.join(segment.file_name()));
        }
        Ok(())
    }
}

/// Where the newest segments begin that are to be rolled up into one: the lowest level of which
/// there are [`ROLLUP_FANOUT`] in a row at the end, so that every record is rewritten once a level.
fn rollup_start(segments: &[Segment]) -> Option<usize> {
    let level = |segment: &Segment| segment.len().ilog(ROLLUP_FANOUT as u64);
    let highest = segments.iter().map(level).max()?;
    (0..=highest).find_map(|at_most| {
        let num_trailing = segments
            .iter()
            .rev()
            .take_while(|s| level(s) <= at_most)
            .count();
        let of_level = segments
            .iter()
            .rev()
            .take(num_trailing)
            .filter(|s| level(s) == at_most)
            .count();
        (of_level >= ROLLUP_FANOUT).then(|| segments.len() - num_trailing)
    })
}

#[cfg(test)]
mod tests;

//! The durable publish: from staged files to a commit record, so that a crash at any moment
//! leaves whole captures or nothing.
//!
//! staged files and staged record → barrier → renames → barrier → link of the record to its
//! number → barrier. Each arrow is a type here: what was not made durable cannot be moved into
//! place, and what is not in place cannot be committed (`ARCHITECTURE.md`, invariant 4). Files that
//! the record retires are removed once it is durable, and their names are gone for good when the
//! publish returns.

mod error;
mod retire;
mod roll_up;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksum::Crc32c;
use crate::commit::{CaptureId, CommitRecord, FileEntry};
use crate::disk::{Disk, Subject, retried};
use crate::durable::{self, Durability};
use crate::history::{self, Listing, Log, MAX_LISTINGS, ReadCommitsError, Segment};
use crate::id::{Nonce, Rank};
use crate::place::RunPath;
use crate::run::{Creation, RunDir};
use crate::staging::{StagedPart, Staging};
use crate::time;

use error::io_error;
pub use error::{PublishError, PublishStepError};
pub use roll_up::{MAX_ROLLUP_RECORD_BYTES, MAX_SEALED_SEGMENTS, ROLLUP_FANOUT};

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
    /// The record that this publisher wrote last: its number and checksum.
    last: Option<(u64, Crc32c)>,
    /// The one commit has the nonce that its files are named by, which is that of the staging
    /// directory: as long as that is there, they are not left over from anybody.
    is_derived: bool,
    /// [`MAX_ROLLUP_RECORD_BYTES`], except in tests.
    max_rollup_bytes: u64,
    /// The directory of the commits could not be synced once: no record is deleted any more.
    rollups_in_doubt: bool,
}

/// What becomes part of the run at once.
#[derive(Debug, Default)]
pub struct Group {
    /// The captures that are whole with these files.
    pub captures: Vec<CaptureId>,
    /// Their files.
    pub parts: Vec<StagedPart>,
    /// Paths of committed files that no longer belong to the run, below its directory. A part of
    /// this group that is among them is dropped.
    pub retired: Vec<String>,
}

/// Makes the directory of the commits where the run's creation was interrupted before that.
fn ensure_commits(run: &RunDir) -> Result<(), PublishStepError> {
    let path = run.commits_dir();
    let creation = run
        .creation()
        .map_err(|error| io_error("list", &error.path)(error.source))?;
    match creation {
        Creation::Complete => Ok(()),
        Creation::Interrupted => durable::create_dir_all(&**run.disk(), Subject::Commits, &path)
            .map_err(io_error("make the directory", &path)),
        Creation::CommitsLost { example } => Err(PublishStepError::NoCommits { path, example }),
    }
}

/// Files whose bytes are on the disk, still in the staging directory.
struct Durable(Vec<StagedPart>);

/// Files whose bytes and names are on the disk. Dropped before they are committed, they are
/// removed: no record names them.
struct Placed {
    disk: Arc<dyn Disk>,
    root: PathBuf,
    entries: Vec<FileEntry>,
    committed: bool,
}

impl Drop for Placed {
    fn drop(&mut self) {
        if !self.committed {
            for entry in &self.entries {
                let path = self.root.join(entry.path.as_str());
                durable::remove_if_there(&*self.disk, Subject::Part, &path);
            }
        }
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
) -> Result<(), PublishStepError> {
    let mut attempts = 0..MAX_CONFLICTS;
    loop {
        let is_last = attempts.next().is_none();
        let is_gone = |e: &io::Error| e.kind() == io::ErrorKind::NotFound && !is_last;
        match durable::create_missing_dirs(disk, Subject::Part, dir, touched) {
            Err(e) if is_gone(&e) => continue,
            made => made.map_err(io_error("make the directory", dir))?,
        }
        match disk.rename_new(Subject::Part, staged, path) {
            Err(e) if is_gone(&e) && !dir.exists() => {}
            moved => return moved.map_err(io_error("move into place", path)),
        }
    }
}

/// Whether a roll-up covers a record's number.
enum RolledUp {
    No,
    /// It does; whether it holds that very record.
    With(bool),
    /// A wider one replaced it meanwhile.
    Again,
}

/// A commit record that waits in the staging directory for a number.
struct StagedRecord {
    record: CommitRecord,
    crc32c: Crc32c,
    path: PathBuf,
    is_synced: bool,
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
        Ok(Self::create(run, rank, session, false)?)
    }

    /// Makes a publisher for one commit of derived tables.
    ///
    /// # Errors
    /// As [`Publisher::try_new`].
    pub(crate) fn for_derived(run: &RunDir) -> Result<Self, PublishError> {
        Ok(Self::create(run, Rank::default(), None, true)?)
    }

    fn create(
        run: &RunDir,
        rank: Rank,
        session: Option<serde_json::Value>,
        is_derived: bool,
    ) -> Result<Self, PublishStepError> {
        ensure_commits(run)?;
        // Opened before anything is written, so that it reports every error from here on.
        let durability = Durability::for_directory(Arc::clone(run.disk()), run.path());
        if durability.by_file().is_on() {
            // Who created the run may have been killed before the names in it were durable.
            durable::sync_directory(&**run.disk(), Subject::RunFile, run.path())
                .map_err(io_error("make durable what was written to", run.path()))?;
        }
        let staging = Staging::create(run, durability.by_file())
            .map_err(io_error("make a staging directory in", &run.staging_dir()))?;
        let mut publisher = Self {
            run: run.clone(),
            rank,
            staging,
            durability,
            session,
            next_number: 0,
            last: None,
            is_derived,
            max_rollup_bytes: MAX_ROLLUP_RECORD_BYTES,
            rollups_in_doubt: false,
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
    /// If any step fails; the error says whether the group is part of the run all the same. It is never
    /// tried again on the same files (`ARCHITECTURE.md`, invariant 7).
    pub fn publish(&mut self, group: Group) -> Result<CommitRecord, PublishError> {
        self.publish_as(group, false)
    }

    /// As [`Publisher::publish`], of the session's last group, which may be empty: the record says that
    /// everything was recorded.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn publish_last(&mut self, group: Group) -> Result<CommitRecord, PublishError> {
        self.publish_as(group, true)
    }

    /// Whether it has committed anything.
    pub fn has_published(&self) -> bool {
        self.last.is_some()
    }

    /// Whether a roll-up may be there whose name is not durable, as the directory could not be synced. This publisher
    /// deletes no record any more; another one for the run would not know of it.
    pub fn are_rollups_in_doubt(&self) -> bool {
        self.rollups_in_doubt
    }

    fn publish_as(&mut self, group: Group, is_final: bool) -> Result<CommitRecord, PublishError> {
        let Group {
            captures,
            mut parts,
            mut retired,
        } = group;
        if !retired.is_empty() {
            // What nobody ever saw need not be published first.
            let named: HashSet<&str> = parts.iter().map(|p| &*p.entry().path).collect();
            let (unseen, committed): (Vec<_>, Vec<_>) = retired
                .into_iter()
                .partition(|path| named.contains(path.as_str()));
            retired = committed;
            let unseen: HashSet<String> = unseen.into_iter().collect();
            parts.retain(|part| !unseen.contains(part.entry().path.as_str()));
        }
        let retired = retired.into_iter().map(RunPath::try_from);
        let retired = retired
            .collect::<Result<_, _>>()
            .map_err(PublishStepError::from)?;
        let record = CommitRecord {
            number: self.next_number,
            nonce: match self.is_derived {
                true => self.staging.nonce().clone(),
                false => Nonce::draw().map_err(io_error("draw a nonce for", self.run.path()))?,
            },
            run_id: Some(self.run.info().run_id.clone()),
            run_crc32c: Some(self.run.crc32c()),
            previous_crc32c: self.previous_crc32c(self.next_number)?,
            time: time::now(),
            rank: self.rank,
            session: self.session.clone(),
            run_json: self.session.as_ref().and_then(|_| self.run.kept_text()),
            is_final,
            captures,
            files: parts.iter().map(|part| part.entry().clone()).collect(),
            retired,
        };
        let staged = self.stage_record(record)?;
        let durable = self.make_durable(parts, &staged)?;
        let placed = self.place(durable)?;
        let (StagedRecord { record, crc32c, .. }, listing) = self.commit(placed, staged)?;
        self.session = None;
        self.last = Some((record.number, crc32c));
        self.next_number = record.number + 1;
        if let Err(source) = self.remove_retired(&record.retired) {
            let record = Box::new(record);
            return Err(PublishError::NotCleanedUp { record, source });
        }
        if let Err(error) = self.roll_up(&listing.live) {
            // The records stay as they are, so nothing is lost; the next publish tries again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "could not roll up commits"
            );
        }
        Ok(record)
    }

    fn stage_record(&self, record: CommitRecord) -> Result<StagedRecord, PublishStepError> {
        let path = self.staging.next_path();
        let (bytes, crc32c) = record.encode_with_checksum();
        let (disk, subject) = (&**self.run.disk(), Subject::StagedRecord);
        let written = durable::write_new(disk, subject, &path, &bytes)
            .and_then(|mut file| self.durability.by_file().sync(&mut *file));
        match written {
            Ok(is_synced) => Ok(StagedRecord {
                record,
                crc32c,
                path,
                is_synced,
            }),
            Err(e) => {
                durable::remove_if_there(disk, subject, &path);
                Err(io_error("write", &path)(e))
            }
        }
    }

    fn make_durable(
        &mut self,
        parts: Vec<StagedPart>,
        record: &StagedRecord,
    ) -> Result<Durable, PublishStepError> {
        let are_synced = record.is_synced && parts.iter().all(StagedPart::is_synced);
        self.barrier(Subject::StagedPart, are_synced, &[])?;
        Ok(Durable(parts))
    }

    fn place(&mut self, Durable(parts): Durable) -> Result<Placed, PublishStepError> {
        let root = self.run.path().to_owned();
        let disk = Arc::clone(self.run.disk());
        let mut placed = Placed {
            disk: Arc::clone(&disk),
            root: root.clone(),
            entries: Vec::with_capacity(parts.len()),
            committed: false,
        };
        let mut touched = Vec::new();
        for part in parts {
            let path = root.join(part.entry().path.as_str());
            let dir = path.parent().expect("a part lies in its table's directory");
            move_into_place(&*disk, part.staged_path(), dir, &path, &mut touched)?;
            placed.entries.push(part.entry().clone());
            touched.push(dir.to_owned());
            // Another may have made a directory above and not made it durable: a rank, a writer of a derived
            // table, or a process that was killed.
            let above = dir.ancestors().skip(1);
            touched.extend(
                above
                    .take_while(|dir| dir.starts_with(&root))
                    .map(Path::to_owned),
            );
        }
        touched.sort_unstable();
        touched.dedup();
        self.barrier(Subject::Part, true, &touched)?;
        Ok(placed)
    }

    /// Links the record to a number; returns it, and what the commits were then.
    fn commit(
        &mut self,
        mut placed: Placed,
        mut staged: StagedRecord,
    ) -> Result<(StagedRecord, Listing), PublishError> {
        let dir = self.run.commits_dir();
        let disk = Arc::clone(self.run.disk());
        for _ in 0..MAX_CONFLICTS {
            let number = staged.record.number;
            let in_doubt = |source| PublishError::InDoubt { number, source };
            let path = dir.join(Segment::record(number).file_name());
            let linked = disk.link_new(Subject::Record, &staged.path, &path);
            durable::remove_if_there(&*disk, Subject::StagedRecord, &staged.path);
            let is_ours = match &linked {
                Ok(()) => true,
                // It may have failed because it had succeeded before, or in spite of having done so. As
                // long as nobody can tell, the files stay: a record may name them.
                Err(_) => {
                    placed.committed = true;
                    self.is_there(&staged.record).map_err(in_doubt)?
                }
            };
            // Once a record names the files they stay, whatever happens next.
            placed.committed = is_ours;
            if !is_ours
                && let Err(e) = linked
                && e.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(io_error("commit", &path)(e).into());
            }
            let mut listing = match self.list() {
                Err(source) if is_ours => return Err(in_doubt(source)),
                listing => listing?,
            };
            if is_ours {
                let is_counted = self.is_counted(&staged.record, &mut listing);
                if is_counted.map_err(in_doubt)? {
                    self.barrier(Subject::Record, true, std::slice::from_ref(&dir))
                        .map_err(in_doubt)?;
                    return Ok((staged, listing));
                }
                durable::remove_if_there(&*disk, Subject::Record, &path);
                placed.committed = false;
            }
            let number = listing.next_number().max(number + 1);
            staged = self.stage_record(CommitRecord {
                number,
                previous_crc32c: self.previous_crc32c(number)?,
                ..staged.record
            })?;
            self.barrier(Subject::StagedRecord, staged.is_synced, &[])?;
        }
        durable::remove_if_there(&*disk, Subject::StagedRecord, &staged.path);
        Err(PublishStepError::Contended { dir }.into())
    }

    /// The checksum of the record before `number`, by which that one will name it. None of the first,
    /// and of one that an earlier version rolled up.
    ///
    /// It is this publisher's own, or was read. A record is there for good once a listing without a hole
    /// has it and no roll-up over it: one that is hidden, and about to be taken back by its writer, has
    /// been covered since before it was linked, and what it is covered by spans more than its number.
    ///
    /// # Errors
    /// If that record cannot be read or trusted, or was written under another `run.json`.
    fn previous_crc32c(&self, number: u64) -> Result<Option<Crc32c>, PublishStepError> {
        let Some(before) = number.checked_sub(1) else {
            return Ok(None);
        };
        if let Some((last, crc32c)) = self.last
            && last == before
        {
            return Ok(Some(crc32c));
        }
        let log = Log::of(&self.run);
        for _ in 0..MAX_LISTINGS {
            let Some(holder) = self.list()?.holder(before) else {
                continue;
            };
            let mut found = None;
            let is_there =
                history::visit_segments(&log, &[holder], before, &mut |there, crc32c| {
                    found = found.or(Some((there.number, there.run_crc32c, crc32c)));
                })?;
            if let Some((number, committed, crc32c)) = found.filter(|_| is_there) {
                history::check_run_file(&self.run, number, committed)?;
                return Ok(crc32c);
            }
        }
        let dir = log.dir;
        Err(ReadCommitsError::Missing {
            dir,
            number: before,
        }
        .into())
    }

    /// Whether readers see the record that was just linked. Another writer's roll-up may cover
    /// its number by now: one that was written after the link holds it, one that was there before
    /// holds the record that had the number then, and hides ours.
    fn is_counted(
        &self,
        record: &CommitRecord,
        listing: &mut Listing,
    ) -> Result<bool, PublishStepError> {
        for _ in 0..MAX_LISTINGS {
            match self.is_rolled_up(record, listing)? {
                RolledUp::No => return Ok(true),
                RolledUp::With(is_ours) => return Ok(is_ours),
                RolledUp::Again => *listing = self.list()?,
            }
        }
        let dir = self.run.commits_dir();
        Err(ReadCommitsError::KeptChanging { dir }.into())
    }

    /// Whether a record whose link failed has its number all the same: what is there, as a record or
    /// rolled up, has its nonce. What cannot be read is no answer.
    fn is_there(&self, record: &CommitRecord) -> Result<bool, PublishStepError> {
        let dir = self.run.commits_dir();
        let path = dir.join(Segment::record(record.number).file_name());
        for _ in 0..MAX_LISTINGS {
            match retried(|| self.run.disk().read(Subject::Record, &path)) {
                Ok(bytes) => {
                    return match CommitRecord::decode(&bytes) {
                        Ok(there) => Ok(there.nonce == record.nonce),
                        Err(source) => Err(ReadCommitsError::BadRecord { path, source }.into()),
                    };
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(io_error("read", &path)(e)),
            }
            match self.is_rolled_up(record, &self.list()?)? {
                RolledUp::No if path.exists() => {}
                RolledUp::No => return Ok(false),
                RolledUp::With(is_ours) => return Ok(is_ours),
                RolledUp::Again => {}
            }
        }
        Err(ReadCommitsError::KeptChanging { dir }.into())
    }

    /// What a roll-up says of a record's number.
    fn is_rolled_up(
        &self,
        record: &CommitRecord,
        listing: &Listing,
    ) -> Result<RolledUp, PublishStepError> {
        let segment = Segment::record(record.number);
        let Some(cover) = listing.live.iter().copied().find(|s| s.covers(segment)) else {
            return Ok(RolledUp::No);
        };
        let mut holds_ours = false;
        let log = Log::of(&self.run);
        let is_there = history::visit_segments(&log, &[cover], cover.first, &mut |there, _| {
            holds_ours |= there.number == record.number && there.nonce == record.nonce;
        })?;
        Ok(match is_there {
            true => RolledUp::With(holds_ours),
            false => RolledUp::Again,
        })
    }

    /// Returns once what was written before is durable, as [`Durability::barrier`] does.
    fn barrier(
        &mut self,
        subject: Subject,
        are_synced: bool,
        directories: &[PathBuf],
    ) -> Result<(), PublishStepError> {
        self.durability
            .barrier(subject, are_synced, directories)
            .map_err(io_error(
                "make durable what was written to",
                self.run.path(),
            ))
    }

    fn list(&self) -> Result<Listing, PublishStepError> {
        let dir = self.run.commits_dir();
        history::list(&**self.run.disk(), &dir).map_err(io_error("list", &dir))
    }
}

#[cfg(test)]
mod tests;

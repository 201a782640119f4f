//! Publishing: a group's files become part of the run at once, by a record that names them, or not at all.
//!
//! The store puts the files, and creates the record under a number that nobody else has
//! ([`StoreWriter`](crate::StoreWriter)). How numbers are found, what a record says of the one before, whose
//! record it is where a creation failed, and what becomes of the files then is told here, for every store.
//! Files that the record retires are removed once it is durable, and their names are gone for good when the
//! publish returns.

mod error;
mod retire;
mod roll_up;

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;

use crate::checksum::Crc32c;
use crate::commit::{CaptureId, CommitRecord};
use crate::encode::Compress;
use crate::history::{self, Listing, Log, MAX_LISTINGS, ReadCommitsError, Segment};
use crate::id::{Nonce, Rank};
use crate::place::RunPath;
use crate::run::RunDir;
use crate::staging::{StagedPart, Staging};
use crate::store::{Creation, StoreWriter, StoredGroup};
use crate::time;

use error::io_error;
pub use error::{PublishError, PublishStepError};
use retire::refuse_strays;
pub use roll_up::{MAX_ROLLUP_RECORD_BYTES, MAX_SEALED_SEGMENTS, ROLLUP_FANOUT};

/// How often a number that another writer took first is tried anew.
const MAX_CONFLICTS: usize = 1000;

/// Publishes groups of captures into one run.
#[derive(Debug)]
pub struct Publisher {
    run: RunDir,
    rank: Rank,
    staging: Staging,
    /// The configuration, until a record has carried it.
    session: Option<serde_json::Value>,
    next_number: u64,
    /// The record that this publisher wrote last: its number and checksum.
    last: Option<(u64, Crc32c)>,
    /// The one commit has the nonce that its files are named by, which is that of the staging
    /// directory: as long as that is there, they are not left over from anybody.
    is_derived: bool,
    /// Whether roll-ups have compressed columns.
    compress: Compress,
    /// [`MAX_ROLLUP_RECORD_BYTES`], except in tests.
    max_rollup_bytes: u64,
    /// Roll-ups could not be made durable once: no record is deleted any more.
    rollups_in_doubt: bool,
    /// The roll-ups that this publisher wrote, of records and of such roll-ups, and that stand for others.
    own_rollups: BTreeSet<Segment>,
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

/// Whether a roll-up covers a record's number.
enum RolledUp {
    No,
    /// It does; whether it holds that very record.
    With(bool),
    /// A wider one replaced it meanwhile.
    Again,
}

impl Publisher {
    /// Makes a publisher for `run`; `session` goes into its first record.
    ///
    /// # Errors
    /// If the store refuses a writer, the commits cannot be listed, or there may be records that nobody reads.
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
        let creation = run.creation();
        let creation = creation.map_err(|error| io_error("list", &error.path)(error.source))?;
        if let Creation::CommitsLost { example } = creation {
            let path = run.commits_dir();
            return Err(PublishStepError::NoCommits { path, example });
        }
        // What is committed here would have the number that a record has which nobody reads.
        refuse_strays(run)?;
        let writer = run.store().begin().map_err(PublishStepError::from)?;
        Self::with_writer(run, rank, session, is_derived, writer)
    }

    fn with_writer(
        run: &RunDir,
        rank: Rank,
        session: Option<serde_json::Value>,
        is_derived: bool,
        writer: Arc<dyn StoreWriter>,
    ) -> Result<Self, PublishStepError> {
        let mut publisher = Self {
            run: run.clone(),
            rank,
            staging: Staging::of(writer),
            session,
            next_number: 0,
            last: None,
            is_derived,
            compress: Compress::default(),
            max_rollup_bytes: MAX_ROLLUP_RECORD_BYTES,
            rollups_in_doubt: false,
            own_rollups: BTreeSet::new(),
        };
        publisher.next_number = publisher.list()?.next_number();
        Ok(publisher)
    }

    /// The same publisher, whose roll-ups are compressed in this way.
    #[must_use]
    pub fn with_compress(mut self, compress: Compress) -> Self {
        self.compress = compress;
        self
    }

    /// Where this publisher's files are staged.
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
        let (bytes, crc32c) = record.encode_with_checksum();
        let parts = parts.into_iter().map(StagedPart::into_put).collect();
        let put = self.staging.writer().put(parts, &bytes);
        let group = put.map_err(PublishStepError::from)?;
        let (record, crc32c, listing) = self.commit(group, record, crc32c)?;
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

    /// Creates the record under a number; returns it with its checksum, and what the commits were then.
    fn commit(
        &self,
        mut group: Box<dyn StoredGroup + '_>,
        mut record: CommitRecord,
        mut crc32c: Crc32c,
    ) -> Result<(CommitRecord, Crc32c, Listing), PublishError> {
        let dir = self.run.commits_dir();
        for _ in 0..MAX_CONFLICTS {
            let number = record.number;
            let in_doubt = |source| PublishError::InDoubt { number, source };
            let name = Segment::record(number).file_name();
            let created = group.create_record(&name);
            let is_ours = match &created {
                Ok(()) => true,
                // It may have failed because it had succeeded before, or in spite of having done so. As
                // long as nobody can tell, the files stay: a record may name them.
                Err(_) => {
                    group.keep(true);
                    self.is_there(&record).map_err(in_doubt)?
                }
            };
            // Once a record names the files they stay, whatever happens next.
            group.keep(is_ours);
            if !is_ours
                && let Err(e) = created
                && e.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(io_error("commit", &dir.join(name))(e).into());
            }
            let mut listing = match self.list() {
                Err(source) if is_ours => return Err(in_doubt(source)),
                listing => listing?,
            };
            if is_ours {
                let is_counted = self.is_counted(&record, &mut listing);
                if is_counted.map_err(in_doubt)? {
                    group.confirm().map_err(|error| in_doubt(error.into()))?;
                    return Ok((record, crc32c, listing));
                }
                group.withdraw(&name);
                group.keep(false);
            }
            let number = listing.next_number().max(number + 1);
            record = CommitRecord {
                number,
                previous_crc32c: self.previous_crc32c(number)?,
                ..record
            };
            let bytes;
            (bytes, crc32c) = record.encode_with_checksum();
            group.take_record(&bytes).map_err(PublishStepError::from)?;
        }
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
        let name = Segment::record(record.number).file_name();
        let store = self.run.store();
        for _ in 0..MAX_LISTINGS {
            match store.read_log(&name) {
                Ok(bytes) => {
                    return match CommitRecord::decode(&bytes) {
                        Ok(there) => Ok(there.nonce == record.nonce),
                        Err(source) => {
                            let path = dir.join(name);
                            Err(ReadCommitsError::BadRecord { path, source }.into())
                        }
                    };
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(io_error("read", &dir.join(name))(e)),
            }
            match self.is_rolled_up(record, &self.list()?)? {
                RolledUp::No if store.log_bytes(&name).is_ok() => {}
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

    fn list(&self) -> Result<Listing, PublishStepError> {
        history::list(&**self.run.store()).map_err(io_error("list", &self.run.commits_dir()))
    }
}

#[cfg(test)]
mod tests;

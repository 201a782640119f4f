//! The run's history, the record of its commits: the names in `commits/`, and what reading it takes
//! while writers go on.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksum::Crc32c;
use crate::commit::{CommitRecord, DecodeCommitError};
use crate::id::Nonce;
use crate::number::MAX_COUNT;
use crate::place::{COMMITS_DIR, RUN_FILE};
use crate::rollup::{self, ReadRollupError};
use crate::run::RunDir;
use crate::store::Store;

/// How often `commits/` is listed again because what was listed was rolled up meanwhile.
pub(crate) const MAX_LISTINGS: usize = 16;

/// The highest number that a record may have, and so a name: one that is higher is refused in a record.
const MAX_NUMBER: u64 = MAX_COUNT;

/// A stretch of records in one file: a record by itself, or a roll-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Segment {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) is_rollup: bool,
}

impl Segment {
    pub(crate) fn record(number: u64) -> Self {
        Self {
            first: number,
            last: number,
            is_rollup: false,
        }
    }

    pub(crate) fn rollup(first: u64, last: u64) -> Self {
        Self {
            first,
            last,
            is_rollup: true,
        }
    }

    pub(crate) fn len(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    pub(crate) fn covers(self, other: Self) -> bool {
        self.is_rollup && self.first <= other.first && other.last <= self.last
    }

    pub(crate) fn file_name(self) -> String {
        let Self { first, last, .. } = self;
        if self.is_rollup {
            format!("checkpoint-{first:020}-{last:020}.parquet")
        } else {
            format!("{first:020}.json")
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        let segment = if let Some(number) = name.strip_suffix(".json") {
            Self::record(number.parse().ok()?)
        } else {
            let range = name.strip_prefix("checkpoint-")?.strip_suffix(".parquet")?;
            let (first, last) = range.split_once('-')?;
            Self::rollup(first.parse().ok()?, last.parse().ok()?)
        };
        let is_one = segment.first <= segment.last && segment.last <= MAX_NUMBER;
        (is_one && segment.file_name() == name).then_some(segment)
    }
}

/// Where a run's records are, and of which run they have to be.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    store: Arc<dyn Store>,
    /// Where that has them, as messages say it.
    pub(crate) dir: PathBuf,
    run_id: Option<Nonce>,
}

impl Log {
    pub(crate) fn of(run: &RunDir) -> Self {
        Self::in_store(Arc::clone(run.store()), Some(run.info().run_id.clone()))
    }

    /// The records in a store, which are those of a run; no run is named in tests of records alone.
    pub(crate) fn in_store(store: Arc<dyn Store>, run_id: Option<Nonce>) -> Self {
        let dir = store.path().join(COMMITS_DIR);
        Self { store, dir, run_id }
    }
}

/// What `commits/` holds at one moment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Listing {
    /// The segments to read, in order: none is covered by another.
    pub(crate) live: Vec<Segment>,
    /// Segments that a roll-up covers: about to be deleted.
    pub(crate) covered: Vec<Segment>,
}

impl Listing {
    /// The segment that holds a number; none if that or one before it is missing.
    pub(crate) fn holder(&self, number: u64) -> Option<Segment> {
        let mut next = 0;
        self.live.iter().copied().find_map(|segment| {
            let is_next = segment.first <= next;
            next = next.max(segment.last + 1);
            match () {
                () if !is_next => Some(None),
                () if segment.last >= number => Some(Some(segment)),
                () => None,
            }
        })?
    }

    pub(crate) fn next_number(&self) -> u64 {
        self.live.iter().map(|s| s.last + 1).max().unwrap_or(0)
    }
}

/// Lists the log; one that was not begun is empty.
pub(crate) fn list(store: &dyn Store) -> io::Result<Listing> {
    let names = store.list_log()?;
    let segments = names.iter().filter_map(|name| Segment::parse(name));
    let segments: BTreeSet<Segment> = segments.collect();
    let rollups: Vec<Segment> = segments.iter().copied().filter(|s| s.is_rollup).collect();
    let (covered, live) = segments.into_iter().partition(|segment| {
        rollups
            .iter()
            .any(|rollup| rollup != segment && rollup.covers(*segment))
    });
    Ok(Listing { live, covered })
}

/// Why the commits of a run could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadCommitsError {
    /// The directory or a file in it cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A record is cut off or damaged.
    #[error("{} cannot be trusted", path.display())]
    BadRecord {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DecodeCommitError,
    },
    /// A roll-up is damaged.
    #[error("{} cannot be trusted", path.display())]
    BadRollup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ReadRollupError,
    },
    /// A file holds other records than its name says.
    #[error(
        "{} holds commit {found}, where its name promises commit {expected}: it is no file of this run, \
         or was renamed; `sink verify` tells what is left",
        path.display()
    )]
    OtherNumbers {
        /// The file.
        path: PathBuf,
        /// The number that was due by its name.
        expected: u64,
        /// The one that is there.
        found: u64,
    },
    /// A file holds fewer records than its name says.
    #[error(
        "{} ends before commit {missing}, which its name promises: it is no file of this run, or was \
         renamed; `sink verify` tells what is left",
        path.display()
    )]
    TooFew {
        /// The file.
        path: PathBuf,
        /// The first number that is missing.
        missing: u64,
    },
    /// A record was written for another run.
    #[error(
        "commit {number} in {} is one of run {found}, and {RUN_FILE} of run {expected}: one of the two was \
         changed, or is another run's; `sink repair` tells which",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The record's number.
        number: u64,
        /// The run that it names.
        found: Nonce,
        /// This run.
        expected: Nonce,
    },
    /// A record names another one as that before it.
    #[error(
        "commit {number} in {} follows a commit with checksum {expected}, the one before it has \
         {found}: one of them is not this run's; `sink verify` tells what is left",
        path.display()
    )]
    BrokenChain {
        /// The file.
        path: PathBuf,
        /// The record's number.
        number: u64,
        /// The checksum that it names.
        expected: Crc32c,
        /// That of the record before it.
        found: Crc32c,
    },
    /// `run.json` is another than the records were written under.
    #[error(
        "{} was changed or damaged: its checksum is {found}, commit {number} was written when it was \
         {committed}",
        path.display()
    )]
    OtherRunFile {
        /// The file.
        path: PathBuf,
        /// Its checksum.
        found: Crc32c,
        /// The checksum that was committed.
        committed: Crc32c,
        /// The newest record that has one.
        number: u64,
    },
    /// A number between the first and the last is missing.
    #[error("commit {number} is missing from {}: the run's history has a hole", dir.display())]
    Missing {
        /// The directory.
        dir: PathBuf,
        /// The first number that is missing.
        number: u64,
    },
    /// Writers were rolling up records faster than they could be read.
    #[error("{} kept changing while it was read; try again", dir.display())]
    KeptChanging {
        /// The directory.
        dir: PathBuf,
    },
}

impl ReadCommitsError {
    /// The file or directory that is at fault.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. }
            | Self::BadRecord { path, .. }
            | Self::BadRollup { path, .. }
            | Self::OtherNumbers { path, .. }
            | Self::TooFew { path, .. }
            | Self::Foreign { path, .. }
            | Self::BrokenChain { path, .. }
            | Self::OtherRunFile { path, .. } => path,
            Self::Missing { dir, .. } | Self::KeptChanging { dir } => dir,
        }
    }
}

/// What is wrong with a history of which everything else was read.
#[derive(Debug, Default)]
pub struct HistoryFaults {
    /// Files of commits that cannot be trusted, and commits that are missing: left out, with what only
    /// they know of.
    pub left_out: Vec<ReadCommitsError>,
    /// What cannot all be right and is used nevertheless: two commits of which the second does not follow
    /// the first, or a `run.json` that is another.
    pub doubtful: Vec<ReadCommitsError>,
}

impl HistoryFaults {
    /// Everything that is wrong, what was left out first.
    pub fn iter(&self) -> impl Iterator<Item = &ReadCommitsError> {
        self.left_out.iter().chain(&self.doubtful)
    }
}

/// Reads every record once, in order, and gives it to `visit`.
///
/// A record that vanishes between the listing and the reading was rolled up: the directory is
/// then listed again and `restart` is called before the first record is given anew. So it is where
/// a number is missing, since a listing that is taken during a roll-up may have neither the records
/// nor their roll-up: a hole that is there twice is one. So it is, once, where a record does not follow the one
/// before it: a repair may have put another history in the place of the one that was listed.
///
/// # Errors
/// If anything that is committed cannot be read or trusted.
pub(crate) fn visit_commits<V>(
    log: &Log,
    mut restart: impl FnMut() -> V,
    mut visit: impl FnMut(&mut V, CommitRecord, Option<Crc32c>),
) -> Result<V, ReadCommitsError> {
    let dir = log.dir.as_path();
    let (mut with_hole, mut is_again) = (None, false);
    for _ in 0..MAX_LISTINGS {
        let listing = list(&*log.store).map_err(|source| ReadCommitsError::Io {
            path: dir.to_owned(),
            source,
        })?;
        let mut visitor = restart();
        let visited = visit_segments(log, &listing.live, 0, &mut |record, crc32c| {
            visit(&mut visitor, record, crc32c)
        });
        match visited {
            Ok(true) => return Ok(visitor),
            Ok(false) => {}
            Err(ReadCommitsError::Missing { .. }) if with_hole.as_ref() != Some(&listing.live) => {
                with_hole = Some(listing.live);
            }
            Err(ReadCommitsError::BrokenChain { .. }) if !is_again => is_again = true,
            Err(error) => return Err(error),
        }
    }
    Err(ReadCommitsError::KeptChanging {
        dir: dir.to_owned(),
    })
}

/// How far the records of a run were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The number of the last one.
    number: u64,
    /// Its checksum.
    crc32c: Crc32c,
}

impl Position {
    /// That of a record; none where its checksum is not known, so that nobody could tell it from another.
    pub(crate) fn of(record: &CommitRecord, crc32c: Option<Crc32c>) -> Option<Self> {
        let number = record.number;
        crc32c.map(|crc32c| Self { number, crc32c })
    }
}

/// Reads the records that follow the one that was read last, as [`visit_commits`] would, and no more files than
/// these and that one are in; `false` if that one is another now, or a file was gone: a repair, an upgrade or a
/// roll-up was at work.
///
/// # Errors
/// If anything that is read cannot be trusted.
pub(crate) fn visit_commits_after(
    log: &Log,
    last: Position,
    mut visit: impl FnMut(CommitRecord, Option<Crc32c>),
) -> Result<bool, ReadCommitsError> {
    let listing = list(&*log.store).map_err(|source| ReadCommitsError::Io {
        path: log.dir.clone(),
        source,
    })?;
    let live = listing.live.into_iter();
    let segments: Vec<Segment> = live.filter(|segment| segment.last >= last.number).collect();
    let mut is_there = false;
    let all_there = visit_segments(log, &segments, last.number, &mut |record, crc32c| {
        if record.number == last.number {
            is_there = crc32c == Some(last.crc32c);
        } else if is_there {
            visit(record, crc32c);
        }
    })?;
    Ok(all_there && is_there)
}

/// Reads the segments' records from number `first` on, each once and in order, with their checksums
/// as far as they are known; `false` if a segment is gone.
///
/// # Errors
/// If a file cannot be read or trusted, holds other records than its name says or such of another run,
/// or if a record is not that which the next one follows.
pub(crate) fn visit_segments(
    log: &Log,
    segments: &[Segment],
    first: u64,
    visit: &mut dyn FnMut(CommitRecord, Option<Crc32c>),
) -> Result<bool, ReadCommitsError> {
    let mut reading = Reading {
        next: first,
        previous: None,
        hole: None,
    };
    for segment in segments {
        let path = log.dir.join(segment.file_name());
        if !reading.read(log, *segment, &path, visit)? {
            return Ok(false);
        }
    }
    match reading.hole {
        Some(number) => Err(ReadCommitsError::Missing {
            dir: log.dir.clone(),
            number,
        }),
        None => Ok(true),
    }
}

/// Reads what can be trusted of the records, each by itself: what comes after a damaged one is no less
/// whole. Of a roll-up that cannot be trusted the files that it covers are read, if they are there still.
/// Returns what is wrong as well.
///
/// # Errors
/// If the directory cannot be listed, or keeps changing.
pub(crate) fn salvage<V>(
    log: &Log,
    mut restart: impl FnMut() -> V,
    mut visit: impl FnMut(&mut V, CommitRecord),
) -> Result<(V, HistoryFaults), ReadCommitsError> {
    for _ in 0..MAX_LISTINGS {
        let listing = list(&*log.store).map_err(|source| ReadCommitsError::Io {
            path: log.dir.clone(),
            source,
        })?;
        let mut visitor = restart();
        let mut salvaged = Salvaged::default();
        let is_there = listing.live.iter().all(|segment| {
            salvaged.read(log, *segment, &listing.covered, &mut |record| {
                visit(&mut visitor, record);
            })
        });
        if is_there {
            return Ok((visitor, salvaged.faults));
        }
    }
    Err(ReadCommitsError::KeptChanging {
        dir: log.dir.clone(),
    })
}

/// What was read of records of which some cannot be.
#[derive(Default)]
struct Salvaged {
    /// The number that is due.
    next: u64,
    /// The checksum of the record before that, if it was read and is known.
    previous: Option<Crc32c>,
    /// Up to which number what is missing was told: it is in a file that cannot be trusted.
    told: u64,
    faults: HistoryFaults,
}

impl Salvaged {
    /// Reads a segment, or what it covers; `false` if it is gone.
    fn read(
        &mut self,
        log: &Log,
        segment: Segment,
        covered: &[Segment],
        visit: &mut dyn FnMut(CommitRecord),
    ) -> bool {
        let mut records = Vec::new();
        let read = visit_segments(log, &[segment], segment.first, &mut |record, crc32c| {
            records.push((record, crc32c));
        });
        match read {
            Ok(is_there) if !is_there => return false,
            Ok(_) => {
                for (record, crc32c) in records {
                    self.take(log, segment, record, crc32c, visit);
                }
            }
            Err(error) => {
                self.faults.left_out.push(error);
                let within = covered.iter().copied();
                let mut within = within.filter(|other| segment.covers(*other) && *other != segment);
                let is_there = within.all(|other| self.read(log, other, &[], visit));
                self.told = self.told.max(segment.last.saturating_add(1));
                return is_there;
            }
        }
        true
    }

    /// Takes a record unless it was taken from another segment.
    fn take(
        &mut self,
        log: &Log,
        segment: Segment,
        record: CommitRecord,
        crc32c: Option<Crc32c>,
        visit: &mut dyn FnMut(CommitRecord),
    ) {
        let number = record.number;
        if number < self.next {
            return;
        }
        if number > self.next.max(self.told) {
            self.faults.left_out.push(ReadCommitsError::Missing {
                dir: log.dir.clone(),
                number: self.next.max(self.told),
            });
        }
        if number == self.next
            && let (Some(expected), Some(found)) = (record.previous_crc32c, self.previous)
            && expected != found
        {
            self.faults.doubtful.push(ReadCommitsError::BrokenChain {
                path: log.dir.join(segment.file_name()),
                number,
                expected,
                found,
            });
        }
        self.next = number + 1;
        self.previous = crc32c;
        visit(record);
    }
}

/// Whether a run's `run.json` has the checksum that a record was written under.
pub(crate) fn check_run_file(
    run: &RunDir,
    number: u64,
    committed: Option<Crc32c>,
) -> Result<(), ReadCommitsError> {
    match committed {
        Some(committed) if committed != run.crc32c() => Err(ReadCommitsError::OtherRunFile {
            path: run.path().join(RUN_FILE),
            found: run.crc32c(),
            committed,
            number,
        }),
        _ => Ok(()),
    }
}

/// How far records were read.
struct Reading {
    /// The number that is due.
    next: u64,
    /// The checksum of the record before that, if it was read and is known.
    previous: Option<Crc32c>,
    /// The first number that is missing.
    hole: Option<u64>,
}

impl Reading {
    /// Reads a segment; `false` if it is gone.
    fn read(
        &mut self,
        log: &Log,
        segment: Segment,
        path: &Path,
        visit: &mut dyn FnMut(CommitRecord, Option<Crc32c>),
    ) -> Result<bool, ReadCommitsError> {
        let bytes = match log.store.read_log(&segment.file_name()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => {
                let path = path.to_owned();
                return Err(ReadCommitsError::Io { path, source });
            }
            Ok(bytes) => bytes,
        };
        let mut promised = segment.first;
        let mut wrong = Ok(());
        let mut take = |record: CommitRecord, crc32c: Option<Crc32c>| {
            if wrong.is_ok() {
                wrong = is_promised(log, &record, promised, segment.last, path)
                    .and_then(|()| self.take(record, crc32c, path, visit));
                promised += 1;
            }
        };
        if segment.is_rollup {
            rollup::decode(bytes, &mut take).map_err(|source| ReadCommitsError::BadRollup {
                path: path.to_owned(),
                source,
            })?;
        } else {
            let decoded = CommitRecord::decode_with_checksum(&bytes);
            let (record, crc32c) = decoded.map_err(|source| ReadCommitsError::BadRecord {
                path: path.to_owned(),
                source,
            })?;
            drop(bytes);
            take(record, Some(crc32c));
        }
        wrong?;
        if promised <= segment.last {
            return Err(ReadCommitsError::TooFew {
                path: path.to_owned(),
                missing: promised,
            });
        }
        Ok(true)
    }

    /// Takes a record if it is due. Roll-ups of two writers may overlap; what both say is the same.
    fn take(
        &mut self,
        record: CommitRecord,
        crc32c: Option<Crc32c>,
        path: &Path,
        visit: &mut dyn FnMut(CommitRecord, Option<Crc32c>),
    ) -> Result<(), ReadCommitsError> {
        if record.number > self.next {
            self.hole.get_or_insert(self.next);
        }
        if record.number != self.next {
            return Ok(());
        }
        if let (Some(expected), Some(found)) = (record.previous_crc32c, self.previous)
            && expected != found
        {
            return Err(ReadCommitsError::BrokenChain {
                path: path.to_owned(),
                number: record.number,
                expected,
                found,
            });
        }
        self.next += 1;
        self.previous = crc32c;
        visit(record, crc32c);
        Ok(())
    }
}

/// Whether a record is the one that the file's name promises next, and of the run.
fn is_promised(
    log: &Log,
    record: &CommitRecord,
    promised: u64,
    last: u64,
    path: &Path,
) -> Result<(), ReadCommitsError> {
    if record.number != promised || promised > last {
        return Err(ReadCommitsError::OtherNumbers {
            path: path.to_owned(),
            expected: promised.min(last),
            found: record.number,
        });
    }
    match (&record.run_id, &log.run_id) {
        (Some(found), Some(expected)) if found != expected => Err(ReadCommitsError::Foreign {
            path: path.to_owned(),
            number: record.number,
            found: found.clone(),
            expected: expected.clone(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;

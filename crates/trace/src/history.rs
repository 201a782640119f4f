//! The run's history, the record of its commits: the names in `commits/`, and what reading it takes
//! while writers go on.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::commit::{CommitRecord, DecodeCommitError};
use crate::rollup::{self, ReadRollupError};

/// How often `commits/` is listed again because what was listed was rolled up meanwhile.
pub(crate) const MAX_LISTINGS: usize = 16;

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
        self.last - self.first + 1
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

    fn parse(name: &str) -> Option<Self> {
        let segment = if let Some(number) = name.strip_suffix(".json") {
            Self::record(number.parse().ok()?)
        } else {
            let range = name.strip_prefix("checkpoint-")?.strip_suffix(".parquet")?;
            let (first, last) = range.split_once('-')?;
            Self::rollup(first.parse().ok()?, last.parse().ok()?)
        };
        (segment.first <= segment.last && segment.file_name() == name).then_some(segment)
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
    pub(crate) fn next_number(&self) -> u64 {
        self.live.iter().map(|s| s.last + 1).max().unwrap_or(0)
    }
}

/// Lists a directory of commits; one that does not exist is empty.
pub(crate) fn list(dir: &Path) -> io::Result<Listing> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
        entries => entries?,
    };
    let mut segments = BTreeSet::new();
    for entry in entries {
        if let Some(segment) = entry?.file_name().to_str().and_then(Segment::parse) {
            segments.insert(segment);
        }
    }
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

/// Reads every record once, in order, and gives it to `visit`.
///
/// A record that vanishes between the listing and the reading was rolled up: the directory is
/// then listed again and `restart` is called before the first record is given anew. So it is where
/// a number is missing, since a listing that is taken during a roll-up may have neither the records
/// nor their roll-up: a hole that is there twice is one.
///
/// # Errors
/// If anything that is committed cannot be read or trusted.
pub(crate) fn visit_commits<V>(
    dir: &Path,
    mut restart: impl FnMut() -> V,
    mut visit: impl FnMut(&mut V, CommitRecord),
) -> Result<V, ReadCommitsError> {
    let mut with_hole = None;
    for _ in 0..MAX_LISTINGS {
        let listing = list(dir).map_err(|source| ReadCommitsError::Io {
            path: dir.to_owned(),
            source,
        })?;
        let mut visitor = restart();
        let visited = visit_segments(dir, &listing.live, 0, &mut |record| {
            visit(&mut visitor, record)
        });
        match visited {
            Ok(true) => return Ok(visitor),
            Ok(false) => {}
            Err(ReadCommitsError::Missing { .. }) if with_hole.as_ref() != Some(&listing.live) => {
                with_hole = Some(listing.live);
            }
            Err(error) => return Err(error),
        }
    }
    Err(ReadCommitsError::KeptChanging {
        dir: dir.to_owned(),
    })
}

/// Reads the segments' records from number `first` on, each once and in order; `false` if a
/// segment is gone.
pub(crate) fn visit_segments(
    dir: &Path,
    segments: &[Segment],
    first: u64,
    visit: &mut dyn FnMut(CommitRecord),
) -> Result<bool, ReadCommitsError> {
    let mut next = first;
    let mut hole = None;
    for segment in segments {
        let path = dir.join(segment.file_name());
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(ReadCommitsError::Io { path, source }),
            Ok(bytes) => bytes,
        };
        // Roll-ups of two writers may overlap; what both say is the same.
        let mut in_order = |record: CommitRecord| {
            if record.number > next {
                hole.get_or_insert(next);
            } else if record.number == next {
                next += 1;
                visit(record);
            }
        };
        if segment.is_rollup {
            rollup::decode(bytes, &mut in_order)
                .map_err(|source| ReadCommitsError::BadRollup { path, source })?;
        } else {
            let record = CommitRecord::decode(&bytes)
                .map_err(|source| ReadCommitsError::BadRecord { path, source })?;
            drop(bytes);
            in_order(record);
        }
    }
    match hole {
        Some(number) => Err(ReadCommitsError::Missing {
            dir: dir.to_owned(),
            number,
        }),
        None => Ok(true),
    }
}

#[cfg(test)]
mod tests;

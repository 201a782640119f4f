//! Why a publish failed, and what became of what it was about.

use std::io;
use std::path::{Path, PathBuf};

use super::MAX_CONFLICTS;
use crate::commit::CommitRecord;
use crate::history::ReadCommitsError;
use crate::place::RunPathError;
use crate::store::{BeginError, StoreError};

/// Why a publish failed, by what that means for its group. What was committed before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Nothing of the group is part of the run.
    #[error(transparent)]
    NotCommitted(#[from] PublishStepError),
    /// The group's record may be part of the run, and then all of it is: its name may not be durable, or
    /// it could not be told whether the name is the group's.
    #[error(
        "whether commit {number} is part of the run is in doubt, as a whole or not at all: `sink verify` \
         tells what is"
    )]
    InDoubt {
        /// The number that the record was linked to.
        number: u64,
        /// What failed.
        source: PublishStepError,
    },
    /// The group is committed. Files that it retires, or their names, may be there still; readers of the
    /// commits pass over them, and who resumes the run removes them.
    #[error("commit {} is part of the run, but what it retires is not certain to be gone", record.number)]
    NotCleanedUp {
        /// What was committed.
        record: Box<CommitRecord>,
        /// What failed.
        source: PublishStepError,
    },
}

/// The step of a publish that failed.
#[derive(Debug, thiserror::Error)]
pub enum PublishStepError {
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
    /// What is to be retired is no file of a table.
    #[error("cannot retire what is no file of the run")]
    Retired(#[from] RunPathError),
    /// There is nothing that says which of the run's files belong to it.
    #[error(
        "{} {}, and there are files, as {example}: nobody can tell what belongs to the run, so nothing is recorded \
         into it; bring its commits back, have `sink repair` make some of what is whole, or name another directory",
        path.display(),
        if path.is_dir() { "has no commits" } else { "is missing" }
    )]
    NoCommits {
        /// Where the commits should be.
        path: PathBuf,
        /// A file of a table, below the run's directory.
        example: String,
    },
    /// There may be records that nobody reads: what they name would be cleared away.
    #[error(
        "{} is not called as records are, and may be one: nothing is recorded into the run until `sink repair` has \
         read it, or it is moved away",
        path.display()
    )]
    StrayCommits {
        /// The file.
        path: PathBuf,
    },
    /// Other writers took every number that was tried.
    #[error("other writers took {MAX_CONFLICTS} commit numbers in a row in {}", dir.display())]
    Contended {
        /// The directory of the commits.
        dir: PathBuf,
    },
}

impl From<StoreError> for PublishStepError {
    fn from(error: StoreError) -> Self {
        let StoreError {
            operation,
            path,
            source,
        } = error;
        Self::Io {
            operation,
            path,
            source,
        }
    }
}

impl From<BeginError> for PublishStepError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::NoLog { path, example } => Self::NoCommits { path, example },
            BeginError::Store(error) => error.into(),
        }
    }
}

pub(super) fn io_error(
    operation: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> PublishStepError {
    move |source| PublishStepError::Io {
        operation,
        path: path.to_owned(),
        source,
    }
}

//! The files of a run as its directories show them, whatever the commits say.

use std::path::{Path, PathBuf};

use trace::{Creation, Links, ListFilesError, RunDir, visit_files};

/// Why the files of a run cannot be told from what is left over beside them.
#[derive(Debug, thiserror::Error)]
pub enum RunFilesError {
    /// A directory cannot be listed.
    #[error(transparent)]
    List(#[from] ListFilesError),
    /// There are files, but nothing that says which of them belong to the run.
    #[error(
        "{} {}, and there are files, as {example}: nobody can tell what belongs to the \
         run and whether it is whole; `sink repair` makes commits of what is whole",
        path.display(),
        if path.is_dir() { "has no commits" } else { "is missing" }
    )]
    NoCommits {
        /// Where the commits should be.
        path: PathBuf,
        /// A file of a table, below the run's directory.
        example: String,
    },
}

/// Makes sure that a run in which there is something has commits; whether it has a directory for them.
/// Of one without, in which there is nothing, the creation was interrupted.
pub(crate) fn require_commits(run: &RunDir) -> Result<bool, RunFilesError> {
    match run.creation()? {
        Creation::Complete => Ok(true),
        Creation::Interrupted => Ok(false),
        Creation::CommitsLost { example } => Err(RunFilesError::NoCommits {
            path: run.commits_dir(),
            example,
        }),
    }
}

/// Calls `visit` with the path below `base` and the size of every file below `base/dir`.
pub(crate) fn walk(
    base: &Path,
    dir: &Path,
    visit: &mut dyn FnMut(String, u64),
) -> Result<(), ListFilesError> {
    visit_files(base, dir, Links::Keep, &mut |path, bytes| {
        visit(path.to_string_lossy().into_owned(), bytes);
    })
}

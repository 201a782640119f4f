//! Repairing a damaged run: what is whole is put under a history that can be trusted again, and what is
//! not is moved aside.
//!
//! Nothing is deleted. The old `commits/` and `run.json`, and part files that are no part of the run any
//! more, go to `damaged/<n>/`, with a report that says why. The new history is written there first, and
//! takes the place of the old one at once. So a repair may be interrupted at any moment: the next one
//! finds a run that is damaged as it was, or repaired. Until then nothing is gone from its place.
//!
//! What is believed: a record by its checksum, a file by that of its record or by those of its own columns,
//! a byte that changed by the checksum that tells which it was. A capture is whole or it is taken out.

mod apply;
mod damaged;
mod locks;
mod named;
mod one_byte;
mod orphans;
mod parts;
mod plan;
mod run_file;
mod survey;
mod switch;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use apply::REPAIR_REPORT_FILE;
pub(crate) use locks::lock_all;
pub(crate) use parts::{Refusal, sums};
pub(crate) use run_file::refuse_newer;
pub(crate) use switch::{UPGRADE_DIR, rechain, switch, write_log};

use crate::disk::{Disk, LocalDisk};
use crate::history::ReadCommitsError;
use crate::holders::Holders;
use crate::publish::MAX_ROLLUP_RECORD_BYTES;
use crate::run::{FORMAT_VERSION, FormatVersion, OpenRunError};
use crate::walk::ListFilesError;

/// Name of the directory, in the run's, to which a repair moves what is damaged.
pub const DAMAGED_DIR: &str = "damaged";

/// What is to be done about a directory of the run that would be replaced, and is a link.
pub(crate) const LINKED_DIR: &str =
    "is a link: put the directory that it leads to in its place first";

/// How a run is repaired.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepairOptions {
    /// Nothing is changed: the report says what would be done.
    pub dry_run: bool,
    /// Files that no record names are believed even if they have no checksums of their own, as those of
    /// format 1.4 and before.
    pub unchecked: bool,
}

/// What a repair did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// What was done, in order, each as what one is told to do: "write commits/ anew". Empty where there was
    /// nothing to repair.
    pub actions: Vec<String>,
    /// Part files that were moved aside, and why.
    pub moved: Vec<MovedFile>,
    /// What is lost, a sentence each.
    pub lost: Vec<String>,
    /// Where everything that was moved is.
    pub moved_to: Option<PathBuf>,
    /// Files that no record names, and no repair is about: as a recorder leaves them that is killed.
    pub num_leftovers: usize,
}

/// A file that is no part of the run any more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MovedFile {
    /// Path below the run's directory, where it was.
    pub path: String,
    /// Why it was moved.
    pub reason: String,
}

/// Why a run could not be repaired, or upgraded. What was done so far does no harm: the same again goes on.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// There is no run.
    #[error(transparent)]
    Open(#[from] OpenRunError),
    /// Somebody writes to the run.
    #[error(
        "{} is held by another process that writes to the run{holders}: end it first",
        path.display()
    )]
    Held {
        /// The lock.
        path: PathBuf,
        /// Which process that is, or those that it forked.
        holders: Holders,
    },
    /// A later version of Stratigraph wrote the run.
    #[error(
        "{} has trace format {found}, this version writes {FORMAT_VERSION}: use a newer Stratigraph",
        path.display()
    )]
    NewerFormat {
        /// The run.
        path: PathBuf,
        /// Its version.
        found: FormatVersion,
    },
    /// `run.json` is lost, and nothing says what was in it.
    #[error("nothing in {} says what its run.json was ({why}): bring a copy of it back", path.display())]
    NoRunFile {
        /// The run.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// Files that no record names have nothing by which they could be told whole, as those of format 1.4 and before.
    #[error(
        "{num_files} {} no record names, as {example}, and {} no checksums: --unchecked believes that they are \
         whole; else move them out of the run first. Nothing was changed",
        if *num_files == 1 { "file is there that" } else { "files are there that" },
        if *num_files == 1 { "it has" } else { "they have" }
    )]
    Unchecked {
        /// How many.
        num_files: usize,
        /// One of them, below the run's directory.
        example: String,
    },
    /// The names of files tell of more sessions than a run has.
    #[error(
        "by the names of the run's files {num_missing} sessions are lost, and no run has so many: move files that say \
         so (-g<number> in their names) out of the run first. Nothing was changed"
    )]
    TooManySessions {
        /// How many.
        num_missing: usize,
    },
    /// Something cannot be moved aside from where it is.
    #[error("{} {why}. Nothing was changed", path.display())]
    Immovable {
        /// What it is.
        path: PathBuf,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// The file system takes parts of the run for parts of different ones.
    #[error(
        "{} cannot be kept in {}: a mount or a quota parts the two. Copy the run as a whole (cp -rL), and repair the \
         copy. Nothing has gone from its place, and what is in {} can be removed",
        path.display(), damaged.display(), damaged.display()
    )]
    Elsewhere {
        /// What it is.
        path: PathBuf,
        /// Where it was to be kept.
        damaged: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The commits cannot be read.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// A directory cannot be listed.
    #[error(transparent)]
    List(#[from] ListFilesError),
    /// Something is damaged that has to be whole.
    #[error("{path} {problem}: `sink repair` the run first")]
    Damaged {
        /// The file, below the run's directory.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
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
}

impl RepairError {
    /// The error for something that cannot be read just now; none where that is damage: a sector that is gone.
    fn if_no_damage(path: &Path, error: &io::Error) -> Option<Self> {
        let code = error.raw_os_error();
        let is_damage = code == Some(rustix::io::Errno::IO.raw_os_error());
        (!is_damage).then(|| Self::Io {
            operation: "read",
            path: path.to_owned(),
            // What was asked goes on with this error in words.
            source: code.map_or_else(
                || io::Error::other(error.to_string()),
                io::Error::from_raw_os_error,
            ),
        })
    }

    /// This error where nothing has gone from its place yet: a file that can have no second name in `damaged` has a
    /// reason that can be told.
    fn if_elsewhere(self, damaged: &Path) -> Self {
        match self {
            Self::Io { path, source, .. } if source.kind() == io::ErrorKind::CrossesDevices => {
                Self::Elsewhere {
                    path,
                    damaged: damaged.to_owned(),
                    source,
                }
            }
            other => other,
        }
    }

    pub(crate) fn immovable(path: &Path, why: &'static str) -> Self {
        let path = path.to_owned();
        Self::Immovable { path, why }
    }

    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

/// Repairs the run at `path`, or says what it would do. Reads every byte of the run, and holds the locks of
/// all that write to it.
///
/// # Errors
/// If somebody writes to the run, nothing says what it is, or the file system refuses.
pub fn repair(path: &Path, options: RepairOptions) -> Result<RepairReport, RepairError> {
    repair_on(&(Arc::new(LocalDisk) as Arc<dyn Disk>), path, options)
}

/// As [`repair`], on a disk of one's own.
///
/// # Errors
/// As [`repair`].
pub fn repair_on(
    disk: &Arc<dyn Disk>,
    path: &Path,
    options: RepairOptions,
) -> Result<RepairReport, RepairError> {
    let locks = lock_all(path, options.dry_run)?;
    let plan = plan::plan(disk, path, options.unchecked)?;
    let mut report = plan.report();
    if report.actions.is_empty() {
        return Ok(report);
    }
    apply::check_movable(path, &plan)?;
    let damaged = damaged::next_damaged(path)?;
    if !options.dry_run {
        apply::apply(&**disk, path, &damaged, plan, locks)?;
    }
    report.moved_to = Some(damaged);
    Ok(report)
}

impl fmt::Display for MovedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

/// The most that one roll-up of a new history holds, as in any other.
const MAX_LOG_BYTES: u64 = MAX_ROLLUP_RECORD_BYTES;

#[cfg(test)]
pub(crate) mod tests;

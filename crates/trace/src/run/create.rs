//! How a run comes to be: `commits/` first, `run.json` last and at once, so that whatever has a
//! `run.json` can be recorded into, and whatever a crash left before it can be begun again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{COMMITS_DIR, RUN_FILE, RunDir, RunInfo};
use crate::checksum::Crc32c;
use crate::disk::{Disk, LocalDisk, Subject, retried};
use crate::durable;
use crate::id::Nonce;
use crate::number::{self, MAX_WORLD_SIZE};
use crate::room::with_room;
use crate::table::Table;
use crate::walk::{Links, ListFilesError, visit_files};

/// Why a run could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateRunError {
    /// There is something already.
    #[error("{} exists and is not empty: nothing is ever overwritten, name another directory", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
    },
    /// Nobody reads a run of so many processes.
    #[error("a run is recorded by 1 to {MAX_WORLD_SIZE} processes, not by {world_size}")]
    WorldSize {
        /// How many there were to be.
        world_size: u32,
    },
    /// The file system refused.
    #[error("cannot create the run {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// How far the creation of a run has come, told by what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Creation {
    /// It has a directory of commits.
    Complete,
    /// It has none, and no file of a table either: its creation was interrupted (earlier versions
    /// made `commits/` last), and it can be recorded into.
    Interrupted,
    /// It has none, but files: its commits were lost, as where it was copied without them.
    CommitsLost {
        /// A file of a table, below the run's directory.
        example: String,
    },
}

impl RunDir {
    /// Creates a run, with its directory and the ones above it, durably. What an interrupted creation
    /// left in the directory is taken over.
    ///
    /// # Errors
    /// If there is anything else in the directory, or the file system refuses.
    pub fn create(path: &Path, info: RunInfo) -> Result<Self, CreateRunError> {
        Self::create_on(Arc::new(LocalDisk), path, info)
    }

    /// As [`RunDir::create`], on a disk of one's own, as [`RunDir::open_on`].
    ///
    /// # Errors
    /// As [`RunDir::create`].
    pub fn create_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        info: RunInfo,
    ) -> Result<Self, CreateRunError> {
        let io_error = |path: &Path, source| CreateRunError::Io {
            path: path.to_owned(),
            source: with_room(source, path, None),
        };
        let world_size = info.world_size;
        if !number::is_world_size(world_size) {
            return Err(CreateRunError::WorldSize { world_size });
        }
        let not_empty = || CreateRunError::NotEmpty {
            path: path.to_owned(),
        };
        let mut made = Vec::new();
        durable::create_missing_dirs(&*disk, Subject::Run, path, &mut made).map_err(|e| {
            if path.exists() && !path.is_dir() {
                not_empty()
            } else {
                io_error(path, e)
            }
        })?;
        let left = leftovers(&*disk, path).map_err(|e| io_error(path, e))?;
        if left.is_none() {
            return Err(not_empty());
        }
        sync_names_above(&*disk, path, &made).map_err(|(above, e)| io_error(&above, e))?;
        let commits = path.join(COMMITS_DIR);
        durable::create_dir_all(&*disk, Subject::Commits, &commits)
            .map_err(|e| io_error(&commits, e))?;

        let mut json = serde_json::to_vec_pretty(&info).expect("all keys are text");
        json.push(b'\n');
        let file = path.join(RUN_FILE);
        let staged = path.join(format!(".{RUN_FILE}.{}", info.run_id));
        match durable::link_once(&*disk, Subject::RunFile, &staged, &file, &json) {
            Ok(()) => {}
            // Somebody else was quicker, and may have removed what was staged here.
            Err(e)
                if e.kind() == io::ErrorKind::AlreadyExists
                    || (e.kind() == io::ErrorKind::NotFound && file.exists()) =>
            {
                return Err(not_empty());
            }
            Err(e) => return Err(io_error(&file, e)),
        }
        if let Err(e) = durable::sync_directory(&*disk, Subject::RunFile, path) {
            // Nobody has been told of the run, and it can be created anew.
            durable::remove_if_there(&*disk, Subject::RunFile, &file);
            return Err(io_error(path, e));
        }
        remove_staged(&*disk, path);
        Ok(Self {
            path: path.to_owned(),
            info: Arc::new(info),
            crc32c: Crc32c::of(&json),
            disk,
            text: super::kept_text(&json),
        })
    }

    /// Whether there is a directory at `path` in which nothing was recorded and no run begun: it is
    /// empty, or has only what an interrupted creation left. [`RunDir::create`] takes it over.
    pub fn is_unborn(path: &Path) -> bool {
        is_unborn_on(&LocalDisk, path)
    }

    /// How far the run's creation has come.
    ///
    /// # Errors
    /// If a table's directory cannot be listed.
    pub fn creation(&self) -> Result<Creation, ListFilesError> {
        if self.commits_dir().is_dir() {
            return Ok(Creation::Complete);
        }
        let mut example = None;
        for table in Table::ALL {
            let dir = Path::new(table.name());
            visit_files(&self.path, dir, Links::Keep, &mut |path, _| {
                example.get_or_insert_with(|| path.to_string_lossy().into_owned());
            })?;
        }
        Ok(match example {
            None => Creation::Interrupted,
            Some(example) => Creation::CommitsLost { example },
        })
    }
}

/// Makes the names of a directory and of those above it durable: who made one of them may have died, or
/// failed, before that. In the directories of `made` are names of this creation's.
fn sync_names_above(
    disk: &dyn Disk,
    path: &Path,
    made: &[PathBuf],
) -> Result<(), (PathBuf, io::Error)> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    let mut above = durable::directory_above(path);
    loop {
        match durable::sync_directory(disk, Subject::Run, &above) {
            // Who may not read a directory, as that of all homes, has made nothing in it, and some cannot be
            // synced.
            Err(e)
                if !made.contains(&above)
                    && matches!(
                        e.kind(),
                        PermissionDenied | InvalidInput | Unsupported | ReadOnlyFilesystem
                    ) => {}
            result => result.map_err(|e| (above.clone(), e))?,
        }
        let next = durable::directory_above(&above);
        if above.parent().is_none() || next == above {
            return Ok(());
        }
        above = next;
    }
}

/// What an interrupted creation left in a directory: files `.run.json.<nonce>`, and an empty
/// `commits/`, which is not among them. None if there is anything else.
fn leftovers(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let list = |path: &Path| retried(|| disk.list(Subject::Run, path));
    let mut staged = Vec::new();
    for entry in list(path)? {
        let is_commits = entry.name == COMMITS_DIR;
        let path = path.join(entry.name);
        if is_commits && path.is_dir() && list(&path)?.is_empty() {
            continue;
        }
        if !is_staged(&path) {
            return Ok(None);
        }
        staged.push(path);
    }
    Ok(Some(staged))
}

/// Whether an interrupted creation left something in a directory, and there is nothing else.
pub(super) fn has_leftovers(disk: &dyn Disk, path: &Path) -> bool {
    let entries = retried(|| disk.list(Subject::Run, path));
    is_unborn_on(disk, path) && !entries.is_ok_and(|entries| entries.is_empty())
}

fn is_unborn_on(disk: &dyn Disk, path: &Path) -> bool {
    matches!(leftovers(disk, path), Ok(Some(_)))
}

/// Removes what interrupted creations staged beside the `run.json` that is there.
pub(crate) fn remove_staged(disk: &dyn Disk, path: &Path) {
    let entries = retried(|| disk.list(Subject::Run, path));
    for entry in entries.into_iter().flatten() {
        let path = path.join(entry.name);
        if is_staged(&path) {
            durable::remove_if_there(disk, Subject::RunFile, &path);
        }
    }
}

/// Whether a path is that of a `run.json` before it has its name.
fn is_staged(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let nonce = name.and_then(|name| name.strip_prefix('.')?.strip_prefix(RUN_FILE));
    nonce.is_some_and(|nonce| {
        let nonce = nonce.strip_prefix('.').unwrap_or_default();
        nonce.parse::<Nonce>().is_ok() && path.is_file()
    })
}

#[cfg(test)]
mod tests;

//! How a run comes to be: `commits/` first, `run.json` last and at once, so that whatever has a
//! `run.json` can be recorded into, and whatever a crash left before it can be begun again.

use std::io;
use std::path::{Path, PathBuf};

use super::super::{Creation, NewRunError, StoreError};
use crate::disk::{Disk, Subject, retried};
use crate::durable;
use crate::id::Nonce;
use crate::place::{COMMITS_DIR, RUN_FILE};
use crate::room::with_room;
use crate::table::Table;
use crate::walk::{Links, ListFilesError, visit_files};

/// Creates a run, with its directory and the ones above it, durably. What an interrupted creation
/// left in the directory is taken over.
pub(super) fn create(
    disk: &dyn Disk,
    path: &Path,
    run_id: &Nonce,
    json: &[u8],
) -> Result<(), NewRunError> {
    let io_error = |path: &Path, source| {
        let source = with_room(source, path, None);
        NewRunError::from(StoreError::of("create", path)(source))
    };
    let mut made = Vec::new();
    durable::create_missing_dirs(disk, Subject::Run, path, &mut made).map_err(|e| {
        if path.exists() && !path.is_dir() {
            NewRunError::Taken
        } else {
            io_error(path, e)
        }
    })?;
    let left = leftovers(disk, path).map_err(|e| io_error(path, e))?;
    if left.is_none() {
        return Err(NewRunError::Taken);
    }
    sync_names_above(disk, path, &made).map_err(|(above, e)| io_error(&above, e))?;
    let commits = path.join(COMMITS_DIR);
    durable::create_dir_all(disk, Subject::Commits, &commits).map_err(|e| io_error(&commits, e))?;

    let file = path.join(RUN_FILE);
    let staged = path.join(format!(".{RUN_FILE}.{run_id}"));
    match durable::link_once(disk, Subject::RunFile, &staged, &file, json) {
        Ok(()) => {}
        // Somebody else was quicker, and may have removed what was staged here.
        Err(e)
            if e.kind() == io::ErrorKind::AlreadyExists
                || (e.kind() == io::ErrorKind::NotFound && file.exists()) =>
        {
            return Err(NewRunError::Taken);
        }
        Err(e) => return Err(io_error(&file, e)),
    }
    if let Err(e) = durable::sync_directory(disk, Subject::RunFile, path) {
        // Nobody has been told of the run, and it can be created anew.
        durable::remove_if_there(disk, Subject::RunFile, &file);
        return Err(io_error(path, e));
    }
    remove_staged(disk, path);
    Ok(())
}

/// How far the creation of the run at `root` has come.
pub(super) fn creation(root: &Path) -> Result<Creation, ListFilesError> {
    if root.join(COMMITS_DIR).is_dir() {
        return Ok(Creation::Complete);
    }
    let mut example = None;
    for table in Table::ALL {
        let dir = Path::new(table.name());
        visit_files(root, dir, Links::Keep, &mut |path, _| {
            example.get_or_insert_with(|| path.to_string_lossy().into_owned());
        })?;
    }
    Ok(match example {
        None => Creation::Interrupted,
        Some(example) => Creation::CommitsLost { example },
    })
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
    is_unborn(disk, path) && !entries.is_ok_and(|entries| entries.is_empty())
}

pub(super) fn is_unborn(disk: &dyn Disk, path: &Path) -> bool {
    matches!(leftovers(disk, path), Ok(Some(_)))
}

/// Removes what interrupted creations staged beside the `run.json` that is there.
pub(super) fn remove_staged(disk: &dyn Disk, path: &Path) {
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

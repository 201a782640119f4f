//! Files that no longer belong to the run: they go once the record that retires them is durable.

use std::io;
use std::path::{Path, PathBuf};

use super::super::StoreError;
use super::LocalWriter;
use super::staging;
use crate::disk::{Disk, Subject, retried};
use crate::id::{Nonce, Rank};
use crate::part::PartPath;
use crate::table::Table;

impl LocalWriter {
    /// Removes files with the directories that are empty then, and
    /// returns once their names are gone for good: whoever reads the tables' directories must not
    /// see them beside what is published next. Where a link leads out of the run nothing is removed, since it is
    /// not the run's.
    pub(super) fn remove_retired(&self, retired: &[&str]) -> Result<(), StoreError> {
        if retired.is_empty() {
            return Ok(());
        }
        let (root, disk) = (&self.store.path, &*self.store.disk);
        let (mut touched, mut removed) = (Vec::new(), Ok(()));
        for path in retired {
            let path = root.join(path);
            if let Err(error) = check_within(root, &path) {
                removed = removed.and(Err(StoreError::of("remove", &path)(error)));
                continue;
            }
            if let Err(error) = disk.remove_file(Subject::Retired, &path)
                && error.kind() != io::ErrorKind::NotFound
            {
                removed = removed.and(Err(StoreError::of("remove", &path)(error)));
            }
            touched.extend(remove_empty_dirs(disk, root, &path));
        }
        touched.sort_unstable();
        touched.dedup();
        // Another rank may have removed one of them meanwhile, and then makes that durable.
        touched.retain(|dir| dir.exists());
        let is_durable = match self.barrier(Subject::Retired, true, &touched) {
            Err(error) if error.source.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        removed.and(is_durable)
    }
}

/// As [`StoreWriter::unclaimed`](super::StoreWriter::unclaimed), of the run at `root`.
pub(super) fn unclaimed(
    disk: &dyn Disk,
    root: &Path,
    rank: Rank,
) -> Result<Vec<String>, StoreError> {
    for table in Table::ALL {
        let dir = root.join(table.name());
        if dir.is_symlink() {
            tracing::warn!(path = %dir.display(), "left as it is: it is a link");
        }
    }
    let mut found = parts(disk, root)?;
    found.retain(|(_, part)| part.rank == rank);
    // A derived table may be published meanwhile. Its writer stages under the nonce of its files
    // until they are committed, so that is looked for before the commits are.
    let staging = staging::above(root);
    let is_in_hand = |nonce: &Nonce| staging.join(nonce.as_str()).exists();
    found.retain(|(_, part)| !part.nonce.as_ref().is_some_and(is_in_hand));
    Ok(found.into_iter().map(|(path, _)| path).collect())
}

/// All part files of the run at `root`, by their paths below it. A table's directory that is a link is none of the
/// run's.
pub(super) fn parts(disk: &dyn Disk, root: &Path) -> Result<Vec<(String, PartPath)>, StoreError> {
    let mut found = Vec::new();
    for table in Table::ALL {
        let dir = root.join(table.name());
        if !dir.is_symlink() {
            let listed = list_parts(disk, root, &dir, &mut found);
            listed.map_err(StoreError::of("list", &dir))?;
        }
    }
    Ok(found)
}

/// Checks that a file of the run lies in it, whatever links lead to its directory.
fn check_within(root: &Path, file: &Path) -> io::Result<()> {
    let dir = file.parent().unwrap_or(root);
    let dir = match dir.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        dir => dir?,
    };
    match dir.starts_with(root.canonicalize()?) {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "a link leads to {}, which is outside of the run: put the files into the run, or record into \
             a new directory",
            dir.display()
        ))),
    }
}

/// Finds every part file below `dir`, by its path below the run's directory. Links are none of the run's directories.
fn list_parts(
    disk: &dyn Disk,
    root: &Path,
    dir: &Path,
    found: &mut Vec<(String, PartPath)>,
) -> io::Result<()> {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let entries = match retried(|| disk.list(Subject::Retired, dir)) {
        Err(error) if is_gone(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = dir.join(entry.name);
        if entry.is_dir {
            list_parts(disk, root, &path, found)?;
            continue;
        }
        let below = path.strip_prefix(root).expect("listed below the run");
        let segments: Option<Vec<&str>> = below.iter().map(|s| s.to_str()).collect();
        let Some(below) = segments.map(|s| s.join("/")) else {
            continue;
        };
        if let Ok(part) = below.parse::<PartPath>() {
            found.push((below, part));
        }
    }
    Ok(())
}

/// Removes the directories above a file that was removed, as far as they are empty, up to the
/// run's; gives the first that stays.
fn remove_empty_dirs(disk: &dyn Disk, root: &Path, file: &Path) -> Option<PathBuf> {
    file.ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(root))
        .find(|dir| *dir == root || disk.remove_dir(Subject::Retired, dir).is_err())
        .map(Path::to_owned)
}

//! Files that no longer belong to the run: they go once the record that retires them is durable.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{PublishError, PublishStepError, Publisher, io_error};
use crate::catalog::Catalog;
use crate::disk::{Disk, Subject, retried};
use crate::id::{Nonce, Rank};
use crate::part::PartPath;
use crate::run::{self, RunDir};
use crate::staging;
use crate::table::Table;

impl Publisher {
    /// Removes files that a durable record retires, with the directories that are empty then, and
    /// returns once their names are gone for good: whoever reads the tables' directories must not
    /// see them beside what is published next.
    ///
    /// A file that cannot be removed is no part of the run all the same, and the others are removed. Where a
    /// link leads out of the run nothing is removed, since it is not the run's.
    ///
    /// # Errors
    /// If a file cannot be removed, or that it was is not certain to last.
    pub(super) fn remove_retired(
        &mut self,
        retired: &[impl AsRef<str>],
    ) -> Result<(), PublishStepError> {
        if retired.is_empty() {
            return Ok(());
        }
        let root = self.run.path().to_owned();
        let disk = Arc::clone(self.run.disk());
        let (mut touched, mut removed) = (Vec::new(), Ok(()));
        for path in retired {
            let path = root.join(path.as_ref());
            if let Err(error) = check_within(&root, &path) {
                removed = removed.and(Err(io_error("remove", &path)(error)));
                continue;
            }
            if let Err(error) = disk.remove_file(Subject::Retired, &path)
                && error.kind() != io::ErrorKind::NotFound
            {
                removed = removed.and(Err(io_error("remove", &path)(error)));
            }
            touched.extend(remove_empty_dirs(&*disk, &root, &path));
        }
        touched.sort_unstable();
        touched.dedup();
        // Another rank may have removed one of them meanwhile, and then makes that durable.
        touched.retain(|dir| dir.exists());
        let is_durable = match self.barrier(Subject::Retired, true, &touched) {
            Err(PublishStepError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            result => result,
        };
        removed.and(is_durable)
    }

    /// Removes what dead writers left: part files of this publisher's rank that no commit names or
    /// that one retires, and the staging directories of processes that are no more. Only who holds
    /// the rank's writer lock may call this, before its first part is published.
    ///
    /// # Errors
    /// If the commits or a directory cannot be read, or a file cannot be removed.
    pub fn clear_leftovers(&mut self) -> Result<(), PublishError> {
        run::remove_staged(&**self.run.disk(), self.run.path());
        staging::remove_abandoned(&self.run);
        let mut leftover = Vec::new();
        for table in Table::ALL {
            let dir = self.run.path().join(table.name());
            if dir.is_symlink() {
                tracing::warn!(path = %dir.display(), "left as it is: it is a link");
                continue;
            }
            list_parts(&self.run, &dir, self.rank, &mut |path, part| {
                leftover.push((path, part.nonce));
            })
            .map_err(io_error("list", &dir))?;
        }
        // A derived table may be published meanwhile. Its writer stages under the nonce of its files
        // until they are committed, so that is looked for before the commits are.
        let staging = self.run.staging_dir();
        let is_in_hand = |nonce: &Nonce| staging.join(nonce.as_str()).exists();
        leftover.retain(|(_, nonce)| !nonce.as_ref().is_some_and(is_in_hand));
        let catalog = Catalog::load_with_partial(&self.run).map_err(PublishStepError::from)?;
        let committed: std::collections::HashSet<&str> =
            catalog.files().map(|file| file.path).collect();
        let leftover = leftover.into_iter().map(|(path, _)| path);
        let leftover: Vec<String> = leftover
            .filter(|path| !committed.contains(path.as_str()))
            .collect();
        Ok(self.remove_retired(&leftover)?)
    }
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

/// Gives every part file of `rank` below `dir`, by its path below the run's directory. Links are none of the
/// run's directories.
fn list_parts(
    run: &RunDir,
    dir: &Path,
    rank: Rank,
    visit: &mut dyn FnMut(String, PartPath),
) -> io::Result<()> {
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let entries = match retried(|| run.disk().list(Subject::Retired, dir)) {
        Err(error) if is_gone(&error) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = dir.join(entry.name);
        if entry.is_dir {
            list_parts(run, &path, rank, visit)?;
            continue;
        }
        let below = path.strip_prefix(run.path()).expect("listed below the run");
        let segments: Option<Vec<&str>> = below.iter().map(|s| s.to_str()).collect();
        let Some(below) = segments.map(|s| s.join("/")) else {
            continue;
        };
        if let Ok(part) = below.parse::<PartPath>()
            && part.rank == rank
        {
            visit(below, part);
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

#[cfg(test)]
mod tests;

//! Files that no longer belong to the run: they go once the record that retires them is durable.

use std::collections::HashSet;

use super::{PublishError, PublishStepError, Publisher, io_error};
use crate::catalog::Catalog;
use crate::run::RunDir;

impl Publisher {
    /// Removes files that a durable record retires, and
    /// returns once their names are gone for good: whoever reads the tables' directories must not
    /// see them beside what is published next.
    ///
    /// A file that cannot be removed is no part of the run all the same, and the others are removed. Where a
    /// link leads out of the run nothing is removed, since it is not the run's.
    ///
    /// # Errors
    /// If a file cannot be removed, or that it was is not certain to last.
    pub(super) fn remove_retired(
        &self,
        retired: &[impl AsRef<str>],
    ) -> Result<(), PublishStepError> {
        if retired.is_empty() {
            return Ok(());
        }
        let paths: Vec<&str> = retired.iter().map(AsRef::as_ref).collect();
        Ok(self.staging.writer().retire(&paths)?)
    }

    /// Removes what dead writers left: part files of this publisher's rank that no commit names or
    /// that one retires, and what processes had begun to write that are no more. Only who holds
    /// the rank's writer lock may call this, before its first part is published.
    ///
    /// # Errors
    /// If the commits or a directory cannot be read, there may be records that nobody reads, or a file cannot be
    /// removed.
    pub fn clear_leftovers(&mut self) -> Result<(), PublishError> {
        refuse_strays(&self.run)?;
        let writer = self.staging.writer();
        writer.clear_abandoned();
        // Before the commits are read: a derived table may be published meanwhile.
        let unclaimed = writer.unclaimed(self.rank);
        let mut leftover = unclaimed.map_err(PublishStepError::from)?;
        let catalog = Catalog::load_with_partial(&self.run).map_err(PublishStepError::from)?;
        let committed: HashSet<&str> = catalog.files().map(|file| file.path).collect();
        leftover.retain(|path| !committed.contains(path.as_str()));
        Ok(self.remove_retired(&leftover)?)
    }
}

/// Refuses to write to a run that may have records which nobody reads, or to clear anything of it away.
pub(super) fn refuse_strays(run: &RunDir) -> Result<(), PublishStepError> {
    let strays = run.stray_commits();
    let strays = strays.map_err(|error| io_error("list", &error.path)(error.source))?;
    match strays.first() {
        None => Ok(()),
        Some(stray) => Err(PublishStepError::StrayCommits {
            path: run.path().join(stray),
        }),
    }
}

#[cfg(test)]
mod tests;

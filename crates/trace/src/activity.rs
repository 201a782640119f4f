//! Whether somebody records into a run, as readers tell it. They take no lock, which a recorder that
//! starts meanwhile would find held, and which not every file system gives to who may only read.

use std::time::{Duration, SystemTime};

use crate::catalog::{Catalog, Ending};
use crate::history::ReadCommitsError;
use crate::run::RunDir;
use crate::time;

/// A record is young for at least so long.
pub const MIN_YOUNG: Duration = Duration::from_secs(600);

/// A record is young for so many times the longest time between two records of a session.
pub const YOUNG_INTERVALS: u32 = 3;

/// What becomes of a run, as far as a reader can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Its newest session has ended: its last record says so, or nothing is staged any more.
    Ended,
    /// Its newest session has not ended, and its last record is young: it is being recorded, or was
    /// interrupted not long ago.
    Recording {
        /// How old the last record is; where there is none, the run.
        since_last: Duration,
    },
    /// Its newest session has not ended, and its last record is older than records of this run have become so
    /// far: it was interrupted, or is slow. Which of the two nobody can tell, as of a recorder whose second
    /// commit takes longer than [`MIN_YOUNG`].
    Silent {
        /// How old the last record is; where there is none, the run.
        since_last: Duration,
    },
}

impl Activity {
    /// Whether it is being recorded.
    pub fn is_being_recorded(self) -> bool {
        matches!(self, Activity::Recording { .. })
    }

    /// Whether more may come: it is being recorded, or by a recorder that is slow.
    pub fn may_go_on(self) -> bool {
        self != Activity::Ended
    }
}

impl RunDir {
    /// What becomes of the run just now.
    ///
    /// # Errors
    /// If its commits cannot be read or trusted.
    pub fn activity(&self) -> Result<Activity, ReadCommitsError> {
        // What has ended when it is looked for stays so, and then the last record is there as well.
        if has_nothing_staged(self) {
            return Ok(Activity::Ended);
        }
        let catalog = Catalog::load_with_partial(self)?;
        Ok(self.activity_at(&catalog, SystemTime::now()))
    }

    /// Whether a recorder writes into the run, as [`RunDir::activity`] tells; of one that cannot be read
    /// nobody can tell.
    pub fn is_being_recorded(&self) -> bool {
        self.activity().is_ok_and(Activity::is_being_recorded)
    }

    /// What becomes of a run in which something is staged, by its records.
    fn activity_at(&self, catalog: &Catalog, now: SystemTime) -> Activity {
        // What is staged is then somebody else's, as of a writer of derived tables that was killed. Records of
        // format 1.4 and before do not say how a session has ended.
        if catalog.ending(self.info().world_size) == Ending::Finished {
            return Activity::Ended;
        }
        let now_ms = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            });
        let last_ms = catalog.last_recorded_ms();
        let last_ms = last_ms.or_else(|| time::parse_ms(&self.info().created));
        // Of a clock that is ahead of ours a record is as young as can be.
        let since_last = now_ms.saturating_sub(last_ms.unwrap_or(i64::MIN)).max(0);
        let since_last = Duration::from_millis(since_last.unsigned_abs());
        let interval = catalog.longest_interval();
        let young = interval.saturating_mul(YOUNG_INTERVALS).max(MIN_YOUNG);
        match since_last <= young {
            true => Activity::Recording { since_last },
            false => Activity::Silent { since_last },
        }
    }
}

/// Whether nobody writes: who does stages in a directory below `.staging/`, and removes it at its end.
fn has_nothing_staged(run: &RunDir) -> bool {
    !run.staging_dir().exists()
}

#[cfg(test)]
mod tests;

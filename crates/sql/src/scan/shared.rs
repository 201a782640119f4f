//! Files that several scans of one plan want are decoded once.
//!
//! `epoch_average` reads the weights twice: for their rows, and for their mean. The scans run at
//! the same time, so whichever comes to a file first decodes the columns that any of them wants
//! and leaves them for the others, the last of which takes them away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::RecordBatch;
use datafusion::common::Result;

/// How many bytes of decoded rows wait for slower scans. Past that every scan decodes for itself.
pub const SHARED_BYTES: usize = 64 << 20;

/// What the scans of one table in one plan share.
#[derive(Debug)]
pub(super) struct SharedParts {
    /// The columns that any of them reads, ascending.
    columns: Vec<usize>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By a file's index in the snapshot: the scans that have not come to it yet. 0 where no other scan reads it,
    /// or each decodes for itself.
    num_left: Vec<u16>,
    /// Files that some scans have come to, and others have not.
    waiting: HashMap<u32, SharedFile>,
    /// What has been decoded and not yet taken by all.
    bytes: usize,
}

#[derive(Debug, Default)]
struct SharedFile {
    rows: Arc<SharedRows>,
    bytes: usize,
}

/// A file's rows, once whoever comes first has decoded them; none if that failed.
type SharedRows = OnceLock<Option<RecordBatch>>;

impl SharedParts {
    /// Shares these columns, ascending, of files that several scans read: how many each, by the files' indices in
    /// the snapshot.
    pub(super) fn new(columns: Vec<usize>, mut num_scans: Vec<u16>) -> Self {
        for num_scans in &mut num_scans {
            if *num_scans == 1 {
                *num_scans = 0;
            }
        }
        Self {
            columns,
            state: Mutex::new(State {
                num_left: num_scans,
                ..State::default()
            }),
        }
    }

    /// The columns that are decoded, ascending.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// A scan's share of a file. None if it has to decode the file for itself: no other scan reads
    /// it, or there is no more room for what waits.
    pub(super) fn take(&self, index: u32) -> Option<Share<'_>> {
        let mut state = self.state();
        let State {
            num_left,
            waiting,
            bytes,
        } = &mut *state;
        let num_left = num_left.get_mut(index as usize)?;
        if *num_left == 0 {
            return None;
        }
        let waits = waiting.get(&index).is_some_and(|file| file.bytes > 0);
        if *bytes >= SHARED_BYTES && !waits {
            *num_left = 0;
            waiting.remove(&index);
            return None;
        }
        *num_left -= 1;
        let rows = match *num_left {
            0 => {
                let file = waiting.remove(&index).unwrap_or_default();
                *bytes -= file.bytes;
                file.rows
            }
            _ => Arc::clone(&waiting.entry(index).or_default().rows),
        };
        Some(Share {
            parts: self,
            index,
            rows,
        })
    }

    /// Whether nothing waits for anybody.
    #[cfg(test)]
    pub(super) fn is_taken(&self) -> bool {
        let state = self.state();
        state.waiting.is_empty() && state.bytes == 0
    }

    /// Counts a file's rows, if they still wait for somebody.
    fn keep(&self, index: u32, bytes: usize) {
        let mut state = self.state();
        if let Some(file) = state.waiting.get_mut(&index) {
            file.bytes = bytes;
            state.bytes += bytes;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nobody panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One scan's share of a file.
#[derive(Debug)]
pub(super) struct Share<'a> {
    parts: &'a SharedParts,
    index: u32,
    rows: Arc<SharedRows>,
}

impl Share<'_> {
    /// The rows of the file, decoded by `decode` unless another scan has done so. None if that
    /// failed there: who asks then decodes for itself, and has an error of its own to show.
    pub(super) fn rows(
        &self,
        decode: impl FnOnce() -> Result<RecordBatch>,
    ) -> Result<Option<RecordBatch>> {
        let mut failure = None;
        // A scan that comes meanwhile waits here: a file takes less than a hop to another thread.
        let rows = self.rows.get_or_init(|| match decode() {
            Ok(rows) => {
                self.parts.keep(self.index, rows.get_array_memory_size());
                Some(rows)
            }
            Err(error) => {
                failure = Some(error);
                None
            }
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(rows.clone()),
        }
    }
}

#[cfg(test)]
mod tests;

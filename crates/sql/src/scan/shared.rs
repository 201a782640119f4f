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
    /// By path; files that one scan alone reads are not here.
    files: HashMap<String, SharedFile>,
    /// What has been decoded and not yet taken by all.
    bytes: usize,
}

#[derive(Debug, Default)]
struct SharedFile {
    /// The scans that have not come to it yet.
    num_scans: usize,
    rows: Arc<SharedRows>,
    bytes: usize,
}

/// A file's rows, once whoever comes first has decoded them; none if that failed.
type SharedRows = OnceLock<Option<RecordBatch>>;

impl SharedParts {
    /// Shares these columns, ascending, of files that several scans read: how many each.
    pub(super) fn new<'a>(
        columns: Vec<usize>,
        files: impl Iterator<Item = (&'a str, usize)>,
    ) -> Self {
        let file = |(path, num_scans): (&str, usize)| {
            let file = SharedFile {
                num_scans,
                ..SharedFile::default()
            };
            (path.to_owned(), file)
        };
        Self {
            columns,
            state: Mutex::new(State {
                files: files.map(file).collect(),
                bytes: 0,
            }),
        }
    }

    /// The columns that are decoded, ascending.
    pub(super) fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// A scan's share of a file. None if it has to decode the file for itself: no other scan reads
    /// it, or there is no more room for what waits.
    pub(super) fn take(&self, path: &str) -> Option<Share<'_>> {
        let mut state = self.state();
        let is_full = state.bytes >= SHARED_BYTES;
        let file = state.files.get_mut(path)?;
        if is_full && file.bytes == 0 {
            state.files.remove(path);
            return None;
        }
        file.num_scans -= 1;
        let (rows, bytes) = (Arc::clone(&file.rows), file.bytes);
        if file.num_scans == 0 {
            state.files.remove(path);
            state.bytes -= bytes;
        }
        Some(Share {
            parts: self,
            rows,
            path: path.to_owned(),
        })
    }

    /// Counts a file's rows, if they still wait for somebody.
    fn keep(&self, path: &str, bytes: usize) {
        let mut state = self.state();
        if let Some(file) = state.files.get_mut(path) {
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
    path: String,
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
                self.parts.keep(&self.path, rows.get_array_memory_size());
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

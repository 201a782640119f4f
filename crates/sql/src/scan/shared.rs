//! Files that several scans of one plan want are decoded once.
//!
//! `epoch_average` reads the weights twice: for their rows, and for their mean. The scans run at
//! the same time, so whichever comes to a file first decodes the columns that any of them wants
//! and leaves them for the others, the last of which takes them away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::source::PartSource;

/// How many bytes of decoded rows wait for slower scans. Past that every scan decodes for itself.
pub const SHARED_BYTES: usize = 64 << 20;

/// Lets the scans of one plan that read the same table share what they decode.
#[derive(Debug)]
pub(crate) struct ShareScans;

impl PhysicalOptimizerRule for ShareScans {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut scans = Vec::new();
        collect_scans(&plan, &mut scans);
        let mut tables: Vec<Vec<Scan<'_>>> = Vec::new();
        for (scan, source) in scans {
            let of_table = |of: &&mut Vec<Scan<'_>>| of[0].1.is_of_same_table(source);
            match tables.iter_mut().find(of_table) {
                Some(scans) => scans.push((scan, source)),
                None => tables.push(vec![(scan, source)]),
            }
        }
        tables.retain(|scans| scans.len() > 1);
        for scans in tables {
            let parts = Arc::new(SharedParts::of(&scans));
            for (_, source) in scans {
                source.share(&parts);
            }
        }
        Ok(plan)
    }

    fn name(&self) -> &str {
        "share_scans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A scan of part files, and its source.
type Scan<'a> = (&'a FileScanConfig, &'a PartSource);

/// All scans of part files in a plan.
fn collect_scans<'a>(plan: &'a Arc<dyn ExecutionPlan>, scans: &mut Vec<Scan<'a>>) {
    let scan = plan.downcast_ref::<DataSourceExec>();
    scans.extend(scan.and_then(DataSourceExec::downcast_to_file_source));
    for child in plan.children() {
        collect_scans(child, scans);
    }
}

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
    fn of(scans: &[Scan<'_>]) -> Self {
        let columns = scans.iter().flat_map(|(_, source)| source.file_columns());
        let mut columns: Vec<usize> = columns.copied().collect();
        columns.sort_unstable();
        columns.dedup();
        let mut num_scans: HashMap<&str, usize> = HashMap::new();
        let groups = scans.iter().flat_map(|(scan, _)| &scan.file_groups);
        for file in groups.flat_map(|group| group.iter()) {
            *num_scans.entry(file.path().as_ref()).or_default() += 1;
        }
        let shared = num_scans.into_iter().filter(|(_, scans)| *scans > 1);
        Self::new(columns, shared)
    }

    fn new<'a>(columns: Vec<usize>, files: impl Iterator<Item = (&'a str, usize)>) -> Self {
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

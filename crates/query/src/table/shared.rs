//! Files that several scans of one plan want are decoded once.
//!
//! `epoch_average` reads the weights twice: for their rows, and for their mean. The scans run at
//! the same time, so whichever comes to a file first decodes the columns that any of them wants
//! and leaves them for the others, the last of which takes them away.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder};
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
        let mut tables: Vec<(PartSource, Vec<FileScanConfig>)> = Vec::new();
        plan.apply(|node| {
            if let Some((scan, source)) = part_scan(node) {
                let of_table = |(first, _): &&mut (PartSource, _)| first.is_of_same_table(source);
                match tables.iter_mut().find(of_table) {
                    Some((_, scans)) => scans.push(scan.clone()),
                    None => tables.push((source.clone(), vec![scan.clone()])),
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        tables.retain(|(_, scans)| scans.len() > 1);
        if tables.is_empty() {
            return Ok(plan);
        }
        let shared: Vec<(PartSource, Arc<SharedParts>)> = tables
            .into_iter()
            .map(|(source, scans)| (source, Arc::new(SharedParts::of(&scans))))
            .collect();
        plan.transform_up(|node| {
            let Some((scan, source)) = part_scan(&node) else {
                return Ok(Transformed::no(node));
            };
            let Some((_, parts)) = shared.iter().find(|(of, _)| of.is_of_same_table(source)) else {
                return Ok(Transformed::no(node));
            };
            let source = source.clone().sharing(Arc::clone(parts));
            let scan = FileScanConfigBuilder::from(scan.clone()).with_source(Arc::new(source));
            let scan = DataSourceExec::from_data_source(scan.build());
            Ok(Transformed::yes(scan))
        })
        .data()
    }

    fn name(&self) -> &str {
        "share_scans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn part_scan(node: &Arc<dyn ExecutionPlan>) -> Option<(&FileScanConfig, &PartSource)> {
    let scan = node.downcast_ref::<DataSourceExec>()?;
    scan.downcast_to_file_source()
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
    fn of(scans: &[FileScanConfig]) -> Self {
        let sources = scans.iter().filter_map(|scan| {
            let source: Option<&PartSource> = scan.file_source().downcast_ref();
            source.map(PartSource::file_columns)
        });
        let mut columns: Vec<usize> = sources.flatten().copied().collect();
        columns.sort_unstable();
        columns.dedup();
        let mut num_scans: HashMap<&str, usize> = HashMap::new();
        let groups = scans.iter().flat_map(|scan| &scan.file_groups);
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

//! The rule that finds scans of one plan which read the same files, see [`SharedParts`].

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::config::ConfigOptions;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::shared::SharedParts;
use super::source::PartSource;

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
            let parts = Arc::new(parts_of(&scans));
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

/// What the scans of one table share: the columns that any of them reads, of files that several do.
fn parts_of(scans: &[Scan<'_>]) -> SharedParts {
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
    SharedParts::new(columns, shared)
}

//! The rule that finds scans of one plan which read the same files, see [`SharedParts`].

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::part_scan::PartScan;
use super::shared::SharedParts;

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
        let mut tables: Vec<Vec<&PartScan>> = Vec::new();
        for scan in scans {
            let of_table = |of: &&mut Vec<&PartScan>| of[0].files().is_of_same_table(scan.files());
            match tables.iter_mut().find(of_table) {
                Some(scans) => scans.push(scan),
                None => tables.push(vec![scan]),
            }
        }
        tables.retain(|scans| scans.len() > 1);
        let parts = tables.iter().map(|scans| {
            let parts = Arc::new(parts_of(scans)?);
            Ok((scans[0].clone(), parts))
        });
        let parts = parts.collect::<Result<Vec<_>>>()?;
        if parts.is_empty() {
            return Ok(plan);
        }
        let shared = |scan: &PartScan| {
            let of_table = parts.iter();
            let mut of_table = of_table.filter(|(of, _)| of.files().is_of_same_table(scan.files()));
            of_table.next().and_then(|(_, parts)| scan.sharing(parts))
        };
        let sharing = plan.transform_up(|node| {
            let shared = part_scan(&node).filter(reads_columns).and_then(shared);
            Ok(match shared {
                Some(scan) => Transformed::yes(DataSourceExec::from_data_source(scan)),
                None => Transformed::no(node),
            })
        });
        sharing.data()
    }

    fn name(&self) -> &str {
        "share_scans"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The scan of part files that a node is, if it is one.
fn part_scan(node: &Arc<dyn ExecutionPlan>) -> Option<&PartScan> {
    let scan = node.downcast_ref::<DataSourceExec>()?;
    scan.data_source().downcast_ref::<PartScan>()
}

/// Whether anything is decoded that others could want.
fn reads_columns(scan: &&PartScan) -> bool {
    scan.file_columns().is_ok_and(|columns| !columns.is_empty())
}

/// All scans in a plan that read columns of part files and share nothing yet; one that several nodes read as often as
/// they do.
fn collect_scans<'a>(plan: &'a Arc<dyn ExecutionPlan>, scans: &mut Vec<&'a PartScan>) {
    let is_alone = |scan: &&PartScan| !scan.is_sharing();
    scans.extend(part_scan(plan).filter(reads_columns).filter(is_alone));
    for child in plan.children() {
        collect_scans(child, scans);
    }
}

/// What the scans of one table share: the columns that any of them reads, of files that several do.
fn parts_of(scans: &[&PartScan]) -> Result<SharedParts> {
    let mut columns = Vec::new();
    let mut num_scans: Vec<u16> = vec![0; scans[0].files().num_known()];
    for scan in scans {
        columns.extend_from_slice(scan.file_columns()?);
        for index in scan.files().partitions().iter().flatten() {
            let num_scans = &mut num_scans[*index as usize];
            *num_scans = num_scans.saturating_add(1);
        }
    }
    columns.sort_unstable();
    columns.dedup();
    Ok(SharedParts::new(columns, num_scans))
}

//! The same scan as DataFusion's own, with all that it wants to know of each file.
//!
//! Nothing in one process needs it, and it costs kilobytes a file. Those who deal scans out to the
//! machines of a cluster know such scans, and no other source's.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use datafusion::common::stats::Precision;
use datafusion::common::{Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig, FileScanConfigBuilder};

use super::chosen::{ChosenFiles, Places};

/// Asks for such scans, as an extension of a session's configuration.
#[derive(Debug)]
pub(crate) struct StockScans;

/// The scan that `plan` is, with files in its groups.
pub(super) fn with_files(plan: FileScanConfig, files: &ChosenFiles) -> Result<FileScanConfig> {
    let known = Known {
        stored: files.table().schema(),
        places: files.places(),
        files,
    };
    let groups = files.partitions().iter().map(|indices| {
        let files = indices.iter().map(|index| known.file(*index));
        Ok(FileGroup::new(files.collect::<Result<_>>()?))
    });
    let groups = groups.collect::<Result<Vec<_>>>()?;
    Ok(FileScanConfigBuilder::from(plan)
        .with_file_groups(groups)
        .build())
}

struct Known<'a> {
    stored: Arc<Schema>,
    places: Places<'a>,
    files: &'a ChosenFiles,
}

impl Known<'_> {
    fn file(&self, index: u32) -> Result<PartitionedFile> {
        let mut file = self.files.partitioned_file(index)?;
        // Bounds of partition columns are taken from the partition's values.
        file.statistics = Some(Arc::new(self.statistics(index)?));
        Ok(file)
    }

    /// Bounds of the columns that rows are sorted by: with them the planner sees that files in a
    /// row are in order, and spares a sort.
    fn statistics(&self, index: u32) -> Result<Statistics> {
        let file = self.files.file(index);
        let mut statistics = Statistics::new_unknown(&self.stored);
        if let Some(rows) = file.rows {
            statistics.num_rows = Precision::Inexact(usize::try_from(rows).unwrap_or(usize::MAX));
        }
        let columns = statistics.column_statistics.iter_mut();
        for (column, field) in columns.zip(self.stored.fields()) {
            if !field.is_nullable() {
                column.null_count = Precision::Exact(0);
            }
            let name = field.name().as_str();
            let bounds = match name {
                "step" => file.step.map(|step| (step, step)),
                _ if self.places.sorted_by == Some(name) => self.places.bounds(file.layer),
                _ => None,
            };
            if let Some((low, high)) = bounds {
                column.min_value = Precision::Inexact(value(low, field)?);
                column.max_value = Precision::Inexact(value(high, field)?);
            }
        }
        Ok(statistics)
    }
}

/// A number as a column has it.
fn value(number: i64, field: &Field) -> Result<ScalarValue> {
    ScalarValue::Int64(Some(number)).cast_to(field.data_type())
}

//! The physical scan of chosen part files.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{Result, Statistics};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use trace::{EPOCH_COLUMN, LAYER_COLUMN, RowFilter, Table};

use super::chosen::{ChosenFiles, Dealt};
use super::part_scan::{PartScan, empty_groups};
use super::source::PartSource;
use super::stock::{self, StockScans};
use crate::run::snapshot::{SharedSnapshot, Snapshot};

/// What is wanted of the files.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// The table's columns; all where they are not named.
    pub(super) columns: Option<&'a Vec<usize>>,
    /// The rows, of which others may come as well.
    pub(super) filter: Option<RowFilter>,
    /// So many rows at most.
    pub(super) limit: Option<usize>,
}

/// Makes a scan of the files at `indices`, in the order of epoch, step and topology.
pub(super) fn plan(
    state: &dyn Session,
    snapshot: &SharedSnapshot,
    table: Table,
    indices: &[usize],
    dealt: Dealt,
    wanted: Wanted<'_>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = table_schema(table);
    let columns = to_scan_columns(table, wanted.columns);
    if indices.is_empty() {
        let projected = schema.table_schema().project(&columns)?;
        return Ok(Arc::new(EmptyExec::new(Arc::new(projected))));
    }
    let statistics = total_statistics(snapshot, indices, schema.table_schema());
    let batch_rows = state.config().batch_size();
    let source = PartSource::new(Arc::clone(snapshot.run().store()), schema, batch_rows);
    let source = source.with_filter(wanted.filter);
    let num_partitions = state.config().target_partitions();
    let snapshot = Arc::clone(snapshot);
    let files = ChosenFiles::new(snapshot, table, indices, dealt, num_partitions);
    let scan = scan_of_no_files(source, dealt, &files, columns)?;
    let scan = scan
        .with_statistics(statistics)
        .with_limit(wanted.limit)
        .build();
    Ok(match state.config().get_extension::<StockScans>() {
        Some(_) => DataSourceExec::from_data_source(stock::with_files(scan, &files)?),
        None => DataSourceExec::from_data_source(PartScan::new(Arc::new(files), scan)),
    })
}

/// The columns of the files, and behind them those of the partitions.
fn table_schema(table: Table) -> TableSchema {
    let partition = table.partition_fields().into_iter().map(Arc::new);
    TableSchema::builder(table.schema())
        .with_table_partition_cols(partition.collect::<Vec<_>>())
        .build()
}

/// What the planner may know of a scan of files that were dealt out, with as many empty groups as these have
/// partitions.
fn scan_of_no_files(
    source: PartSource,
    dealt: Dealt,
    files: &ChosenFiles,
    columns: Vec<usize>,
) -> Result<FileScanConfigBuilder> {
    let num_partitions = files.partitions().len();
    let partitioning = partitioning(source.table_schema(), dealt, num_partitions);
    // The source opens files by their paths below the run's directory. DataFusion wants a store all the
    // same, and the one for local files is in every session.
    let store = ObjectStoreUrl::local_filesystem();
    let scan = FileScanConfigBuilder::new(store, Arc::new(source))
        .with_projection_indices(Some(columns))?
        .with_output_ordering(orderings(dealt, files))
        .with_preserve_order(true)
        .with_output_partitioning(Some(partitioning))
        .with_file_groups(empty_groups(num_partitions));
    Ok(scan)
}

/// A table shows its partition columns first, a scan has them last.
fn to_scan_columns(table: Table, projection: Option<&Vec<usize>>) -> Vec<usize> {
    let num_partition = table.partition_fields().len();
    let num_stored = table.schema().fields().len();
    let to_scan = |column: usize| match column.checked_sub(num_partition) {
        Some(stored) => stored,
        None => num_stored + column,
    };
    match projection {
        Some(columns) => columns.iter().copied().map(to_scan).collect(),
        None => (0..num_partition + num_stored).map(to_scan).collect(),
    }
}

/// Which rows are in which partition, as far as the planner can use it.
///
/// Whatever is said here keeps each file of DataFusion's own scan in the partition that it was dealt to.
/// Otherwise a partition that has nothing left to read takes files from another, out of their order, as soon
/// as a limit makes the planner forget that order matters.
fn partitioning(schema: &TableSchema, dealt: Dealt, num_groups: usize) -> Partitioning {
    let column = match dealt {
        Dealt::Evenly => None,
        Dealt::ByLayer => Column::new_with_schema(LAYER_COLUMN, schema.table_schema()).ok(),
    };
    match column {
        // By name, not by a hash of it: that is known to whoever asked for it, and goes no further.
        Some(layer) => Partitioning::Hash(vec![Arc::new(layer)], num_groups),
        None => Partitioning::UnknownPartitioning(num_groups),
    }
}

/// Epoch, then what the rows of each file ascend by, if the files of each partition are in that order. Where a
/// layer's files have to come in the order of its captures, that is an order by itself: several writers may have
/// rows of the same neurons.
fn orderings(dealt: Dealt, files: &ChosenFiles) -> Vec<LexOrdering> {
    let table = files.table();
    let stored = table.schema();
    let epoch = Column::new(EPOCH_COLUMN, stored.fields().len());
    let columns = table.sort_columns().iter().map(|name| {
        Column::new(
            name,
            stored
                .index_of(name)
                .expect("a table is sorted by its columns"),
        )
    });
    let ascending = std::iter::once(epoch).chain(columns).map(|column| {
        PhysicalSortExpr::new_default(Arc::new(column))
            .asc()
            .nulls_last()
    });
    let ascending: Vec<PhysicalSortExpr> = ascending.collect();
    let num_columns = table.sort_columns().len();
    let of_captures = (dealt == Dealt::ByLayer).then_some(1);
    let orders = [Some(num_columns), of_captures].into_iter().flatten();
    let orders = orders.filter(|num_columns| files.ascends_by(*num_columns));
    let orders = orders.map(|num_columns| ascending[..=num_columns].to_vec());
    orders.filter_map(LexOrdering::new).collect()
}

/// What the commits say of the files together. It was not checked against them, so the planner
/// may weigh plans with it, but answers nothing from it.
fn total_statistics(snapshot: &Snapshot, indices: &[usize], schema: &Schema) -> Statistics {
    // What commits say may be anything.
    let (mut rows, mut bytes) = (Some(0_u64), 0_u64);
    // A row an epoch, as of an aggregate, is what joins are planned by.
    let (mut epochs, mut layers, mut steps) = (Distinct::new(), Distinct::new(), Distinct::new());
    for &index in indices {
        let file = snapshot.file(index);
        let both = rows.zip(file.rows);
        rows = both.map(|(sum, rows)| sum.saturating_add(rows));
        bytes = bytes.saturating_add(file.bytes);
        epochs.add(file.epoch);
        layers.add(file.layer);
        steps.add(file.step);
    }
    let inexact = |sum: u64| Precision::Inexact(usize::try_from(sum).unwrap_or(usize::MAX));
    let mut statistics = Statistics::new_unknown(schema);
    if let Some(rows) = rows {
        statistics.num_rows = inexact(rows);
    }
    statistics.total_byte_size = inexact(bytes);
    let of_columns = [
        (EPOCH_COLUMN, epochs.len()),
        (LAYER_COLUMN, layers.len()),
        ("step", steps.len()),
    ];
    for (column, num_distinct) in of_columns {
        if let Ok(index) = schema.index_of(column) {
            let column = &mut statistics.column_statistics[index];
            column.distinct_count = Precision::Inexact(num_distinct);
        }
    }
    statistics
}

/// Counts different values, of which neighbours are often the same.
struct Distinct<T> {
    seen: HashSet<T>,
    last: Option<T>,
}

impl<T: Copy + Eq + Hash> Distinct<T> {
    fn new() -> Self {
        Self {
            seen: HashSet::new(),
            last: None,
        }
    }

    fn add(&mut self, value: T) {
        if self.last != Some(value) {
            self.seen.insert(value);
            self.last = Some(value);
        }
    }

    fn len(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests;

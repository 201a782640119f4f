//! The physical scan of chosen part files.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, Partitioning, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use trace::{EPOCH_COLUMN, LAYER_COLUMN, Table};

use super::source::{Committed, PartSource};
use crate::run::snapshot::{Snapshot, TraceFile};

/// How files are dealt out to partitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Dealt {
    /// Each by itself.
    Evenly,
    /// A layer's all to one.
    ByLayer,
}

/// Makes a scan of the files at `indices`, in the order of epoch, step and topology.
pub(super) fn plan(
    state: &dyn Session,
    snapshot: &Snapshot,
    table: Table,
    indices: &[usize],
    dealt: Dealt,
    projection: Option<&Vec<usize>>,
    limit: Option<usize>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let stored = table.schema();
    let partition = table.partition_fields().into_iter().map(Arc::new);
    let schema = TableSchema::builder(Arc::clone(&stored))
        .with_table_partition_cols(partition.collect::<Vec<_>>())
        .build();
    let columns = to_scan_columns(table, projection);
    if indices.is_empty() {
        let projected = schema.table_schema().project(&columns)?;
        return Ok(Arc::new(EmptyExec::new(Arc::new(projected))));
    }
    let statistics = total_statistics(snapshot, indices, schema.table_schema());

    let batch_rows = state.config().batch_size();
    let source = PartSource::new(Arc::clone(snapshot.run().store()), schema, batch_rows);
    let files = Files::new(snapshot, table).partitioned(indices)?;
    let groups = into_groups(files, dealt, state.config().target_partitions());
    let scan = scan(source, table, dealt, groups, columns)?;
    let scan = scan.with_statistics(statistics).with_limit(limit);
    Ok(DataSourceExec::from_data_source(scan.build()))
}

/// A scan of files that were dealt out, with what the planner may know of their rows.
fn scan(
    source: PartSource,
    table: Table,
    dealt: Dealt,
    groups: Vec<FileGroup>,
    columns: Vec<usize>,
) -> Result<FileScanConfigBuilder> {
    let partitioning = partitioning(source.table_schema(), dealt, groups.len());
    // The source opens files by their paths below the run's directory. DataFusion wants a store all the
    // same, and the one for local files is in every session.
    let store = ObjectStoreUrl::local_filesystem();
    let scan = FileScanConfigBuilder::new(store, Arc::new(source))
        .with_projection_indices(Some(columns))?
        .with_output_ordering(orderings(table, dealt))
        .with_preserve_order(true)
        .with_output_partitioning(Some(partitioning))
        .with_file_groups(groups);
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
/// Whatever is said here keeps each file in the partition that it was dealt to. Otherwise a partition
/// that has nothing left to read takes files from another, out of their order, as soon as a limit
/// makes the planner forget that order matters.
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

/// Epoch, then what the rows of each file ascend by. Where a layer's files have to come in the order
/// of its captures, that is an order by itself: several writers may have rows of the same neurons.
fn orderings(table: Table, dealt: Dealt) -> Vec<LexOrdering> {
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
    let of_captures = ascending.iter().take(2).cloned().collect();
    let orders = match dealt {
        Dealt::Evenly => vec![ascending],
        Dealt::ByLayer => vec![ascending, of_captures],
    };
    orders.into_iter().filter_map(LexOrdering::new).collect()
}

/// What the commits say of the files together. It was not checked against them, so the planner
/// may weigh plans with it, but answers nothing from it.
fn total_statistics(snapshot: &Snapshot, indices: &[usize], schema: &Schema) -> Statistics {
    let mut statistics = Statistics::new_unknown(schema);
    let files = || indices.iter().map(|&index| snapshot.file(index));
    let inexact = |sum: u64| Precision::Inexact(usize::try_from(sum).unwrap_or(usize::MAX));
    // What commits say may be anything.
    let rows = files().try_fold(0, |sum: u64, file| Some(sum.saturating_add(file.rows?)));
    if let Some(rows) = rows {
        statistics.num_rows = inexact(rows);
    }
    let bytes = files().map(|file| file.bytes);
    statistics.total_byte_size = inexact(bytes.fold(0, u64::saturating_add));
    statistics
}

/// Where a file's partition values have the layer.
const LAYER_VALUE: usize = 1;

/// Makes DataFusion's idea of a file from ours.
struct Files<'a> {
    snapshot: &'a Snapshot,
    table: Table,
    layers: HashMap<&'a str, LayerFiles>,
    /// Of the files of a table without layers.
    statistics: Statistics,
    /// Where the table has its steps.
    step: Option<usize>,
}

/// What the files of a layer have in common.
struct LayerFiles {
    /// Its position in the topology.
    position: usize,
    statistics: Statistics,
}

impl<'a> Files<'a> {
    fn new(snapshot: &'a Snapshot, table: Table) -> Self {
        let stored = table.schema();
        let layers = snapshot.topology().layers().iter().enumerate();
        let layers = layers.map(|(position, layer)| {
            let neurons = layer.neurons();
            let bounds = (int(neurons.start), int(neurons.end - 1));
            let statistics = bounded(&stored, "neuron", bounds);
            let files = LayerFiles {
                position,
                statistics,
            };
            (layer.layer.as_str(), files)
        });
        // Where the run does not say how many samples there are, any number from 0 is possible.
        let dataset = snapshot.run().info().dataset.as_ref();
        let last_sample = dataset.map_or(i64::MAX, |dataset| {
            dataset.num_held_out.saturating_sub(1).cast_signed()
        });
        Self {
            snapshot,
            table,
            layers: layers.collect(),
            statistics: bounded(&stored, "sample", (long(0), long(last_sample))),
            step: stored.index_of("step").ok(),
        }
    }

    fn partitioned(&self, indices: &[usize]) -> Result<Vec<PartitionedFile>> {
        let mut files: Vec<TraceFile> = indices.iter().map(|&i| self.snapshot.file(i)).collect();
        files.sort_by_key(|file| {
            let position = self.layer(file).map(|layer| layer.position);
            (file.epoch, file.step, position, file.path)
        });
        files
            .iter()
            .map(|file| self.partitioned_file(file))
            .collect()
    }

    fn layer(&self, file: &TraceFile) -> Option<&LayerFiles> {
        self.layers.get(file.layer?)
    }

    fn partitioned_file(&self, file: &TraceFile) -> Result<PartitionedFile> {
        let mut partitioned = PartitionedFile::new("", file.bytes);
        // As it stands on disk: `Path::from` would percent-encode it once more.
        partitioned.object_meta.location = object_store::path::Path::parse(file.path)
            .map_err(|e| datafusion::error::DataFusionError::External(Box::new(e)))?;
        partitioned.partition_values = vec![ScalarValue::Int32(Some(file.epoch))];
        if self.table.has_layer() {
            let layer = file.layer.unwrap_or_default().to_owned();
            partitioned
                .partition_values
                .push(ScalarValue::Utf8(Some(layer)));
        }
        if let Some(crc32c) = file.crc32c {
            partitioned = partitioned.with_extension(Committed {
                crc32c,
                footer: file.footer,
                columns: file.columns.cloned(),
            });
        }
        // Bounds of partition columns are taken from the partition's values.
        partitioned.statistics = Some(Arc::new(self.statistics(file)));
        Ok(partitioned)
    }

    /// Bounds of the columns that rows are sorted by: with them the planner sees that files in a
    /// row are in order, and spares a sort.
    fn statistics(&self, file: &TraceFile) -> Statistics {
        let layer = self.layer(file).map(|layer| &layer.statistics);
        let mut statistics = layer.unwrap_or(&self.statistics).clone();
        if let Some(rows) = file.rows {
            statistics.num_rows = Precision::Inexact(rows as usize);
        }
        if let (Some(column), Some(step)) = (self.step, file.step) {
            bound(
                &mut statistics.column_statistics[column],
                (long(step), long(step)),
            );
        }
        statistics
    }
}

fn int(value: i32) -> ScalarValue {
    ScalarValue::Int32(Some(value))
}

fn long(value: i64) -> ScalarValue {
    ScalarValue::Int64(Some(value))
}

/// Of the stored columns nothing is known but what a column's values are between, if there is one.
fn bounded(stored: &Schema, column: &str, bounds: (ScalarValue, ScalarValue)) -> Statistics {
    let mut statistics = Statistics::new_unknown(stored);
    for (statistics, field) in statistics.column_statistics.iter_mut().zip(stored.fields()) {
        if !field.is_nullable() {
            statistics.null_count = Precision::Exact(0);
        }
    }
    if let Ok(index) = stored.index_of(column) {
        bound(&mut statistics.column_statistics[index], bounds);
    }
    statistics
}

fn bound(column: &mut ColumnStatistics, (min, max): (ScalarValue, ScalarValue)) {
    column.min_value = Precision::Inexact(min);
    column.max_value = Precision::Inexact(max);
}

/// Deals files out to at most `num_groups` groups of about the same size, each in order.
///
/// Neighbours go to different groups: whoever merges the groups into one order then takes from all
/// of them in turn, so that they are read at the same time and not one after the other.
fn into_groups(files: Vec<PartitionedFile>, dealt: Dealt, num_groups: usize) -> Vec<FileGroup> {
    let mut groups: Vec<(u64, Vec<PartitionedFile>)> = vec![(0, Vec::new()); num_groups.max(1)];
    let mut group_of_layer: HashMap<ScalarValue, usize> = HashMap::new();
    for file in files {
        let layer = file.partition_values.get(LAYER_VALUE);
        let layer = layer.filter(|_| dealt == Dealt::ByLayer).cloned();
        let known = layer.as_ref().and_then(|layer| group_of_layer.get(layer));
        let smallest = || (0..groups.len()).min_by_key(|&group| groups[group].0);
        let group = known.copied().or_else(smallest);
        let group = group.expect("at least one group");
        if let Some(layer) = layer {
            group_of_layer.insert(layer, group);
        }
        groups[group].0 += file.object_meta.size.max(1);
        groups[group].1.push(file);
    }
    let filled = groups.into_iter().filter(|(_, group)| !group.is_empty());
    filled.map(|(_, group)| FileGroup::new(group)).collect()
}

#[cfg(test)]
mod tests;

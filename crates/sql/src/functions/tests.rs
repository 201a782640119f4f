//! The functions as SQL sees them, over small tables whose answers are worked out by hand.

mod advice;
mod aggregates;
mod collected;
mod docs;
mod nullable;
mod scalars;
mod sums;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float32Builder, Int32Array, ListArray, ListBuilder, RecordBatch,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext, col};

use super::register_functions;

/// Lists as a run's tables have them: elements are not null.
pub(super) fn lists(rows: &[Option<&[f32]>]) -> ArrayRef {
    let field = Arc::new(Field::new_list_field(DataType::Float32, false));
    let mut builder = ListBuilder::new(Float32Builder::new()).with_field(field);
    for row in rows {
        match row {
            Some(values) => {
                builder.values().append_slice(values);
                builder.append(true);
            }
            None => builder.append(false),
        }
    }
    Arc::new(builder.finish())
}

/// Two lists of one element each, of which the second one is NULL.
pub(super) fn lists_with_null_element() -> ArrayRef {
    let values = Float32Array::from(vec![Some(1.0), None]);
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    Arc::new(ListArray::new(
        item,
        OffsetBuffer::from_repeated_length(1, 2),
        Arc::new(values),
        None,
    ))
}

pub(super) fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(
        columns
            .iter()
            .map(|(name, array)| (*name, Arc::clone(array), true)),
    )
    .unwrap()
}

/// How a table's rows reach the functions.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    /// One partition, one batch.
    Whole,
    /// Dealt out to three partitions in batches of one row, each of them a slice of the whole.
    Split,
    /// As `Split`, with rows passed on as states of one row from the second one on.
    SplitWithoutPartialAggregation,
    /// One partition in batches of one row, known to be sorted by `k`, so that groups are emitted
    /// as they end.
    Sorted,
}

const LAYOUTS: [Layout; 4] = [
    Layout::Whole,
    Layout::Split,
    Layout::SplitWithoutPartialAggregation,
    Layout::Sorted,
];

/// A session with the table `t`; its rows are sorted by `k`, if it has one.
fn session(columns: &[(&str, ArrayRef)], layout: Layout) -> SessionContext {
    let whole = batch(columns);
    let row = |row| whole.slice(row, 1);
    let num_rows = whole.num_rows();
    let every_third = |first| (first..num_rows).step_by(3).map(row).collect::<Vec<_>>();
    let partitions = match layout {
        Layout::Whole => vec![vec![whole.clone()]],
        Layout::Split | Layout::SplitWithoutPartialAggregation => (0..3).map(every_third).collect(),
        Layout::Sorted => vec![(0..num_rows).map(row).collect()],
    };
    let mut config = SessionConfig::new().with_target_partitions(partitions.len());
    if layout != Layout::Whole {
        config = config.with_batch_size(1);
    }
    if layout == Layout::SplitWithoutPartialAggregation {
        let options = &mut config.options_mut().execution;
        options.skip_partial_aggregation_probe_rows_threshold = 1;
        options.skip_partial_aggregation_probe_ratio_threshold = 0.0;
    }
    let mut table = MemTable::try_new(whole.schema(), partitions).unwrap();
    if layout == Layout::Sorted && columns.iter().any(|(name, _)| *name == "k") {
        table = table.with_sort_order(vec![vec![col("k").sort(true, false)]]);
    }
    let ctx = SessionContext::new_with_config(config);
    register_functions(&ctx);
    ctx.register_table("t", Arc::new(table)).unwrap();
    ctx
}

fn try_query(ctx: &SessionContext, sql: &str) -> Result<Vec<RecordBatch>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async { ctx.sql(sql).await?.collect().await })
}

/// The result's rows, cells separated by `|`.
fn query(ctx: &SessionContext, sql: &str) -> Vec<String> {
    let batches = try_query(ctx, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let options = FormatOptions::new().with_null("NULL");
    let mut rows = Vec::new();
    for batch in &batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).unwrap());
        let columns = columns.collect::<Vec<_>>();
        for row in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter()
                    .map(|column| column.value(row).to_string())
                    .collect::<Vec<_>>()
                    .join("|"),
            );
        }
    }
    rows
}

/// The one cell of a query without a table.
fn value(sql: &str) -> String {
    let ctx = SessionContext::new();
    register_functions(&ctx);
    let rows = query(&ctx, &format!("SELECT {sql}"));
    assert_eq!(rows.len(), 1);
    rows[0].clone()
}

fn error(ctx: &SessionContext, sql: &str) -> String {
    try_query(ctx, sql).expect_err(sql).to_string()
}

/// Holds a query to its rows, however the table is laid out.
#[track_caller]
fn assert_rows(columns: &[(&str, ArrayRef)], sql: &str, expected: &[&str]) {
    for layout in LAYOUTS {
        assert_eq!(
            query(&session(columns, layout), sql),
            expected,
            "{layout:?}: {sql}"
        );
    }
}

#[test]
fn layouts_take_the_paths_they_are_named_for() {
    let columns = [
        ("k", ints(&[1, 1, 2, 3, 3, 3])),
        ("x", lists(&[Some([1.0].as_slice()); 6])),
    ];
    let plan = |layout| {
        query(
            &session(&columns, layout),
            "EXPLAIN ANALYZE SELECT vec_sum(x) FROM t GROUP BY k",
        )
        .join("\n")
    };
    let skipped = |layout| {
        let plan = plan(layout);
        let metrics = plan.split("skipped_aggregation_rows=").skip(1);
        metrics.filter(|rest| !rest.starts_with('0')).count()
    };
    assert_eq!(skipped(Layout::Split), 0);
    assert!(skipped(Layout::SplitWithoutPartialAggregation) > 0);
    assert!(plan(Layout::Sorted).contains("ordering_mode=Sorted"));
}

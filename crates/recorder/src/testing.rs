//! What tests read back.

pub(crate) mod failing;
pub(crate) mod streams;

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{Catalog, RunDir, Table};

use crate::model::LayerOutput;

/// A linear layer's `[num_samples, num_units]`.
///
/// # Panics
/// If it is a convolution's.
pub(crate) fn flat<B: Backend>(output: &LayerOutput<B>) -> Tensor<B, 2> {
    match output {
        LayerOutput::Flat(output) => output.clone(),
        LayerOutput::Image(_) => panic!("a linear layer's output is no image"),
    }
}

/// The rows of each of a table's part files at an epoch, and of a layer.
///
/// # Panics
/// If one cannot be read.
pub(crate) fn read_parts(
    run: &Path,
    table: Table,
    epoch: i32,
    layer: Option<&str>,
) -> Vec<RecordBatch> {
    let catalog = Catalog::load(&RunDir::open(run).unwrap()).unwrap();
    let files = catalog.select(table.name(), |of_epoch, of_layer| {
        of_epoch == epoch && of_layer == layer
    });
    let read = |file| {
        let file = std::fs::File::open(run.join(catalog.file(file).path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        concat_batches(&batches[0].schema(), &batches).unwrap()
    };
    files.into_iter().map(read).collect()
}

/// The rows of a table's first part file at an epoch, and of a layer; none if there is none. Of
/// metrics there may be more, which were known later.
///
/// # Panics
/// If it cannot be read, or there are several of another table.
pub(crate) fn read_part(
    run: &Path,
    table: Table,
    epoch: i32,
    layer: Option<&str>,
) -> Option<RecordBatch> {
    let parts = read_parts(run, table, epoch, layer);
    assert!(
        parts.len() <= 1 || table == Table::Metrics,
        "{}",
        parts.len()
    );
    parts.into_iter().next()
}

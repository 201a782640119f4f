//! What tests read back.

use std::path::Path;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{Catalog, RunDir, Table};

/// The rows of a table's only part file at an epoch, and of a layer; none if there is none.
///
/// # Panics
/// If there are several, or it cannot be read.
pub(crate) fn read_part(
    run: &Path,
    table: Table,
    epoch: i32,
    layer: Option<&str>,
) -> Option<RecordBatch> {
    let catalog = Catalog::load(&RunDir::open(run).unwrap()).unwrap();
    let mut files = catalog.select(table.name(), |of_epoch, of_layer| {
        of_epoch == epoch && of_layer == layer
    });
    // The last metrics are in a file of their own.
    files.retain(|&file| !catalog.file(file).path.ends_with("-1.parquet"));
    assert!(
        files.len() <= 1,
        "one file a layer and epoch, not {files:?}"
    );
    let file = std::fs::File::open(run.join(catalog.file(*files.first()?).path)).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    Some(concat_batches(&batches[0].schema(), &batches).unwrap())
}

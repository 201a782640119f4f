//! The trace's reader of part files, with errors as DataFusion has them.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};

pub(super) use trace::PartFile;
use trace::{BadFileError, RowFilter};

/// Reads some columns of a table's part files.
#[derive(Debug, Clone)]
pub(super) struct PartReader(trace::PartReader);

impl PartReader {
    /// Reads the columns at `indices`, which ascend, of files with the columns of `stored`, at most
    /// `batch_rows` rows at a time.
    pub(super) fn try_new(
        stored: &SchemaRef,
        indices: &[usize],
        batch_rows: usize,
    ) -> Result<Self> {
        let reader = trace::PartReader::try_new(stored, indices, batch_rows)?;
        Ok(Self(reader))
    }

    /// Leaves out rows of large files that nobody wants, where that spares work.
    pub(super) fn with_filter(self, filter: RowFilter) -> Self {
        Self(self.0.with_filter(filter))
    }

    /// The rows of a file, batch by batch. Those of a small one are decoded at once, others as they
    /// are asked for.
    pub(super) fn open(
        &self,
        file: PartFile,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let rows = self.0.open(file).map_err(bad_file)?;
        Ok(rows.map(|batch| batch.map_err(bad_file)))
    }

    /// All rows of a file that has few.
    pub(super) fn read_whole(&self, file: &PartFile) -> Result<RecordBatch> {
        self.0.read_whole(file).map_err(bad_file)
    }
}

fn bad_file(error: BadFileError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

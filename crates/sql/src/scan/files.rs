//! Part files read by themselves, for table functions that take a capture at a time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use trace::{Store, Table};

use super::reader::{PartFile, PartReader};
use crate::run::snapshot::{Snapshot, TraceFile};

/// Reads some columns of a table's part files.
#[derive(Debug)]
pub(crate) struct TableFiles {
    store: Arc<dyn Store>,
    reader: PartReader,
}

impl TableFiles {
    /// Reads the stored columns of these names, at most `batch_rows` rows at a time. A batch has
    /// them in the table's order.
    pub(crate) fn try_new(
        snapshot: &Snapshot,
        table: Table,
        columns: &[&str],
        batch_rows: usize,
    ) -> Result<Self> {
        let stored = table.schema();
        let indices = columns.iter().map(|name| stored.index_of(name));
        let mut indices = indices.collect::<Result<Vec<usize>, _>>()?;
        indices.sort_unstable();
        Ok(Self {
            store: Arc::clone(snapshot.run().store()),
            reader: PartReader::try_new(&stored, &indices, batch_rows)?,
        })
    }

    /// The rows of a file, batch by batch.
    pub(crate) fn rows(
        &self,
        file: &TraceFile,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        self.reader.open(PartFile {
            store: Arc::clone(&self.store),
            path: file.path.to_owned(),
            num_bytes: file.bytes,
            crc32c: file.crc32c,
            footer: file.footer,
            columns: file.columns.cloned(),
        })
    }
}

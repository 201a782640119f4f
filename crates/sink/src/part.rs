//! What a recorder hands over: the rows of one part file.

use arrow::array::RecordBatch;
use trace::PartPath;

/// The rows of one part file.
#[derive(Debug, Clone)]
pub struct Part {
    /// Where the file goes.
    pub path: PartPath,
    /// Its rows: exactly the columns of [`trace::Table::schema`], ascending by
    /// [`trace::Table::sort_columns`].
    pub rows: RecordBatch,
}

impl Part {
    /// Memory that the rows keep alive, in bytes: what the part takes of the channel's budget. A
    /// slice of a larger array counts as the whole of it.
    pub fn memory_bytes(&self) -> u64 {
        self.rows.get_array_memory_size() as u64
    }
}

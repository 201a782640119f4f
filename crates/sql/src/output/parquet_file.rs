//! Rows as a Parquet file.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::{BatchWriter, WriteRowsError};

/// A row group is ended when it holds this much: rows with long lists are few to a megabyte.
const ROW_GROUP_BYTES: usize = 64 << 20;

pub(super) struct ParquetWriter<W: Write + Send>(ArrowWriter<W>);

impl<W: Write + Send> ParquetWriter<W> {
    pub(super) fn try_new(schema: SchemaRef, out: W) -> Result<Self, ParquetError> {
        let properties = properties(&schema)?;
        Ok(Self(ArrowWriter::try_new(out, schema, Some(properties))?))
    }
}

/// Floats as a trace stores them: split into byte planes, with no dictionary of values that do not
/// repeat.
fn properties(schema: &SchemaRef) -> Result<WriterProperties, ParquetError> {
    let mut properties =
        WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?));
    let leaves = ArrowSchemaConverter::new().convert(schema)?;
    for leaf in leaves.columns() {
        if matches!(leaf.physical_type(), Type::FLOAT | Type::DOUBLE) {
            properties = properties
                .set_column_dictionary_enabled(leaf.path().clone(), false)
                .set_column_encoding(leaf.path().clone(), Encoding::BYTE_STREAM_SPLIT);
        }
        if leaf.max_rep_level() > 0 {
            properties = properties
                .set_column_statistics_enabled(leaf.path().clone(), EnabledStatistics::None);
        }
    }
    Ok(properties.build())
}

impl<W: Write + Send> BatchWriter for ParquetWriter<W> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteRowsError> {
        self.0.write(batch)?;
        if self.0.in_progress_size() >= ROW_GROUP_BYTES {
            self.0.flush()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), WriteRowsError> {
        self.0.close()?;
        Ok(())
    }
}

//! A Parquet file of one row group, column by column, with a checksum of each.
//!
//! Beside parquet's `SerializedFileWriter`, which has the same parts: that one takes no pages that somebody
//! else made without a copy.

use std::io::Write;
use std::sync::Arc;

use arrow::array::ArrayRef;
use parquet::column::writer::{ColumnCloseResult, get_column_writer};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, FileMetaData, KeyValue, OffsetIndexBuilder, ParquetMetaDataBuilder,
    ParquetMetaDataWriter, RowGroupMetaData,
};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::file::properties::{WriterPropertiesPtr, WriterVersion};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::{ColumnDescPtr, SchemaDescPtr};

use super::checksummed::{Checksummed, MAGIC};
use crate::checksum::Crc32c;
use crate::columns::{EqualLists, write_column};

/// A file that is being written to `W`.
pub(super) struct File<'a, W: Write> {
    output: TrackedWrite<&'a mut Checksummed<W>>,
    properties: WriterPropertiesPtr,
    schema: SchemaDescPtr,
    chunks: Vec<ColumnChunkMetaData>,
    offset_indexes: Vec<OffsetIndexMetaData>,
    checksums: Vec<Crc32c>,
    has_long_list: bool,
}

impl<'a, W: Write + Send> File<'a, W> {
    pub(super) fn begin(
        output: &'a mut Checksummed<W>,
        schema: SchemaDescPtr,
        properties: WriterPropertiesPtr,
    ) -> Result<Self> {
        let mut output = TrackedWrite::new(output);
        output.write_all(MAGIC)?;
        Ok(Self {
            output,
            properties,
            chunks: Vec::with_capacity(schema.num_columns()),
            offset_indexes: Vec::with_capacity(schema.num_columns()),
            checksums: Vec::with_capacity(schema.num_columns()),
            schema,
            has_long_list: false,
        })
    }

    fn column(&self) -> ColumnDescPtr {
        self.schema.column(self.chunks.len())
    }

    /// Writes the next column as the properties say.
    pub(super) fn write(&mut self, array: &ArrayRef, is_nullable: bool) -> Result<()> {
        let (column, properties) = (self.column(), Arc::clone(&self.properties));
        let pages = Box::new(SerializedPageWriter::new(&mut self.output));
        let mut writer = get_column_writer(column, properties, pages);
        write_column(&mut writer, array, is_nullable)?;
        let written = writer.close()?;
        self.end_column(written)
    }

    /// Writes the next column, of which compression has to leave at most the share `compressed`.
    pub(super) fn write_lists(
        &mut self,
        lists: EqualLists<'_>,
        compressed: Option<f64>,
    ) -> Result<()> {
        let written = lists.write(&self.column(), compressed, &mut self.output)?;
        self.end_column(written)
    }

    fn end_column(&mut self, written: ColumnCloseResult) -> Result<()> {
        let (start, num_bytes) = written.metadata.byte_range();
        let checksum = self
            .output
            .inner()
            .checksum_of(&(start..start + num_bytes))
            .ok_or_else(|| {
                let column = written.metadata.column_path();
                ParquetError::General(format!(
                    "the output was not flushed around column {column}, so it has no checksum"
                ))
            })?;
        let index = written.offset_index;
        let index = index.unwrap_or_else(|| OffsetIndexBuilder::new().build());
        let is_list = written.metadata.column_descr().max_rep_level() > 0;
        self.has_long_list |= is_list && index.page_locations().len() > 1;
        self.checksums.push(checksum);
        self.chunks.push(written.metadata);
        self.offset_indexes.push(index);
        Ok(())
    }

    /// The checksum of each column so far.
    pub(super) fn checksums(&self) -> &[Crc32c] {
        &self.checksums
    }

    /// Writes the footer, and the offset index where a list has several pages. Returns where the columns end.
    ///
    /// Whether the output took all of it, the output says when it is finished.
    pub(super) fn end(self, num_rows: usize, keys: Vec<KeyValue>) -> Result<u64> {
        let columns_end = self.output.bytes_written() as u64;
        let num_rows = num_rows as i64;
        let file = FileMetaData::new(
            WriterVersion::PARQUET_2_0.as_num(),
            num_rows,
            Some(self.properties.created_by().to_owned()),
            Some(keys),
            Arc::clone(&self.schema),
            // They are those of the columns' types, as the writer of the metadata knows.
            None,
        );
        let mut metadata = ParquetMetaDataBuilder::new(file);
        if !self.chunks.is_empty() {
            let sizes = self.chunks.iter();
            let sizes = sizes.map(ColumnChunkMetaData::uncompressed_size);
            let row_group = RowGroupMetaData::builder(self.schema)
                .set_total_byte_size(sizes.sum())
                .set_num_rows(num_rows)
                .set_sorting_columns(self.properties.sorting_columns().cloned())
                .set_ordinal(0)
                .set_file_offset(MAGIC.len() as i64)
                .set_column_metadata(self.chunks)
                .build()?;
            metadata = metadata.add_row_group(row_group);
            if self.has_long_list {
                metadata = metadata.set_offset_index(Some(vec![self.offset_indexes]));
            }
        }
        let metadata = metadata.build();
        ParquetMetaDataWriter::new_with_tracked(self.output, &metadata).finish()?;
        Ok(columns_end)
    }
}

use std::fs;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use super::*;

/// A file of `num_rows` numbers, its reader, and its directory.
fn numbers(num_rows: i64) -> (TempDir, PathBuf, PartReader) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("numbers.parquet");
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..num_rows));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    // Without a dictionary, 8 bytes a number.
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .build();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let bytes = fs::read(&path).unwrap();
    let reader = PartReader {
        path: path.clone(),
        num_bytes: bytes.len() as u64,
        crc32c: Some(Crc32c::of(&bytes)),
        content: None,
    };
    (dir, path, reader)
}

async fn read(reader: PartReader) -> ParquetResult<i64> {
    let stream = ParquetRecordBatchStreamBuilder::new(reader)
        .await?
        .build()?;
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let values = batches
        .iter()
        .flat_map(|b| b.column(0).as_primitive::<Int64Type>().values());
    Ok(values.sum())
}

#[tokio::test]
async fn small_and_large_files_are_read() {
    for num_rows in [3, 1_000_000] {
        let (_dir, _, reader) = numbers(num_rows);
        assert_eq!(reader.num_bytes > WHOLE_FILE_BYTES, num_rows > 3);
        assert_eq!(read(reader).await.unwrap(), num_rows * (num_rows - 1) / 2);
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_small_file_is_noticed() {
    let (_dir, path, reader) = numbers(3);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = read(reader).await.unwrap_err().to_string();
    assert!(error.contains("numbers.parquet was damaged"), "{error}");
}

#[tokio::test]
async fn what_is_no_parquet_file_is_named() {
    let (_dir, path, mut reader) = numbers(3);
    fs::write(&path, "not a Parquet file, but long enough to be one").unwrap();
    reader.num_bytes = fs::metadata(&path).unwrap().len();
    reader.crc32c = None;
    let error = read(reader).await.unwrap_err().to_string();
    assert!(
        error.contains("numbers.parquet is no whole Parquet file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_large_file_that_was_cut_off_is_named() {
    let (_dir, path, reader) = numbers(1_000_000);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(reader.num_bytes / 2).unwrap();
    let error = read(reader).await.unwrap_err().to_string();
    assert!(
        error.contains("numbers.parquet is shorter than the"),
        "{error}"
    );
}

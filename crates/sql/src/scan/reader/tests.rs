use std::fs;

use arrow::array::{Array, AsArray, Float32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use super::*;

/// The columns of the table in these tests; `bias` may be null.
fn stored() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("step", DataType::Int64, false),
        Field::new("bias", DataType::Float32, true),
    ]))
}

/// Writes `rows` as a file of format version `version`, 8 bytes a whole number.
fn write(rows: &RecordBatch, version: Option<&str>) -> (TempDir, PartFile) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("part.parquet");
    let entry = |version: &str| KeyValue::new(FORMAT_KEY.to_owned(), version.to_owned());
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_key_value_metadata(version.map(|version| vec![entry(version)]))
        .build();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    let bytes = fs::read(&path).unwrap();
    let part = PartFile {
        path,
        num_bytes: bytes.len() as u64,
        crc32c: Some(Crc32c::of(&bytes)),
    };
    (dir, part)
}

fn steps(num_rows: i64) -> (TempDir, PartFile) {
    let columns: [ArrayRef; 2] = [
        Arc::new(Int64Array::from_iter_values(0..num_rows)),
        Arc::new(Float32Array::from_iter_values(
            (0..num_rows).map(|n| n as f32),
        )),
    ];
    let rows = RecordBatch::try_new(stored(), columns.to_vec()).unwrap();
    write(&rows, Some(&FORMAT_VERSION.to_string()))
}

fn read(part: PartFile, indices: &[usize]) -> Result<Vec<RecordBatch>, String> {
    let reader = PartReader::try_new(&stored(), indices, 1024).unwrap();
    let rows = reader.open(part).map_err(|error| error.to_string())?;
    rows.collect::<Result<_>>()
        .map_err(|error| error.to_string())
}

#[test]
fn small_and_large_files_are_read() {
    for num_rows in [3, 1_000_000] {
        let (_dir, part) = steps(num_rows);
        assert_eq!(part.num_bytes > WHOLE_FILE_BYTES, num_rows > 3);
        let batches = read(part, &[0]).unwrap();
        let values = batches
            .iter()
            .flat_map(|b| b.column(0).as_primitive::<Int64Type>().values());
        assert_eq!(values.sum::<i64>(), num_rows * (num_rows - 1) / 2);
        assert!(batches.iter().all(|b| b.num_columns() == 1));
    }
}

#[test]
fn rows_are_counted_where_no_column_is_read() {
    let step: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let older = RecordBatch::try_from_iter([("step", step)]).unwrap();
    let files = [steps(2), write(&older, None), write(&older, Some("1.9"))];
    for (_dir, part) in files {
        let batches = read(part, &[]).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    }
}

/// Columns that another minor version does not have are null, those it has more are left out.
#[test]
fn files_of_another_minor_version_have_the_table_s_columns() {
    let columns: [(&str, ArrayRef); 2] = [
        ("later", Arc::new(Int64Array::from(vec![7, 8]))),
        ("step", Arc::new(Int64Array::from(vec![1, 2]))),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    for version in [None, Some("1.9")] {
        let (_dir, part) = write(&rows, version);
        let [batch] = &read(part, &[0, 1]).unwrap()[..] else {
            panic!("one batch");
        };
        assert_eq!(batch.schema(), stored());
        assert_eq!(
            batch.column(0).as_primitive::<Int64Type>().values(),
            &[1, 2]
        );
        assert_eq!(batch.column(1).null_count(), 2);
    }
}

#[test]
fn a_column_of_another_type_is_an_error_that_names_the_file() {
    let steps: ArrayRef = Arc::new(Float32Array::from(vec![1.0]));
    let rows = RecordBatch::try_from_iter([("step", steps)]).unwrap();
    let (_dir, part) = write(&rows, Some("1.9"));
    let error = read(part, &[0]).unwrap_err();
    assert!(error.contains("part.parquet has other columns"), "{error}");
}

#[test]
fn a_flipped_bit_in_a_small_file_is_noticed() {
    let (_dir, part) = steps(3);
    let mut bytes = fs::read(&part.path).unwrap();
    bytes[10] ^= 1;
    fs::write(&part.path, bytes).unwrap();
    let error = read(part, &[0]).unwrap_err();
    assert!(error.contains("part.parquet was damaged"), "{error}");
}

#[test]
fn what_is_no_parquet_file_is_named() {
    let (_dir, mut part) = steps(3);
    fs::write(&part.path, "not a Parquet file, but long enough to be one").unwrap();
    part.num_bytes = fs::metadata(&part.path).unwrap().len();
    part.crc32c = None;
    let error = read(part, &[0]).unwrap_err();
    assert!(
        error.contains("part.parquet is no whole Parquet file"),
        "{error}"
    );
}

#[test]
fn a_large_file_that_was_cut_off_is_named() {
    let (_dir, part) = steps(1_000_000);
    let file = fs::OpenOptions::new().write(true).open(&part.path).unwrap();
    file.set_len(part.num_bytes / 2).unwrap();
    let error = read(part, &[0]).unwrap_err();
    assert!(
        error.contains("part.parquet is shorter than the"),
        "{error}"
    );
}

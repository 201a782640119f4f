use std::fs;
use std::ops::Range;

use arrow::array::{Array, AsArray, Float32Array, Int64Array};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use super::*;
use crate::catalog::Catalog;
use crate::checksum::Crc32c;
use crate::column_checksums::Footer;
use crate::encode::{Compress, encode_part};
use crate::part::Part;
use crate::part_file::{SMALL_FILE_BYTES, WHOLE_FILE_BYTES};
use crate::run::RunDir;
use crate::store::LocalStore;
use crate::testing::{HIDDEN, lists, noise, part_path, weights_rows};

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
    let file = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    let bytes = fs::read(&path).unwrap();
    let part = PartFile {
        store: Arc::new(LocalStore::new(dir.path())),
        path: "part.parquet".to_owned(),
        num_bytes: bytes.len() as u64,
        crc32c: Some(Crc32c::of(&bytes)),
        footer: None,
        columns: None,
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
    rows.collect::<Result<_, _>>()
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

/// Whether a file is read without its own schema, and the rows that are read.
fn as_table(reader: &PartReader, part: &PartFile) -> (bool, usize) {
    let rows = reader.open(part.clone()).unwrap();
    let is_decoded = matches!(rows.rows, Rows::Decoded(Some(_)));
    let batches: Result<Vec<_>, _> = rows.collect();
    let num_rows = batches.unwrap().iter().map(RecordBatch::num_rows).sum();
    (is_decoded, num_rows)
}

#[test]
fn a_file_of_an_earlier_minor_version_with_the_table_s_columns_is_read_as_one_of_this() {
    let column = |name: &'static str, is_null: bool| -> (&'static str, ArrayRef, bool) {
        (name, Arc::new(Float32Array::from(vec![0.5, 1.5])), is_null)
    };
    let step: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let rows = |other: (&'static str, ArrayRef, bool)| {
        RecordBatch::try_from_iter_with_nullable([("step", Arc::clone(&step), false), other])
            .unwrap()
    };
    let this = FORMAT_VERSION.to_string();
    let reader = PartReader::try_new(&stored(), &[0, 1], 1024).unwrap();
    let cases = [
        (column("bias", true), Some(this.as_str()), true),
        (column("bias", true), Some("1.4"), true),
        (column("bias", true), Some("1.0"), true),
        // Its columns may be others in ways that nobody knows yet.
        (column("bias", true), Some("1.99"), false),
        (column("bias", true), Some("2.4"), false),
        (column("bias", true), Some("1"), false),
        (column("bias", true), None, false),
        // Others.
        (column("bias", false), Some("1.4"), false),
        (column("slope", true), Some("1.4"), false),
    ];
    for (other, version, expected) in cases {
        let (_dir, part) = write(&rows(other), version);
        assert_eq!(as_table(&reader, &part), (expected, 2), "{version:?}");
    }
    // In another order.
    let bias: ArrayRef = Arc::new(Float32Array::from(vec![0.5, 1.5]));
    let columns = [("bias", bias, true), ("step", step, false)];
    let swapped = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let (_dir, part) = write(&swapped, Some("1.4"));
    assert_eq!(as_table(&reader, &part), (false, 2));
    let [batch] = &read(part, &[0, 1]).unwrap()[..] else {
        panic!("one batch");
    };
    assert_eq!(
        batch.column(0).as_primitive::<Int64Type>().values(),
        &[1, 2]
    );
}

#[test]
fn the_files_of_a_run_of_format_1_4_are_read_as_those_of_this() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/1.4");
    let run = RunDir::open(path.as_ref()).unwrap();
    assert_ne!(run.info().format, FORMAT_VERSION);
    let catalog = Catalog::load(&run).unwrap();
    let mut num_files = 0;
    for file in catalog.files() {
        let stored = file.table.parse::<Table>().unwrap().schema();
        let columns: Vec<usize> = (0..stored.fields().len()).collect();
        let reader = PartReader::try_new(&stored, &columns, 1 << 20).unwrap();
        let part = PartFile::committed(&run, &file);
        let (is_decoded, num_rows) = as_table(&reader, &part);
        assert_eq!(num_rows as u64, file.rows);
        let bytes = bytes::Bytes::from(fs::read(part.location()).unwrap());
        let found = reader.describe(&bytes).unwrap();
        let found = found.metadata.file_metadata().schema_descr().num_columns();
        // Tables that have got columns since are the exception.
        assert_eq!(
            is_decoded,
            found == reader.leaves.num_columns(),
            "{}",
            file.path
        );
        num_files += usize::from(is_decoded);
    }
    assert!(num_files > 0);
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
    let mut bytes = fs::read(part.location()).unwrap();
    bytes[10] ^= 1;
    fs::write(part.location(), bytes).unwrap();
    let error = read(part, &[0]).unwrap_err();
    assert!(error.contains("part.parquet was damaged"), "{error}");
}

#[test]
fn a_flipped_bit_in_a_large_file_is_noticed_whoever_reads_it() {
    let (_dir, part) = steps(1_000_000);
    let mut bytes = fs::read(part.location()).unwrap();
    // A value, which nothing but the checksum protects.
    bytes[100] ^= 1;
    fs::write(part.location(), bytes).unwrap();
    let reader = PartReader::try_new(&stored(), &[0], 1024).unwrap();
    let all = PartReader {
        checks_all: true,
        ..reader.clone()
    };
    for reader in [reader, all] {
        let error = reader.open(part.clone()).unwrap_err().to_string();
        assert!(error.contains("part.parquet was damaged"), "{error}");
    }
}

/// Weights of so many neurons with 4,096 inputs each, as our writer writes them, and where its
/// columns are.
fn weights(num_neurons: u32) -> (TempDir, PartFile, Vec<Range<usize>>) {
    let dir = TempDir::new().unwrap();
    let values: Vec<_> = (0..num_neurons).map(|n| noise(n, 4096)).collect();
    let path = part_path(Table::Weights, 3, Some(HIDDEN));
    let rows = weights_rows(3, 0, lists(&values, None));
    let encoded = encode_part(&Part { path, rows }, Compress::Auto, Vec::new()).unwrap();
    let path = dir.path().join("part.parquet");
    fs::write(&path, &encoded.output).unwrap();
    let part = PartFile {
        store: Arc::new(LocalStore::new(dir.path())),
        path: "part.parquet".to_owned(),
        num_bytes: encoded.bytes,
        crc32c: Some(encoded.crc32c),
        footer: Some(encoded.footer),
        columns: None,
    };
    let metadata = ParquetMetaDataReader::new();
    let metadata = metadata.parse_and_finish(&bytes::Bytes::from(encoded.output));
    let metadata = metadata.unwrap();
    let columns = metadata.row_group(0).columns().iter();
    let columns = columns.map(|column| {
        let (start, length) = column.byte_range();
        start as usize..(start + length) as usize
    });
    (dir, part, columns.collect())
}

fn read_columns(part: &PartFile, indices: &[usize]) -> Result<Vec<RecordBatch>, String> {
    let reader = PartReader::try_new(&Table::Weights.schema(), indices, 100).unwrap();
    let rows = reader
        .open(part.clone())
        .map_err(|error| error.to_string())?;
    let rows: Result<_, _> = rows.collect();
    rows.map_err(|error| error.to_string())
}

/// Numbers of neurons whose files are read in one go, by columns in memory, and by columns of which
/// one is not held.
const NUM_NEURONS: [u32; 3] = [1, 50, 300];

#[test]
fn a_flipped_bit_in_a_column_is_noticed_by_whoever_reads_that_column() {
    for num_neurons in NUM_NEURONS {
        let (_dir, part, columns) = weights(num_neurons);
        let is_small = part.num_bytes <= SMALL_FILE_BYTES;
        assert_eq!(is_small, num_neurons == 1);
        assert_eq!(part.num_bytes > WHOLE_FILE_BYTES, num_neurons == 300);
        let whole = fs::read(part.location()).unwrap();
        let all: Vec<usize> = (0..columns.len()).collect();
        let rows = read_columns(&part, &all).unwrap();
        assert_eq!(
            rows.iter().map(RecordBatch::num_rows).sum::<usize>(),
            num_neurons as usize
        );
        for (column, range) in columns.iter().enumerate() {
            for at in [range.start, range.end - 1] {
                let mut damaged = whole.clone();
                damaged[at] ^= 0x10;
                fs::write(part.location(), damaged).unwrap();
                let error = read_columns(&part, &[column]).unwrap_err();
                assert!(error.contains("part.parquet was damaged"), "{error}");
                assert!(error.contains("`sink verify`"), "{error}");
                let other = (column + 1) % columns.len();
                // A small file is checked whole.
                match read_columns(&part, &[other]) {
                    Ok(found) => {
                        assert!(!is_small);
                        let expected: Vec<_> = rows
                            .iter()
                            .map(|rows| rows.project(&[other]).unwrap())
                            .collect();
                        assert_eq!(found, expected);
                    }
                    Err(error) => assert!(is_small, "{error}"),
                }
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_the_footer_is_noticed_whatever_is_read() {
    for num_neurons in NUM_NEURONS {
        let (_dir, part, columns) = weights(num_neurons);
        let whole = fs::read(part.location()).unwrap();
        let footer = columns.last().unwrap().end;
        for at in (footer..whole.len()).step_by(29).chain([whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(part.location(), damaged).unwrap();
            for columns in [&[][..], &[0]] {
                let error = read_columns(&part, columns).unwrap_err();
                assert!(error.contains("part.parquet was damaged"), "{at}: {error}");
            }
        }
    }
}

/// Of a large file the footer and the columns are read, and nothing else: what is elsewhere does not
/// matter.
#[test]
fn a_narrow_query_reads_only_its_columns() {
    let (_dir, part, columns) = weights(300);
    let mut bytes = fs::read(part.location()).unwrap();
    let narrow = [0, 3];
    let expected = read_columns(&part, &narrow).unwrap();
    for (column, range) in columns.iter().enumerate() {
        if !narrow.contains(&column) {
            bytes[range.clone()].fill(0);
        }
    }
    fs::write(part.location(), bytes).unwrap();
    assert_eq!(read_columns(&part, &narrow).unwrap(), expected);
}

/// Another writer may leave the columns' checksums out: then the file's decides.
#[test]
fn a_file_without_checksums_of_its_columns_is_checked_whole() {
    for num_rows in [10_000, 1_000_000] {
        let (_dir, mut part) = steps(num_rows);
        let mut bytes = fs::read(part.location()).unwrap();
        let metadata = ParquetMetaDataReader::new();
        let metadata = metadata
            .parse_and_finish(&bytes::Bytes::from(bytes.clone()))
            .unwrap();
        let end = metadata.row_group(0).columns().last().unwrap().byte_range();
        let footer = &bytes[(end.0 + end.1) as usize..];
        part.footer = Some(Footer {
            bytes: footer.len() as u64,
            crc32c: Crc32c::of(footer),
        });
        let batches = read(part.clone(), &[0]).unwrap();
        let rows = batches.iter().map(RecordBatch::num_rows).sum::<usize>();
        assert_eq!(rows as i64, num_rows);
        // Of the other column.
        bytes[(end.0 + end.1) as usize - 100] ^= 1;
        fs::write(part.location(), bytes).unwrap();
        let error = read(part, &[0]).unwrap_err();
        assert!(
            error.contains("part.parquet was damaged: its checksum"),
            "{error}"
        );
    }
}

#[test]
fn a_footer_that_cannot_be_is_an_error_or_the_file_is_checked_whole() {
    let (_dir, part, _) = weights(50);
    for bytes in [0, 7, part.num_bytes, part.num_bytes + 1, u64::MAX] {
        let footer = Footer {
            bytes,
            crc32c: Crc32c::of(&[]),
        };
        let part = PartFile {
            footer: Some(footer),
            ..part.clone()
        };
        match read_columns(&part, &[0]) {
            Ok(rows) => assert!(bytes > part.num_bytes, "{}", rows.len()),
            Err(error) => assert!(error.contains("part.parquet"), "{error}"),
        }
    }
}

#[test]
fn what_is_no_parquet_file_is_named() {
    let (_dir, mut part) = steps(3);
    fs::write(
        part.location(),
        "not a Parquet file, but long enough to be one",
    )
    .unwrap();
    part.num_bytes = fs::metadata(part.location()).unwrap().len();
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
    let file = fs::OpenOptions::new()
        .write(true)
        .open(part.location())
        .unwrap();
    file.set_len(part.num_bytes / 2).unwrap();
    let error = read(part, &[0]).unwrap_err();
    assert!(
        error.contains("part.parquet is shorter than the"),
        "{error}"
    );
}

/// The rows of neurons from `first` on.
fn from_neuron(first: i32) -> RowFilter {
    let neuron = Table::Weights.schema().index_of("neuron").unwrap();
    RowFilter::new(vec![neuron], move |rows| {
        let neurons = rows.column(0).as_primitive::<Int32Type>();
        Some(neurons.iter().map(|n| n.map(|n| n >= first)).collect())
    })
}

#[test]
fn of_rows_that_are_left_out_no_other_column_is_read() {
    let schema = Table::Weights.schema();
    let indices = ["neuron", "bias", "weights"].map(|name| schema.index_of(name).unwrap());
    let reader = PartReader::try_new(&schema, &indices, 100).unwrap();
    for num_neurons in NUM_NEURONS {
        let (_dir, part, columns) = weights(num_neurons);
        let all = reader.read_whole(&part).unwrap();
        let neurons = all.column(0).as_primitive::<Int32Type>();
        let (first, last) = (neurons.value(0), neurons.value(neurons.len() - 1));
        let read = |first: i32| {
            let reader = reader.clone().with_filter(from_neuron(first));
            let rows = reader
                .open(part.clone())
                .map_err(|error| error.to_string())?;
            let rows: Result<Vec<_>, _> = rows.collect();
            rows.map_err(|error| error.to_string())
        };
        let is_small = part.num_bytes <= SMALL_FILE_BYTES;
        assert_eq!(
            read(first).unwrap(),
            reader
                .open(part.clone())
                .unwrap()
                .map(Result::unwrap)
                .collect::<Vec<_>>()
        );
        let of_last = &read(last).unwrap()[..];
        match is_small {
            // It is decoded as a whole, and whoever asked chooses among its rows.
            true => assert_eq!(of_last, std::slice::from_ref(&all)),
            false => assert_eq!(of_last, [all.slice(all.num_rows() - 1, 1)]),
        }

        let mut damaged = fs::read(part.location()).unwrap();
        damaged[columns[indices[2]].start + 50] ^= 1;
        fs::write(part.location(), damaged).unwrap();
        assert!(read(last).unwrap_err().contains("was damaged"));
        match is_small {
            true => assert!(read(last + 1).unwrap_err().contains("was damaged")),
            false => assert_eq!(read(last + 1), Ok(vec![])),
        }
    }
    // What is not read decides nothing.
    let (_dir, part, _) = weights(50);
    let reader = PartReader::try_new(&schema, &indices[2..], 100).unwrap();
    let rows = reader
        .with_filter(from_neuron(i32::MAX))
        .open(part)
        .unwrap();
    assert_eq!(rows.map(|rows| rows.unwrap().num_rows()).sum::<usize>(), 50);
}

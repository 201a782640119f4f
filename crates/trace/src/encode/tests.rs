mod by_parquet;
mod page_lengths;
mod tables;

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int32Array, Int64Array};
use arrow::datatypes::{Float32Type, Int32Type};
use bytes::Bytes;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::PageType;
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::statistics::Statistics;
use proptest::prelude::*;

use super::*;
use crate::columns::check_pages_within;
use crate::testing::{
    HIDDEN, ablations_rows, histograms_rows, lists, metrics_rows, noise, part_path, resume_rows,
    structures_rows, weights_rows,
};

fn encode(table: Table, layer: Option<&str>, rows: RecordBatch) -> Result<Bytes, EncodeError> {
    let path = part_path(table, 3, layer);
    let encoded = encode_part(&Part { path, rows }, Compress::Auto, Vec::new())?;
    Ok(Bytes::from(encoded.output))
}

fn encode_weights(rows: &[Vec<f32>], nulls: Option<Vec<bool>>) -> Bytes {
    let rows = weights_rows(3, 10, lists(rows, nulls));
    encode(Table::Weights, Some(HIDDEN), rows).unwrap()
}

fn decode(file: &Bytes) -> RecordBatch {
    let mut batches = ParquetRecordBatchReaderBuilder::try_new(file.clone())
        .unwrap()
        .with_batch_size(1 << 20)
        .build()
        .unwrap();
    let batch = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    batch
}

fn metadata(file: &Bytes) -> ParquetMetaData {
    SerializedFileReader::new(file.clone())
        .unwrap()
        .metadata()
        .clone()
}

fn column<'a>(metadata: &'a ParquetMetaData, path: &str) -> &'a ColumnChunkMetaData {
    let columns = metadata.row_group(0).columns();
    let found = columns.iter().find(|c| c.column_path().string() == path);
    found.unwrap_or_else(|| panic!("no column {path}"))
}

fn pages(file: &Bytes, path: &str) -> Vec<Page> {
    let reader = SerializedFileReader::new(file.clone()).unwrap();
    let columns = reader.metadata().row_group(0).columns();
    let index = columns
        .iter()
        .position(|c| c.column_path().string() == path);
    let row_group = reader.get_row_group(0).unwrap();
    let mut pages: Box<dyn PageReader> = row_group.get_column_page_reader(index.unwrap()).unwrap();
    std::iter::from_fn(|| pages.get_next_page().unwrap()).collect()
}

fn value_encoding(page: &Page) -> Encoding {
    match page {
        Page::DataPageV2 { encoding, .. } => *encoding,
        other => panic!("{:?} is no data page of version 2", other.page_type()),
    }
}

#[test]
fn the_footer_says_what_the_format_specifies() {
    let rows: Vec<Vec<f32>> = (0..128).map(|unit| noise(unit, 64)).collect();
    let file = encode_weights(&rows, None);
    let metadata = metadata(&file);

    let keys = metadata.file_metadata().key_value_metadata().unwrap();
    let names: Vec<&str> = keys.iter().map(|pair| pair.key.as_str()).collect();
    assert_eq!(names, ["stratigraph.format", "stratigraph.column_crc32c"]);
    assert_eq!(keys[0].value.as_deref(), Some("1.5"));
    assert!(keys.iter().all(|pair| pair.key != ARROW_SCHEMA_META_KEY));
    let created_by = metadata.file_metadata().created_by().unwrap();
    assert!(
        created_by.starts_with("stratigraph version "),
        "{created_by}"
    );

    assert_eq!(metadata.num_row_groups(), 1);
    let row_group = metadata.row_group(0);
    let sorted_by: Vec<_> = row_group
        .sorting_columns()
        .unwrap()
        .iter()
        .map(|by| {
            assert!(!by.descending && !by.nulls_first);
            row_group
                .column(by.column_idx as usize)
                .column_path()
                .string()
        })
        .collect();
    assert_eq!(sorted_by, ["step", "neuron"]);

    for chunk in row_group.columns() {
        let path = chunk.column_path().string();
        let encoding = match path.as_str() {
            "step" | "rank" | "neuron" | "unit" | "nonfinite" => Encoding::DELTA_BINARY_PACKED,
            "weight_zeros" => Encoding::RLE_DICTIONARY,
            _ => Encoding::BYTE_STREAM_SPLIT,
        };
        let mut pages = pages(&file, &path);
        let has_dictionary = encoding == Encoding::RLE_DICTIONARY;
        if has_dictionary {
            assert_eq!(pages.remove(0).page_type(), PageType::DICTIONARY_PAGE);
        }
        assert!(!pages.is_empty());
        for page in &pages {
            assert_eq!(value_encoding(page), encoding, "{path}");
        }
        let dictionary = chunk.dictionary_page_offset();
        assert_eq!(dictionary.is_some(), has_dictionary, "{path}");
        assert_eq!(
            chunk.statistics().is_some(),
            path != "weights.list.item",
            "{path}"
        );
        assert_eq!(chunk.column_index_offset(), None, "{path}");
        assert_eq!(chunk.offset_index_offset(), None, "{path}");
    }
    let Some(Statistics::Int32(neuron)) = column(&metadata, "neuron").statistics() else {
        panic!("neuron has whole numbers");
    };
    assert_eq!(
        (neuron.min_opt(), neuron.max_opt()),
        (Some(&10), Some(&137))
    );
    assert_eq!(neuron.null_count_opt(), Some(0));
    let Some(Statistics::Int64(step)) = column(&metadata, "step").statistics() else {
        panic!("step has whole numbers");
    };
    assert_eq!((step.min_opt(), step.max_opt()), (Some(&96), Some(&96)));
}

#[test]
fn lists_of_every_length_round_trip_however_they_are_compressed() {
    for (length, num_rows) in [
        (1, 300),
        (3, 1000),
        (47, 99),
        (48, 99),
        (784, 200),
        (131_073, 2),
    ] {
        let rows: Vec<Vec<f32>> = (0..num_rows).map(|unit| noise(unit, length)).collect();
        for (name, compress) in Compress::ALL {
            let path = part_path(Table::Weights, 3, Some(HIDDEN));
            let part = Part {
                path,
                rows: weights_rows(3, 0, lists(&rows, None)),
            };
            let file = Bytes::from(encode_part(&part, compress, Vec::new()).unwrap().output);
            assert!(
                decode(&file) == part.rows,
                "{num_rows} lists of {length}, {name}"
            );
            let num_values = rows.len() * length;
            let is_compressed = column(&metadata(&file), "weights.list.item").compression()
                != parquet::basic::Compression::UNCOMPRESSED;
            let is_large = num_values * 4 >= MIN_COMPRESSED_BYTES;
            assert_eq!(is_compressed, compress == Compress::Size && is_large);
        }
    }
}

#[test]
fn by_size_weights_become_smaller_and_by_none_nothing_does() {
    let (activations, _) = tables::file_of(Table::Activations);
    let rows = decode(&activations);
    let size = |compress: Compress| {
        let path = part_path(Table::Activations, 3, Some(HIDDEN));
        let rows = rows.clone();
        encode_part(&Part { path, rows }, compress, Vec::new())
            .unwrap()
            .bytes
    };
    let raw = 64 * 512 * 4;
    assert!(size(Compress::None) > raw);
    assert!(size(Compress::Auto) < raw * 6 / 10);
    let weights: Vec<_> = (0..64).map(|unit| noise(unit, 256)).collect();
    let path = part_path(Table::Weights, 3, Some(HIDDEN));
    let rows = weights_rows(3, 0, lists(&weights, None));
    let part = Part { path, rows };
    let encoded = encode_part(&part, Compress::Size, Vec::new()).unwrap();
    let raw = 64 * 256 * 4;
    // The file's fixed costs are 4 KB.
    assert!(encoded.bytes < raw * 87 / 100 + 4096, "{}", encoded.bytes);
}

#[test]
fn long_rows_get_pages_of_131072_floats_and_an_offset_index() {
    let rows: Vec<Vec<f32>> = (0..3).map(|unit| noise(unit, 131_072)).collect();
    let file = encode_weights(&rows, None);
    let pages = pages(&file, "weights.list.item");
    assert_eq!(
        pages.iter().map(Page::num_values).collect::<Vec<_>>(),
        [131_072; 3]
    );
    assert!(
        column(&metadata(&file), "weights.list.item")
            .offset_index_offset()
            .is_some()
    );
    assert_eq!(
        decode(&file).column(5).as_ref(),
        &lists(&rows, None) as &dyn Array
    );
}

#[test]
fn pages_are_compressed_where_it_pays_and_only_there() {
    let are_compressed = |file: &Bytes, path: &str| -> Vec<bool> {
        let is_compressed = |page: &Page| match page {
            Page::DataPageV2 { is_compressed, .. } => *is_compressed,
            _ => panic!("only data pages of version 2"),
        };
        pages(file, path).iter().map(is_compressed).collect()
    };
    let list_pages_compressed =
        |rows: &[Vec<f32>]| are_compressed(&encode_weights(rows, None), "weights.list.item");
    // Half of it zeros.
    let (activations, _) = tables::file_of(Table::Activations);
    assert_eq!(
        are_compressed(&activations, "activations.list.item"),
        [true]
    );
    // Weights all over: their signs and fractions are random, only the exponents repeat.
    let weights: Vec<_> = (0..64).map(|unit| noise(unit, 256)).collect();
    assert_eq!(list_pages_compressed(&weights), [false]);
    // Every bit is random.
    let mut state = 1u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f32::from_bits((state >> 32) as u32)
    };
    let bits: Vec<Vec<f32>> = (0..64)
        .map(|_| (0..256).map(|_| random()).collect())
        .collect();
    assert_eq!(list_pages_compressed(&bits), [false]);
    // Too little to bother.
    assert_eq!(list_pages_compressed(&[vec![0.0; 64]]), [false]);
}

/// Equal floats take nearly nothing, so that a page of many looks like one that is made to fill a reader's memory.
/// Here that begins at 4 MiB, and not at 64.
#[test]
fn readers_take_pages_of_any_length_that_are_written() {
    const MAX_BYTES: u64 = 4 << 20;
    let encode_within = |max_bytes: u64, lengths: &[usize]| {
        let rows: Vec<Vec<f32>> = lengths.iter().map(|&length| vec![0.5; length]).collect();
        let rows = weights_rows(3, 10, lists(&rows, None));
        let path = part_path(Table::Weights, 3, Some(HIDDEN));
        let encoded =
            encode_within(max_bytes, &Part { path, rows }, Compress::Auto, Vec::new()).unwrap();
        Bytes::from(encoded.output)
    };
    let check = |file: &Bytes| {
        let metadata = metadata(file);
        let columns: Vec<usize> = (0..metadata.row_group(0).num_columns()).collect();
        check_pages_within(MAX_BYTES, file, &metadata, &columns)
    };
    let most = (MAX_BYTES as usize - 2 * LIST_PAGE_BYTES) / size_of::<f32>();
    for (lengths, is_packed) in [
        (vec![most], true),
        (vec![most + 1], false),
        // Just too little for a page of its own is before it.
        (vec![LIST_PAGE_BYTES / 4 - 1, most], true),
        (vec![1, LIST_PAGE_BYTES / 4 - 2, most + 1, 1], false),
        (vec![most * 2], false),
    ] {
        let file = encode_within(MAX_BYTES, &lengths);
        check(&file).unwrap_or_else(|error| panic!("{lengths:?}: {error}"));
        let num_values: usize = lengths.iter().sum();
        assert_eq!(file.len() < num_values, is_packed, "{lengths:?}");
    }
    // What is packed all the same is what the bound is for.
    let error = check(&encode_within(u64::MAX, &[most * 2])).unwrap_err();
    assert!(error.to_string().contains("would be unpacked"), "{error}");
}

/// A layer of 10 units and one metric: the files of a small network.
#[test]
fn small_parts_stay_small() {
    let rows: Vec<Vec<f32>> = (0..10).map(|unit| noise(unit, 20)).collect();
    let weights = encode_weights(&rows, None);
    let metrics = encode(Table::Metrics, None, metrics_rows(3, &[("loss", 0.5)])).unwrap();
    // 800 and 30 bytes of values; the rest is the price of a column, 8 digits of its checksum with it.
    assert!(weights.len() < 3350, "{}", weights.len());
    assert!(metrics.len() < 1000, "{}", metrics.len());
}

#[test]
fn rows_of_another_table_or_order_are_refused() {
    let error = encode(
        Table::Weights,
        Some(HIDDEN),
        metrics_rows(3, &[("loss", 0.5)]),
    )
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("neuron Int32 not null") && text.contains("value Float64"),
        "{text}"
    );

    let rows = weights_rows(3, 0, lists(&vec![vec![1.0]; 3], None));
    let mut columns = rows.columns().to_vec();
    columns[2] = Arc::new(Int32Array::from(vec![7, 9, 8]));
    let rows = RecordBatch::try_new(rows.schema(), columns.clone()).unwrap();
    let error = encode(Table::Weights, Some(HIDDEN), rows.clone()).unwrap_err();
    assert!(
        matches!(error, EncodeError::NotSorted { row: 2, .. }),
        "{error}"
    );

    // The step comes first: where it ascends, the neuron may start anew.
    columns[0] = Arc::new(Int64Array::from(vec![1, 1, 2]));
    let rows = RecordBatch::try_new(rows.schema(), columns).unwrap();
    let read = decode(&encode(Table::Weights, Some(HIDDEN), rows).unwrap());
    assert_eq!(
        read.column(2).as_primitive::<Int32Type>().values(),
        &[7, 9, 8]
    );
}

#[test]
fn what_lies_behind_a_null_list_is_not_written() {
    let rows = vec![vec![1.0, 2.0], vec![9.0; 3], vec![], vec![3.0]];
    let file = encode_weights(&rows, Some(vec![true, false, true, true]));
    let read = decode(&file);
    let read = read.column(5).as_list::<i32>();
    assert!(read.is_null(1) && read.is_valid(2));
    assert_eq!(
        read.values().as_primitive::<Float32Type>().values(),
        &[1.0, 2.0, 3.0]
    );
    assert_eq!(read.value_offsets(), &[0, 2, 2, 2, 3]);
}

#[test]
fn a_slice_of_a_batch_is_written_as_the_slice() {
    let rows: Vec<Vec<f32>> = (0..6).map(|unit| noise(unit, 5)).collect();
    let whole = weights_rows(3, 0, lists(&rows, None));
    let file = encode(Table::Weights, Some(HIDDEN), whole.slice(2, 3)).unwrap();
    let read = decode(&file);
    assert_eq!(
        read.column(2).as_primitive::<Int32Type>().values(),
        &[2, 3, 4]
    );
    assert_eq!(
        read.column(5)
            .as_list::<i32>()
            .values()
            .as_primitive::<Float32Type>()
            .values(),
        &rows[2..5].concat()
    );
}

#[test]
fn every_column_and_the_footer_have_checksums() {
    let large = lists(&vec![noise(0, 4096); 70], None);
    let small = lists(&[noise(0, 3)], None);
    for values in [large, small] {
        let rows = weights_rows(3, 0, values);
        let path = part_path(Table::Weights, 3, Some(HIDDEN));
        let encoded = encode_part(&Part { path, rows }, Compress::Auto, Vec::new()).unwrap();
        let file = Bytes::from(encoded.output);
        assert_eq!(encoded.bytes, file.len() as u64);
        assert_eq!(encoded.crc32c, Crc32c::of(&file));

        let metadata = metadata(&file);
        let entries = metadata.file_metadata().key_value_metadata().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry.key == "stratigraph.column_crc32c");
        let mut expected = String::new();
        let mut end = 4;
        for column in metadata.row_group(0).columns() {
            let (start, length) = column.byte_range();
            let chunk = &file[start as usize..(start + length) as usize];
            expected += &Crc32c::of(chunk).to_string();
            end = start + length;
        }
        assert_eq!(entry.unwrap().value.as_deref(), Some(expected.as_str()));
        assert_eq!(encoded.footer.bytes, file.len() as u64 - end);
        assert_eq!(encoded.footer.crc32c, Crc32c::of(&file[end as usize..]));
    }
}

#[test]
fn a_part_without_rows_is_magic_bytes_and_a_footer() {
    let rows = RecordBatch::new_empty(Table::Metrics.schema());
    let path = part_path(Table::Metrics, 3, None);
    let encoded = encode_part(&Part { path, rows }, Compress::Auto, Vec::new()).unwrap();
    assert_eq!(encoded.crc32c, Crc32c::of(&encoded.output));
    assert_eq!(encoded.footer.bytes, encoded.bytes - 4);
    assert_eq!(encoded.footer.crc32c, Crc32c::of(&encoded.output[4..]));
}

#[derive(Debug)]
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error() {
    for num_rows in [1, 5000] {
        let rows = weights_rows(3, 0, lists(&vec![noise(0, 8); num_rows], None));
        let path = part_path(Table::Weights, 3, Some(HIDDEN));
        let error = encode_part(&Part { path, rows }, Compress::Auto, Broken).unwrap_err();
        let EncodeError::Io(error) = error else {
            panic!("{error}");
        };
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }
}

fn any_list() -> impl Strategy<Value = Option<Vec<f32>>> {
    let float = prop_oneof![
        4 => any::<u32>().prop_map(f32::from_bits),
        1 => Just(f32::NAN),
        1 => Just(f32::NEG_INFINITY),
        1 => Just(-0.0),
    ];
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Vec::new())),
        6 => prop::collection::vec(float, 0..3000).prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn lists_round_trip_bit_for_bit(rows in prop::collection::vec(any_list(), 1..20)) {
        let nulls = rows.iter().map(Option::is_some).collect();
        let values: Vec<Vec<f32>> = rows.iter().map(|row| row.clone().unwrap_or_default()).collect();
        let read = decode(&encode_weights(&values, Some(nulls)));
        let read = read.column(5).as_list::<i32>();
        let bits = |list: &[f32]| list.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        for (row, expected) in rows.iter().enumerate() {
            let found = read.is_valid(row).then(|| bits(read.value(row).as_primitive::<Float32Type>().values()));
            prop_assert_eq!(found, expected.as_deref().map(bits));
        }
    }
}

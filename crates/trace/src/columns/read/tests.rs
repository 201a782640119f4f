use arrow::array::{Array, Float32Array, Float64Array, Int32Array, Int64Array};
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;

use super::*;
use crate::table::float_item;

pub(in crate::columns) fn list_of(rows: &[Option<Vec<f32>>]) -> ListArray {
    let lengths = rows.iter().map(|row| row.as_ref().map_or(0, Vec::len));
    let values: Vec<f32> = rows.iter().flatten().flatten().copied().collect();
    let nulls: NullBuffer = rows.iter().map(Option::is_some).collect();
    ListArray::new(
        Arc::new(float_item()),
        OffsetBuffer::from_lengths(lengths),
        Arc::new(Float32Array::from(values)),
        Some(nulls).filter(|nulls| nulls.null_count() > 0),
    )
}

pub(in crate::columns) fn batch(columns: Vec<(&str, bool, ArrayRef)>) -> RecordBatch {
    let fields = columns
        .iter()
        .map(|(name, nullable, array)| Field::new(*name, array.data_type().clone(), *nullable));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    RecordBatch::try_new(schema, arrays).unwrap()
}

/// The rows as a file of parquet's own writer, with pages of `page_rows`.
pub(in crate::columns) fn file(
    rows: &RecordBatch,
    page_rows: usize,
    version: WriterVersion,
) -> Arc<Bytes> {
    let mut properties = WriterProperties::builder()
        .set_writer_version(version)
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(page_rows);
    if version == WriterVersion::PARQUET_2_0 {
        let lists = ["lists", "list", "item"].map(str::to_owned);
        let lists = ColumnPath::new(lists.to_vec());
        properties = properties
            .set_dictionary_enabled(false)
            .set_column_encoding(lists, Encoding::BYTE_STREAM_SPLIT);
    }
    written(rows, properties)
}

/// The rows as a file of parquet's own writer.
pub(in crate::columns) fn written(
    rows: &RecordBatch,
    properties: WriterPropertiesBuilder,
) -> Arc<Bytes> {
    let mut bytes = Vec::new();
    let properties = Some(properties.build());
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), properties).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    Arc::new(Bytes::from(bytes))
}

fn row_group(file: &Arc<Bytes>) -> RowGroupMetaData {
    let reader = SerializedFileReader::new(file.as_ref().clone()).unwrap();
    reader.metadata().row_group(0).clone()
}

/// Writes the rows in both versions of pages, and decodes the columns at `indices`.
fn round_trip(rows: &RecordBatch, page_rows: usize, indices: &[usize]) -> RecordBatch {
    let columns = Arc::new(rows.schema().project(indices).unwrap());
    let decoded = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0].map(|version| {
        let file = file(rows, page_rows, version);
        read_row_group(&file, &row_group(&file), indices, &columns).unwrap()
    });
    let [decoded, again] = decoded;
    assert_eq!(decoded, again);
    decoded
}

#[test]
fn every_type_of_the_format_is_decoded() {
    let rows = batch(vec![
        ("i32", false, Arc::new(Int32Array::from(vec![1, -2, 3]))),
        (
            "i32_null",
            true,
            Arc::new(Int32Array::from(vec![None, Some(5), None])),
        ),
        (
            "i64",
            false,
            Arc::new(Int64Array::from(vec![i64::MIN, 0, i64::MAX])),
        ),
        (
            "f32",
            true,
            Arc::new(Float32Array::from(vec![Some(0.5), None, Some(-0.0)])),
        ),
        (
            "f64",
            false,
            Arc::new(Float64Array::from(vec![1e300, -1.0, 0.0])),
        ),
        (
            "bool",
            true,
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ),
        (
            "text",
            false,
            Arc::new(StringArray::from(vec!["eval", "", "eval"])),
        ),
        (
            "text_null",
            true,
            Arc::new(StringArray::from(vec![None, Some("ä"), None])),
        ),
        (
            "lists",
            false,
            Arc::new(list_of(&[
                Some(vec![1.0]),
                Some(vec![]),
                Some(vec![2.0, 3.0]),
            ])),
        ),
        (
            "lists_null",
            true,
            Arc::new(list_of(&[None, Some(vec![]), Some(vec![4.0])])),
        ),
        (
            "equal",
            true,
            Arc::new(list_of(&[
                Some(vec![1.0, 2.0]),
                Some(vec![3.0, 4.0]),
                Some(vec![5.0, 6.0]),
            ])),
        ),
    ]);
    let all: Vec<usize> = (0..rows.num_columns()).collect();
    for page_rows in [1, 2, 100] {
        assert_eq!(round_trip(&rows, page_rows, &all), rows, "{page_rows}");
    }
    assert_eq!(
        round_trip(&rows, 100, &[2, 9]),
        rows.project(&[2, 9]).unwrap()
    );
    assert_eq!(round_trip(&rows, 100, &[]).num_rows(), 3);
}

/// What the lists' column holds, if it is read without decoding its levels.
fn equal_lists(lists: &ListArray, page_rows: usize) -> Option<(Vec<f32>, usize)> {
    let rows = batch(vec![("lists", true, Arc::new(lists.clone()))]);
    let file = file(&rows, page_rows, WriterVersion::PARQUET_2_0);
    let chunk = Chunk {
        file: &file,
        row_group: &row_group(&file),
        index: 0,
        num_rows: lists.len(),
    };
    chunk.equal_lists().unwrap()
}

/// As many values as rows times a length, but not of that length each.
#[test]
fn lists_that_only_add_up_to_one_length_are_not_taken_for_equal() {
    for rows in [
        [Some(vec![1.0]), Some(vec![2.0, 3.0, 4.0])],
        [Some(vec![1.0]), Some(vec![])],
        [None, Some(vec![2.0])],
    ] {
        assert_eq!(equal_lists(&list_of(&rows), 100), None, "{rows:?}");
        let rows = batch(vec![("lists", true, Arc::new(list_of(&rows)))]);
        assert_eq!(round_trip(&rows, 100, &[0]), rows);
    }
}

/// Rows of lists, null and empty ones among them.
fn lists() -> impl Strategy<Value = Vec<Option<Vec<f32>>>> {
    let list = prop::option::weighted(0.9, prop::collection::vec(-1e3_f32..1e3, 0..6));
    prop::collection::vec(list, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_lists_come_back(rows in lists(), page_rows in 1_usize..20) {
        let rows = batch(vec![("lists", true, Arc::new(list_of(&rows)))]);
        prop_assert_eq!(round_trip(&rows, page_rows, &[0]), rows);
    }

    #[test]
    fn equal_lists_are_read_without_their_levels(
        num_rows in 1_usize..40,
        length in 1_usize..70,
        page_rows in 1_usize..50,
    ) {
        let row = |row: usize| Some((0..length).map(|i| (row * length + i) as f32).collect());
        let lists = list_of(&(0..num_rows).map(row).collect::<Vec<_>>());
        let expected = (0..num_rows * length).map(|value| value as f32).collect();
        prop_assert_eq!(equal_lists(&lists, page_rows), Some((expected, length)));
    }

    /// Levels that were decoded say the same.
    #[test]
    fn lists_are_taken_for_equal_only_if_they_are(lengths in prop::collection::vec(1_usize..4, 1..20)) {
        let rows: Vec<_> = lengths.iter().map(|&length| Some(vec![1.0; length])).collect();
        let are_equal = lengths.iter().all(|length| *length == lengths[0]);
        prop_assert_eq!(equal_lists(&list_of(&rows), 100).is_some(), are_equal);
    }
}

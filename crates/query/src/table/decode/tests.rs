use arrow::array::{Array, Float32Array, Float64Array, Int32Array, Int64Array};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use proptest::prelude::*;
use trace::float_item;

use super::*;

fn list_of(rows: &[Option<Vec<f32>>]) -> ListArray {
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

fn batch(columns: Vec<(&str, bool, ArrayRef)>) -> RecordBatch {
    let fields = columns
        .iter()
        .map(|(name, nullable, array)| Field::new(*name, array.data_type().clone(), *nullable));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let arrays = columns.into_iter().map(|(_, _, array)| array).collect();
    RecordBatch::try_new(schema, arrays).unwrap()
}

/// Writes the rows with parquet's own writer, pages of `page_rows`, and decodes the columns at
/// `indices`.
fn round_trip(rows: &RecordBatch, page_rows: usize, indices: &[usize]) -> RecordBatch {
    let properties = WriterProperties::builder()
        .set_data_page_row_count_limit(page_rows)
        .set_write_batch_size(page_rows)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    let bytes = Arc::new(Bytes::from(bytes));
    let reader = SerializedFileReader::new(bytes.as_ref().clone()).unwrap();
    let columns = Arc::new(rows.schema().project(indices).unwrap());
    decode(&bytes, reader.metadata().row_group(0), indices, &columns).unwrap()
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

/// As many values as rows times a length, but not of that length each.
#[test]
fn lists_that_only_add_up_to_one_length_are_not_taken_for_equal() {
    let lists = list_of(&[Some(vec![1.0]), Some(vec![2.0, 3.0, 4.0])]);
    let rows = batch(vec![("lists", true, Arc::new(lists))]);
    assert_eq!(round_trip(&rows, 100, &[0]), rows);
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
}

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float32Builder, Float64Array, Int32Array, Int32Builder, ListArray,
    ListBuilder, StringArray,
};
use arrow::datatypes::{DataType, Field};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{DataFrame, SessionContext};

use super::*;

fn lists(rows: &[Option<&[f32]>]) -> ListArray {
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(trace::float_item());
    for row in rows {
        lists.values().append_slice(row.unwrap_or_default());
        lists.append(row.is_some());
    }
    lists.finish()
}

fn rows(columns: Vec<(&str, ArrayRef)>) -> DataFrame {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    SessionContext::new().read_batch(batch.unwrap()).unwrap()
}

async fn written(rows: SendableRecordBatchStream, format: Format, style: TableStyle) -> String {
    let mut out = Vec::new();
    write_rows(rows, format, style, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn lists_in_csv_are_json_whatever_they_hold() {
    let mut nested = ListBuilder::new(ListBuilder::new(Int32Builder::new()));
    nested.append_value([Some([Some(1), None]), None]);
    nested.append_null();
    nested.append_value([Some([Some(2), Some(3)])]);
    let mut texts = ListBuilder::new(arrow::array::StringBuilder::new());
    texts.append_value([Some("a \"b\""), Some("c, d")]);
    texts.append_value(std::iter::empty::<Option<&str>>());
    texts.append_value([None::<&str>]);
    let rows = rows(vec![
        (
            "floats",
            Arc::new(lists(&[
                Some(&[0.1, f32::NAN, 1e-30]),
                Some(&[f32::INFINITY, f32::NEG_INFINITY]),
                None,
            ])),
        ),
        ("nested", Arc::new(nested.finish())),
        ("texts", Arc::new(texts.finish())),
        (
            "plain",
            Arc::new(Float32Array::from(vec![Some(0.5), None, Some(2.0)])),
        ),
    ]);
    let stream = rows.execute_stream().await.unwrap();
    assert_eq!(
        written(stream, Format::Csv, TableStyle::Full).await,
        "\
floats,nested,texts,plain
\"[0.1, NaN, 1e-30]\",\"[[1, null], null]\",\"[\"\"a \\\"\"b\\\"\"\"\", \"\"c, d\"\"]\",0.5
\"[Infinity, -Infinity]\",,[],
,\"[[2, 3]]\",[null],2.0
"
    );
}

#[tokio::test]
async fn what_json_cannot_hold_is_null_and_counted() {
    let rows = rows(vec![
        (
            "floats",
            Arc::new(lists(&[
                Some(&[0.5, f32::NAN, f32::INFINITY]),
                None,
                Some(&[f32::NEG_INFINITY]),
            ])),
        ),
        (
            "plain",
            Arc::new(Float64Array::from(vec![Some(f64::NAN), None, Some(2.0)])),
        ),
    ]);
    for (format, expected) in [
        (
            Format::Json,
            "[{\"floats\":[0.5,null,null],\"plain\":null},\n\
             {\"floats\":null,\"plain\":null},\n\
             {\"floats\":[null],\"plain\":2.0}]\n",
        ),
        (
            Format::JsonLines,
            "{\"floats\":[0.5,null,null],\"plain\":null}\n\
             {\"floats\":null,\"plain\":null}\n\
             {\"floats\":[null],\"plain\":2.0}\n",
        ),
    ] {
        let stream = rows.clone().execute_stream().await.unwrap();
        let mut out = Vec::new();
        let written = write_rows(stream, format, TableStyle::Full, &mut out).await;
        let written = written.unwrap();
        assert_eq!((written.num_rows, written.num_nonfinite), (3, 4));
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
    let stream = rows.execute_stream().await.unwrap();
    let written = write_rows(stream, Format::Csv, TableStyle::Full, &mut Vec::new()).await;
    assert_eq!(written.unwrap().num_nonfinite, 0);
}

#[tokio::test]
async fn wide_columns_are_null_past_a_lists_end() {
    let rows = rows(vec![
        (
            "weights",
            Arc::new(lists(&[Some(&[1.0]), None, Some(&[2.0, 3.0])])),
        ),
        ("neuron", Arc::new(Int32Array::from(vec![7, 8, 9]))),
        (
            "outputs",
            Arc::new(lists(&[Some(&[]), Some(&[0.5]), Some(&[])])),
        ),
    ]);
    let wide = widened(rows).await.unwrap();
    assert_eq!(
        written(wide, Format::Csv, TableStyle::Full).await,
        "\
w_0,w_1,neuron,outputs_0
1.0,,7,
,,8,0.5
2.0,3.0,9,
"
    );
}

#[tokio::test]
async fn wide_rows_without_lists_are_as_they_are() {
    let rows = rows(vec![("neuron", Arc::new(Int32Array::from(vec![7])))]);
    let wide = widened(rows).await.unwrap();
    assert_eq!(
        written(wide, Format::Csv, TableStyle::Full).await,
        "neuron\n7\n"
    );
}

#[tokio::test]
async fn a_terminal_sees_the_first_rows_and_how_many_there_are() {
    let numbers: Vec<i32> = (0..101).collect();
    let rows = rows(vec![("n", Arc::new(Int32Array::from(numbers)))]);
    let stream = rows.execute_stream().await.unwrap();
    let table = written(stream, Format::Table, TableStyle::Short).await;
    assert_eq!(table.lines().count(), SHOWN_ROWS + 5);
    assert!(table.contains("| 99 |\n+"), "{table}");
    assert!(
        table.ends_with("101 rows, the first 100 shown (-o FILE writes all)\n"),
        "{table}"
    );
}

#[tokio::test]
async fn a_terminal_sees_long_lists_shortened() {
    let rows = rows(vec![
        (
            "weights",
            Arc::new(lists(&[
                Some(&[1.0, 2.0, 3.0, 4.0, 5.0]),
                Some(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
            ])),
        ),
        (
            "text",
            Arc::new(StringArray::from(vec!["one\ntwo", "three"])),
        ),
    ]);
    let short = rows.clone().execute_stream().await.unwrap();
    assert_eq!(
        written(short, Format::Table, TableStyle::Short).await,
        "\
+--------------------------------+-------+
| weights                        | text  |
+--------------------------------+-------+
| [1.0, 2.0, 3.0, 4.0, 5.0]      | one   |
|                                | two   |
| [1.0, 2.0, 3.0, 4.0, … 2 more] | three |
+--------------------------------+-------+
2 rows
"
    );
    let full = rows.execute_stream().await.unwrap();
    let full = written(full, Format::Table, TableStyle::Full).await;
    assert!(full.contains("[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]"), "{full}");
}

#[test]
fn a_suffix_names_a_format() {
    for (path, format) in [
        ("a.csv", Some(Format::Csv)),
        ("a.b/c.JSON", Some(Format::Json)),
        ("a.jsonl", Some(Format::JsonLines)),
        ("a.ndjson", Some(Format::JsonLines)),
        ("a.parquet", Some(Format::Parquet)),
        ("a.arrow", Some(Format::Arrow)),
        ("a.txt", Some(Format::Table)),
        ("a.xlsx", None),
        ("csv", None),
    ] {
        assert_eq!(Format::from_suffix(Path::new(path)), format, "{path}");
    }
}

#[tokio::test]
async fn columns_that_a_format_cannot_tell_apart_are_refused() {
    let column = || -> ArrayRef { Arc::new(Int32Array::from(vec![1])) };
    let field = |name: &str| Field::new(name, DataType::Int32, false);
    let schema = Schema::new(vec![field("neuron"), field("epoch"), field("neuron")]);
    let columns = vec![column(), column(), column()];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let stream = || -> SendableRecordBatchStream {
        let batches = futures::stream::iter([Ok(batch.clone())]);
        Box::pin(RecordBatchStreamAdapter::new(batch.schema(), batches))
    };
    for format in [Format::Json, Format::JsonLines, Format::Parquet] {
        let mut out = Vec::new();
        let failed = write_rows(stream(), format, TableStyle::Full, &mut out).await;
        assert_eq!(
            failed.unwrap_err().to_string(),
            format!(
                "two columns are named \"neuron\", which {} cannot hold: give one another name \
                 with AS",
                format.name()
            )
        );
        assert!(out.is_empty());
    }
    let csv = written(stream(), Format::Csv, TableStyle::Full).await;
    assert_eq!(csv, "neuron,epoch,neuron\n1,1,1\n");
}

#[tokio::test]
async fn a_table_shows_names_that_a_terminal_would_obey_or_draw_wider() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["猫\t", "\u{1b}[2J\r", "é"]));
    let stream = rows(vec![("class\u{7}", texts)])
        .execute_stream()
        .await
        .unwrap();
    let table = written(stream, Format::Table, TableStyle::Full).await;
    assert_eq!(
        table,
        "\
+-------------+
| class\\u{7}  |
+-------------+
| 猫\\t        |
| \\u{1b}[2J\\r |
| é           |
+-------------+
"
    );
}

#[tokio::test]
async fn a_table_has_cells_of_any_length() {
    let long = "x".repeat(70_000);
    let texts: ArrayRef = Arc::new(StringArray::from(vec![long.as_str(), "y"]));
    let stream = rows(vec![("text", texts)]).execute_stream().await.unwrap();
    let table = written(stream, Format::Table, TableStyle::Full).await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], format!("+{}+", "-".repeat(70_002)));
    assert_eq!(lines[3], format!("| {long} |"));
    assert_eq!(lines[4], format!("| y{} |", " ".repeat(69_999)));
}

//! Columns that say no more of a sample than its place in the file.

use ::parquet::file::metadata::KeyValue;

use super::*;

fn numbered(header: &str, of_row: impl Fn(usize) -> String) -> String {
    let rows = (0..20).map(|row| format!("{},{},{}\n", of_row(row), row % 3, ["u", "v"][row / 10]));
    format!("{header}\n{}", rows.collect::<String>())
}

fn names(dataset: &Dataset) -> serde_json::Value {
    dataset.info().details.as_ref().unwrap()["inputs"]["names"].clone()
}

#[test]
fn a_column_without_a_name_that_counts_the_rows_is_left_out_and_told() {
    let files = Files::new();
    for (header, name, from) in [
        (",a,y", "''", 0),
        ("\"\",a,y", "''", 1),
        ("Unnamed: 0,a,y", "'Unnamed: 0'", 0),
    ] {
        let spec = files.csv(&numbered(header, |row| (row + from).to_string()), &["y"]);
        let dataset = load(&spec, 1).unwrap();
        assert_eq!(names(&dataset), serde_json::json!(["a"]));
        let told = dataset.notes().join("\n");
        let keep = format!("it counts the rows; --keep {name} takes it as an input");
        assert!(told.contains(&keep), "{told}");
        // A replay does as was done then.
        let again = Dataset::from_info(dataset.info(), 1).unwrap();
        assert_eq!(again.info(), dataset.info());
        assert_eq!(again.held_out(), dataset.held_out());
        let column = name.trim_matches('\'').to_owned();
        let kept = FileSpec {
            kept: vec![column.clone()],
            ..spec
        };
        let kept = load(&kept, 1).unwrap();
        assert_eq!(names(&kept), serde_json::json!([column, "a"]));
    }
    // What is held out has it or not.
    let train = numbered(",a,y", |row| row.to_string());
    for test in [",a,y\n7,1,u\n", "a,y\n1,u\n"] {
        let spec = held_out_in(files.csv(&train, &["y"]), files.write("test.csv", test));
        assert_eq!(load(&spec, 1).unwrap().held_out().num_inputs(), 1);
    }
}

#[test]
fn an_empty_column_without_a_name_is_left_out_and_several_are_told_apart() {
    let files = Files::new();
    // Commas at the ends of lines.
    let spec = files.csv("a,y,,\n1,u,,\n2,v,,\n1,u,,\n2,v,,\n", &["y"]);
    let dataset = load(&spec, 1).unwrap();
    assert_eq!(names(&dataset), serde_json::json!(["a"]));
    assert!(
        dataset
            .notes()
            .join("\n")
            .contains("is left out: it is empty")
    );
    assert_eq!(
        Dataset::from_info(dataset.info(), 1).unwrap().info(),
        dataset.info()
    );
    let several = files.refusal(&files.csv("a,y,,\n1,u,3,\n2,v,1,\n1,u,7,\n2,v,7,\n", &["y"]));
    assert!(
        several.contains("several columns without a name"),
        "{several}"
    );
    let alone = files.refusal(&files.csv(",y\n0,u\n1,v\n2,u\n3,v\n", &["y"]));
    assert_eq!(
        alone,
        "data.csv: no column is left to learn from: the column without a name is left out as an \
         index (--keep '' takes it)"
    );
}

#[test]
fn what_merely_looks_like_an_index_is_an_input_and_named() {
    let files = Files::new();
    let told = |header: &str, of_row: fn(usize) -> String| {
        let dataset = load(&files.csv(&numbered(header, of_row), &["y"]), 1).unwrap();
        assert_eq!(dataset.num_inputs(), 2);
        dataset.notes().join("\n")
    };
    let warning = |name: &str, ignore: &str| {
        format!(
            "warning: {name} may be nothing but a number of the row: if so, it gives away how the \
             file is sorted, and --ignore {ignore} leaves it out"
        )
    };
    let counts = told("id,a,y", |row| row.to_string());
    assert_eq!(counts, warning("column \"id\"", "id"));
    // Rows that were drawn from another file, in its order, and in none.
    let rises = told("time,a,y", |row| (3 * row + 5).to_string());
    assert_eq!(rises, warning("column \"time\"", "time"));
    let shuffled = told(",a,y", |row| (row * 7 % 20).to_string());
    assert_eq!(shuffled, warning("the column without a name", "''"));
    // Numbers that repeat, or are not whole, are no index.
    assert_eq!(told("id,a,y", |row| (row / 2).to_string()), "");
    assert_eq!(told("b,a,y", |row| (row * 7 % 20).to_string()), "");
    assert_eq!(told("b,a,y", |row| format!("{row}.5")), "");
}

#[test]
fn the_index_that_pandas_wrote_is_left_out() {
    let files = Files::new();
    let write = |name: &str, index_columns: Option<&str>| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            (
                "a",
                Arc::new(Int64Array::from_iter_values((0..20).map(|row| row % 3))),
            ),
            (
                "y",
                Arc::new(Int64Array::from_iter_values((0..20).map(|row| row / 10))),
            ),
            (
                name,
                Arc::new(Int64Array::from_iter_values(
                    (0..20).map(|row| row * 7 % 20),
                )),
            ),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let metadata = index_columns.map(|columns| {
            let said = format!("{{\"index_columns\": {columns}, \"columns\": []}}");
            vec![KeyValue::new("pandas".to_owned(), said)]
        });
        let properties = WriterProperties::builder()
            .set_key_value_metadata(metadata)
            .build();
        let mut writer =
            ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let file = files.write("data.parquet", writer.into_inner().unwrap());
        FileSpec::new(FileFormat::Parquet, file, &["y"])
    };
    for (name, metadata) in [
        ("__index_level_0__", Some("[\"__index_level_0__\"]")),
        // Rewritten by somebody else.
        ("__index_level_0__", None),
        ("sample", Some("[\"sample\"]")),
    ] {
        let spec = write(name, metadata);
        let dataset = load(&spec, 1).unwrap();
        assert_eq!(names(&dataset), serde_json::json!(["a"]));
        let told = dataset.notes().join("\n");
        assert!(told.contains("it is the index that pandas wrote"), "{told}");
        assert_eq!(
            Dataset::from_info(dataset.info(), 1).unwrap().info(),
            dataset.info()
        );
        let kept = FileSpec {
            kept: vec![name.to_owned()],
            ..spec
        };
        assert_eq!(
            names(&load(&kept, 1).unwrap()),
            serde_json::json!(["a", name])
        );
    }
    // A range that pandas describes is no column.
    let range = write(
        "b",
        Some("[{\"kind\": \"range\", \"name\": null, \"start\": 0}]"),
    );
    assert_eq!(load(&range, 1).unwrap().num_inputs(), 2);
}

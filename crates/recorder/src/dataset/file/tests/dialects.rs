//! CSV as people have it: each dialect says the same as plain CSV, or what is wrong with it.

use std::path::Path;

use super::*;

const PLAIN: &str = "a,b,y\n1.5,10,u\n2.25,20,v\n-3,30,u\n4.125,45,v\n";

fn same_as_plain(bytes: impl AsRef<[u8]>) -> Dataset {
    let files = Files::new();
    let plain = load(&files.csv(PLAIN, &["y"]), 1).unwrap();
    let file = files.write("other.csv", bytes);
    let dataset = load(&FileSpec::new(FileFormat::Csv, file, &["y"]), 1).unwrap();
    assert_eq!(dataset.held_out(), plain.held_out());
    assert_eq!(trained_on(&dataset), trained_on(&plain));
    assert_eq!(dataset.class_names(), ["u", "v"]);
    // And again, as it was found.
    let again = Dataset::from_info(dataset.info(), 1).unwrap();
    assert_eq!(again.held_out(), plain.held_out());
    assert_eq!(again.info(), dataset.info());
    dataset
}

fn notes_of(bytes: impl AsRef<[u8]>) -> String {
    same_as_plain(bytes).notes().join("\n")
}

#[test]
fn delimiters_are_those_that_the_first_line_shows() {
    let separated = |delimiter: &str| PLAIN.replace(',', delimiter);
    assert!(notes_of(separated(";")).contains("values are read as separated by ;"));
    assert!(notes_of(separated("\t")).contains("values are read as separated by a tab"));
    assert!(notes_of(separated("|")).contains("values are read as separated by |"));
    assert!(!notes_of(separated(" , ")).contains("separated"));
    assert!(notes_of("sep=;\n".to_owned() + &separated(";")).contains("separated by ;"));
    assert!(!notes_of("sep=,\r\n".to_owned() + PLAIN).contains("separated"));
    let asked = |delimiter| {
        let files = Files::new();
        let spec = FileSpec {
            delimiter: Some(delimiter),
            ..files.csv(PLAIN, &["y"])
        };
        files.refusal(&spec)
    };
    assert_eq!(
        asked(';'),
        "data.csv: there is no column \"y\" (columns: a,b,y)"
    );
}

#[test]
fn a_comma_may_be_the_decimal_point() {
    let european = PLAIN.replace(',', ";").replace('.', ",");
    let dataset = same_as_plain(&european);
    assert!(
        dataset
            .notes()
            .join("\n")
            .contains("separated by ;, numbers with a , as the decimal point")
    );
    let details = dataset.info().details.as_ref().unwrap();
    assert_eq!(details["options"]["decimal"], ",");
    assert_eq!(details["options"]["delimiter"], ";");
    // Also of numbers that are predicted.
    let files = Files::new();
    let targets = load(
        &unscaled(files.csv("a;y\n1;2,5\n2;3,5\n1;4,5\n", &["y"])),
        1,
    )
    .unwrap();
    assert_eq!(targets.task(), Task::Regression);

    let refusal = |text: &str, decimal: Option<char>| {
        let spec = FileSpec {
            decimal,
            ..files.csv(text, &["y"])
        };
        files.refusal(&spec)
    };
    assert_eq!(
        refusal("a;y\n1;u\n1,5;v\n2;u\n2.5;v\n", None),
        "data.csv: line 3 has the number 1,5, line 5 has 2.5: --decimal says which of the two is the \
         decimal point"
    );
    // A thousand, where the comma is the decimal point.
    for thousand in ["a;y\n1.234;u\n2,5;v\n", "y;b\n1.234;1\n2,5;2\n"] {
        let refused = refusal(thousand, Some(','));
        assert!(
            refused.contains(": 1.234 has a point, and the decimal point is a comma"),
            "{refused}"
        );
    }
    let quoted = "a,y\n\"1,5\",u\n2,v\n\"2,5\",u\n3,v\n";
    assert!(
        refusal(quoted, None).ends_with("or, if the comma is the decimal point, say --decimal ,")
    );
    let refused = FileSpec {
        delimiter: Some(';'),
        decimal: Some(','),
        ..files.csv(
            &quoted
                .replace(",u", ";u")
                .replace(",v", ";v")
                .replace("a,y", "a;y"),
            &["y"],
        )
    };
    assert_eq!(load(&refused, 1).unwrap().num_inputs(), 1);
    // What is held out is read as what is trained on.
    let test = files.write("test.csv", "a;y\n1.5;u\n");
    let spec = held_out_in(files.csv("a;y\n1,5;u\n2,5;v\n", &["y"]), test);
    let refused = files.refusal(&spec);
    assert!(
        refused.starts_with("test.csv, line 2, column \"a\": "),
        "{refused}"
    );
}

#[test]
fn encodings_and_ends_of_lines_make_no_difference() {
    same_as_plain(gzip(PLAIN.as_bytes()));
    same_as_plain("\u{feff}".to_owned() + PLAIN);
    same_as_plain("\u{feff}".to_owned() + &PLAIN.replacen("a,b,y", "\"a\",\"b\",\"y\"", 1));
    same_as_plain(PLAIN.replace('\n', "\r\n"));
    same_as_plain(PLAIN.replace('\n', "\r"));
    same_as_plain(PLAIN.replace('\n', "\n\n"));
    same_as_plain(PLAIN.trim_end());
    let units = PLAIN.encode_utf16();
    let little: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    same_as_plain([b"\xff\xfe", &little[..]].concat());
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    for text in [
        "a,y\n1,u\n\n\nred,v\n",
        "a,y\r\n1,u\r\n\r\n\r\nred,v\r\n",
        "a,y\r1,u\r\r\rred,v\r",
        "sep=,\na,y\n\n1,u\nred,v",
    ] {
        let files = Files::new();
        let refusal = files.refusal(&files.csv(text, &["y"]));
        assert!(
            refusal.starts_with("data.csv, line 5, column \"a\""),
            "{text:?}: {refusal}"
        );
    }
}

#[test]
fn numbers_that_are_none_are_told_with_what_to_do() {
    let files = Files::new();
    let refusal = |cell: &str| {
        let text = format!("a,y\n1,u\n{cell},v\n");
        files.refusal(&files.csv(&text, &["y"]))
    };
    for (cell, told) in [
        (
            "\"1,234.5\"",
            "\"1,234.5\" is no number: write numbers without separators of thousands",
        ),
        (
            "12%",
            "\"12%\" is no number: write percentages without the sign",
        ),
        (
            "2024-01-31",
            "\"2024-01-31\" is no number: a date or a time has to become a number",
        ),
        (
            "inf",
            "inf is not finite, or too large for a 32-bit float (--ignore a leaves",
        ),
    ] {
        let refusal = refusal(cell);
        assert!(refusal.contains(told), "{refusal}");
    }
    let headless = files.refusal(&files.csv("0.5,1.5,u\n0.25,2,v\n", &["y"]));
    assert!(
        headless.ends_with(": the first line has numbers, and has to name the columns"),
        "{headless}"
    );
    let comment = files.refusal(&files.csv("# of 2024\na,y\n0.25,v\n", &["y"]));
    assert!(
        comment.ends_with("what stands before the line that names the columns has to go"),
        "{comment}"
    );
}

#[test]
fn texts_become_an_input_a_category() {
    let files = Files::new();
    let text = "colour,a,y\nred,1,u\nblue,3,v\nred,1,u\ngreen,3,v\n";
    let test = files.write("test.csv", "colour,a,y\nblue,5,v\n");
    let spec = |categorical: &str| FileSpec {
        categorical: vec![categorical.to_owned()],
        ..held_out_in(files.csv(text, &["y"]), test.clone())
    };
    for asked in ["colour", crate::dataset::ALL_TEXTS] {
        let dataset = load(&spec(asked), 1).unwrap();
        // Blue, green, red, and a: mean 2, deviation 1.
        let expected = [
            [0.0, 0.0, 1.0, -1.0],
            [1.0, 0.0, 0.0, 1.0],
            [0.0, 0.0, 1.0, -1.0],
            [0.0, 1.0, 0.0, 1.0],
        ];
        assert_eq!(trained_on(&dataset).inputs(), expected.concat());
        assert_eq!(dataset.held_out().inputs(), [1.0, 0.0, 0.0, 3.0]);
        let details = dataset.info().details.as_ref().unwrap();
        let expected = serde_json::json!({
            "names": ["colour=blue", "colour=green", "colour=red", "a"],
            "mean": [0.0, 0.0, 0.0, 2.0], "std": [1.0, 1.0, 1.0, 1.0],
        });
        assert_eq!(details["inputs"], expected);
        assert_eq!(
            details["options"]["categorical"],
            serde_json::json!(["colour"])
        );
        assert_eq!(
            dataset.notes(),
            [
                "column \"colour\" becomes 3 inputs, of which each says 1 for one of its categories: \
              blue, green, red"
            ]
        );
        let again = Dataset::from_info(dataset.info(), 1).unwrap();
        assert_eq!(again.info(), dataset.info());
        assert_eq!(trained_on(&again), trained_on(&dataset));
    }
    // Numbers may be categories too, if they are named.
    let numbers = load(&spec("a"), 1);
    assert!(
        numbers
            .unwrap_err()
            .to_string()
            .contains("\"red\" is no number")
    );
    files.write("test.csv", "colour,a,y\ngreeen,5,v\n");
    assert_eq!(
        files.refusal(&spec("colour")),
        "test.csv, line 2, column \"colour\": no sample that is trained on has \"greeen\"; did you \
         mean green?"
    );
    // Parquet says the same.
    let colours = StringArray::from(vec!["red", "blue", "red", "green"]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("colour", Arc::new(colours)),
        ("a", Arc::new(Int64Array::from(vec![1, 3, 1, 3]))),
        ("y", Arc::new(StringArray::from(vec!["u", "v", "u", "v"]))),
    ];
    let file = files.write("data.parquet", parquet_bytes(columns, Compression::SNAPPY));
    let parquet = FileSpec {
        categorical: vec![crate::dataset::ALL_TEXTS.to_owned()],
        ..FileSpec::new(FileFormat::Parquet, file, &["y"])
    };
    let csv = FileSpec {
        held_out: None,
        ..spec("colour")
    };
    let (parquet, csv) = (load(&parquet, 3).unwrap(), load(&csv, 3).unwrap());
    assert_eq!(parquet.held_out(), csv.held_out());
    assert_eq!(trained_on(&parquet), trained_on(&csv));
}

#[test]
fn wide_files_take_no_longer_than_their_columns() {
    use crate::dataset::columns::Columns;
    let names: Vec<String> = (0..200_000).map(|index| format!("gene_{index}")).collect();
    let spec = FileSpec {
        ignored: names[..20_000].to_vec(),
        ..FileSpec::new(FileFormat::Csv, "wide.csv", &["gene_199999"])
    };
    let start = std::time::Instant::now();
    let columns = Columns::assign(Path::new("wide.csv"), names, &spec, &[]).unwrap();
    // Comparing each with each other takes 45 s of a release build.
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
    assert_eq!(columns.roles.len(), 200_000);
}

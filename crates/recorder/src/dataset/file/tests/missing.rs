//! Values that are missing.

use super::*;
use crate::dataset::Missing;

fn with(spec: FileSpec, missing: Missing) -> FileSpec {
    FileSpec { missing, ..spec }
}

#[test]
fn what_stands_for_a_missing_class_is_none() {
    let files = Files::new();
    for text in [
        "NA", "NaN", "nan", "?", "", "N/A", "NULL", "null", "None", "#N/A",
    ] {
        let csv = format!("a,y\n1,u\n2,{text}\n1,u\n2,v\n1,{text}\n");
        let refusal = files.refusal(&files.csv(&csv, &["y"]));
        assert!(
            refusal.starts_with("data.csv, line 3, column \"y\": ")
                && refusal.contains("(2 of 5 samples lack it): --missing drop"),
            "{refusal}"
        );
        let dataset = load(&with(files.csv(&csv, &["y"]), Missing::Drop), 1).unwrap();
        assert_eq!(dataset.class_names(), ["u", "v"]);
        assert_eq!(dataset.num_train() + dataset.held_out().len(), 3);
        assert!(
            dataset
                .notes()
                .join("\n")
                .contains("2 of 5 samples are left out")
        );
        // What is predicted has no mean.
        let mean = files.refusal(&with(files.csv(&csv, &["y"]), Missing::Mean));
        assert!(
            mean.ends_with("is for inputs alone") || mean.contains("alone, and where"),
            "{mean}"
        );
        if !text.is_empty() {
            let value = FileSpec {
                not_missing: vec![text.to_owned()],
                ..files.csv(&csv, &["y"])
            };
            assert_eq!(load(&value, 1).unwrap().class_names().len(), 3, "{text}");
        }
    }
    // Nulls of Parquet, too.
    let target = StringArray::from(vec![Some("u"), None, Some("v"), Some("u"), Some("v")]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(Int64Array::from(vec![1, 2, 2, 1, 2]))),
        ("y", Arc::new(target)),
    ];
    let file = files.write("data.parquet", parquet_bytes(columns, Compression::SNAPPY));
    let spec = FileSpec::new(FileFormat::Parquet, file, &["y"]);
    assert_eq!(
        files.refusal(&spec),
        "data.parquet, row 1 (from 0), column \"y\": it is null (1 of 5 samples lack it): --missing \
         drop leaves such samples out"
    );
    assert_eq!(
        load(&with(spec, Missing::Drop), 1).unwrap().class_names(),
        ["u", "v"]
    );
}

#[test]
fn every_column_that_lacks_values_is_named_with_place_and_count() {
    let files = Files::new();
    let csv = "a,b,y\n1,2,u\nNA,3,v\n?,-,u\n4,5,\n";
    assert_eq!(
        files.refusal(&files.csv(csv, &["y"])),
        "data.csv: of 4 samples, values are missing in 3 columns: \"a\" 2 (first on line 3: NA stands \
         for a missing value), \"b\" 1 (first on line 4: - stands for a missing value), \"y\" 1 \
         (first on line 5: it is empty): --missing drop leaves such samples out"
    );
    let none = files.refusal(&files.csv("a,b,y\n1,,u\n2,,v\n1,,u\n", &["y"]));
    assert_eq!(
        none,
        "data.csv, column \"b\": it has no value at all: --ignore b leaves the column out"
    );
    let dropped = files.refusal(&with(
        files.csv("a,b,y\n1,,u\n,2,v\n", &["y"]),
        Missing::Drop,
    ));
    assert_eq!(
        dropped,
        "data.csv: every sample lacks a value (\"a\" 1, \"b\" 1): none is left"
    );
}

#[test]
fn samples_without_a_value_are_left_out() {
    let files = Files::new();
    let test = files.write("test.csv", "a,b,y\n,1,u\n5,9,v\n");
    let csv = "a,b,y\n1,7,u\n,100,v\n5,7,v\n3,NaN,u\n";
    let spec = with(held_out_in(files.csv(csv, &["y"]), test), Missing::Drop);
    let dataset = load(&spec, 1).unwrap();
    // Of a: 1 and 5, mean 3, deviation 2. Of b: always 7.
    assert_eq!(trained_on(&dataset).inputs(), [-1.0, 0.0, 1.0, 0.0]);
    assert_eq!(dataset.held_out().inputs(), [1.0, 2.0]);
    assert_eq!(*dataset.held_out().targets(), Targets::Soft(vec![1.0]));
    let told = dataset.notes().join("\n");
    assert!(
        told.contains("2 of 4 samples are left out since they lack a value (\"a\" 1, \"b\" 1)"),
        "{told}"
    );
    assert!(
        told.contains("test.csv: 1 of 2 samples are left out"),
        "{told}"
    );
    let again = Dataset::from_info(dataset.info(), 1).unwrap();
    assert_eq!(again.held_out(), dataset.held_out());
    // Lines are those of the file.
    let csv = "a,y\n,u\n1,u\n2,v\n3,u\n4,v\n";
    let test = files.write("test.csv", "a,y\n,u\n1,u\n2,w\n");
    let spec = with(held_out_in(files.csv(csv, &["y"]), test), Missing::Drop);
    assert!(
        files
            .refusal(&spec)
            .starts_with("test.csv, line 4, column \"y\": no sample")
    );
}

#[test]
fn the_mean_of_the_training_samples_stands_in() {
    let files = Files::new();
    let test = files.write("test.csv", "a,colour,y\n,,u\n4,red,v\n");
    let csv = "a,colour,y\n1,red,u\n,blue,v\n5,red,v\n3,,u\n";
    let spec = FileSpec {
        categorical: vec!["colour".to_owned()],
        ..with(held_out_in(files.csv(csv, &["y"]), test), Missing::Mean)
    };
    let raw = load(&unscaled(spec.clone()), 1).unwrap();
    // Of a, 1, 5 and 3: the mean is 3. Of three colours, one is blue and two are red.
    let (third, thirds) = ((1.0f64 / 3.0) as f32, (2.0f64 / 3.0) as f32);
    let expected = [
        [1.0, 0.0, 1.0],
        [3.0, 1.0, 0.0],
        [5.0, 0.0, 1.0],
        [3.0, third, thirds],
    ];
    assert_eq!(trained_on(&raw).inputs(), expected.concat());
    assert_eq!(raw.held_out().inputs(), [3.0, third, thirds, 4.0, 0.0, 1.0]);
    let scaled = load(&spec, 1).unwrap();
    // With the mean among them, 1, 3, 5 and 3 have a variance of 2.
    let step = (2.0 / 2.0f64.sqrt()) as f32;
    assert_eq!(trained_on(&scaled).inputs()[0], -step);
    assert_eq!(trained_on(&scaled).inputs()[3], 0.0);
    assert_eq!(scaled.held_out().inputs()[..3], [0.0, third, thirds]);
    let details = scaled.info().details.as_ref().unwrap();
    assert_eq!(details["options"]["missing"], "mean");
    assert_eq!(details["inputs"]["fill"][0], 3.0);
    let told = scaled.notes().join("\n");
    assert!(
        told.contains("2 missing values (\"a\" 1, \"colour\" 1)"),
        "{told}"
    );
    let again = Dataset::from_info(scaled.info(), 1).unwrap();
    assert_eq!(again.held_out(), scaled.held_out());
    assert_eq!(again.info(), scaled.info());
}

//! What a 32-bit float, or any float, would take for one.

use arrow::array::{Decimal128Array, UInt64Array};

use super::*;

#[test]
fn values_are_standardised_before_they_are_rounded() {
    let files = Files::new();
    // Seconds of one minute: of 1.7e9, 32-bit floats are 128 apart.
    let rows = |offset: f64| {
        let row = |second: u32| {
            let class = if second < 30 { "early" } else { "late" };
            format!("{},{class}\n", offset + f64::from(second))
        };
        let rows: String = (0..60).map(row).collect();
        files.csv(&format!("time,y\n{rows}"), &["y"])
    };
    let (early, late) = (load(&rows(0.0), 1).unwrap(), load(&rows(1.7e9), 1).unwrap());
    let pairs = trained_on(&early)
        .inputs()
        .iter()
        .zip(trained_on(&late).inputs());
    for (a, b) in pairs {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
    // Without a scale they are one, which is said.
    let unscaled = load(&unscaled(rows(1.7e9)), 1).unwrap();
    let told = unscaled.notes().join("\n");
    assert!(
        told.contains("values of \"time\" differ and are one once they are 32-bit floats"),
        "{told}"
    );
}

/// Versions that do not say how they took numbers rounded them first.
#[test]
fn a_run_of_then_is_gone_on_with_as_its_data_was_prepared_then() {
    let files = Files::new();
    // Of 1.7e9, 32-bit floats are 128 apart: 100 becomes 128 of the offset, and 200 becomes 256.
    let text = "time,y\n1700000000,u\n1700000100,v\n1700000200,u\n";
    let test = files.write("test.csv", "time,y\n1700000100,u\n1700000200,v\n");
    let spec = held_out_in(files.csv(text, &["y"]), test);
    let offset = f64::from(1.7e9_f32);
    let then = |info: &DatasetInfo| {
        let mut info = info.clone();
        let details = info.details.as_mut().unwrap();
        details.as_object_mut().unwrap().remove("values");
        details["inputs"]["mean"] = vec![offset + 128.0].into();
        details["inputs"]["std"] = vec![64.0].into();
        info
    };
    let again = |spec: &FileSpec, recorded: &DatasetInfo| {
        Dataset::open_again(&DatasetSpec::from(spec.clone()), 1, 1, recorded).unwrap()
    };
    let today = load(&spec, 1).unwrap();
    let recorded = then(today.info());
    let dataset = again(&spec, &recorded);
    assert_eq!(without_places(dataset.info()), without_places(&recorded));
    assert_eq!(dataset.held_out().inputs(), [0.0, 2.0]);
    assert_eq!(trained_on(&dataset).inputs(), [-2.0, 0.0, 2.0]);
    // Of what a version prepared as today's does nothing is done twice; other options and other data are what
    // they are, which is told where they are compared.
    assert_eq!(again(&spec, today.info()).info(), today.info());
    let unscaled = unscaled(spec.clone());
    let asked = load(&unscaled, 1).unwrap();
    assert_eq!(again(&unscaled, &recorded).info(), asked.info());
    fs::write(&spec.path, text.replace("100", "300")).unwrap();
    let other = load(&spec, 1).unwrap();
    assert_eq!(again(&spec, &recorded).info(), other.info());
}

#[test]
fn what_is_always_the_same_has_no_deviation() {
    let files = Files::new();
    // 0.1 has no exact sum: a thousand of them make 99.9999999999986.
    let rows = (0..1_000).map(|row| format!("0.1,{},{}\n", row % 7, ["u", "v"][row % 2]));
    let rows: String = rows.collect();
    let test = files.write("test.csv", "a,b,y\n0.2,3,u\n0.1,3,v\n");
    let spec = held_out_in(files.csv(&format!("a,b,y\n{rows}"), &["y"]), test);
    let dataset = load(&spec, 1).unwrap();
    let details = dataset.info().details.as_ref().unwrap();
    assert_eq!(details["inputs"]["mean"][0], 0.1);
    assert_eq!(details["inputs"]["std"][0], 1.0);
    // 0.2 less 0.1, divided by 1.
    assert_eq!(dataset.held_out().inputs()[0], 0.1);
    assert_eq!(dataset.held_out().inputs()[2], 0.0);
    // Nor has what differs in the last digit that a float holds.
    let noise = "a,b,y\n0.3,1,u\n0.30000000000000004,2,v\n0.3,1,u\n0.30000000000000004,2,v\n";
    let noise = load(
        &held_out_in(
            files.csv(noise, &["y"]),
            files.write("t.csv", "a,b,y\n0.4,1,u\n"),
        ),
        1,
    );
    let details = noise.unwrap().info().details.clone().unwrap();
    assert_eq!(details["inputs"]["std"][0], 1.0);
}

#[test]
fn what_is_too_large_once_it_is_scaled_is_refused() {
    let files = Files::new();
    // A deviation of 5e-31, and a value that is 1e8 away: 2e38 deviations fit, 2e39 do not.
    let test = files.write("test.csv", "a,y\n1e8,u\n1e9,v\n");
    let spec = held_out_in(files.csv("a,y\n0,u\n1e-30,v\n", &["y"]), test);
    let refusal = files.refusal(&spec);
    assert!(
        refusal.starts_with("test.csv, line 3, column \"a\": scaled, it is too large"),
        "{refusal}"
    );
}

#[test]
fn classes_are_told_apart_by_all_their_digits() {
    let files = Files::new();
    let classes = |values: [&str; 3]| {
        let rows = (0..12).map(|row| format!("{},{}\n", row % 5, values[row % 3]));
        let rows: String = rows.collect();
        let spec = of_task(
            files.csv(&format!("a,y\n{rows}"), &["y"]),
            Task::Classification,
        );
        load(&spec, 1).unwrap().class_names().to_vec()
    };
    let ids = ["9007199254740994", "9007199254740992", "9007199254740993"];
    assert_eq!(
        classes(ids),
        ["9007199254740992", "9007199254740993", "9007199254740994"]
    );
    // A zero before the digits makes codes of them.
    assert_eq!(classes(["1", "01", "10"]), ["01", "1", "10"]);
    // Numbers that are one number are one class, by the name that comes first.
    assert_eq!(classes(["1e2", "100", "7"]), ["7", "1e2"]);
    assert_eq!(classes(["2", "2.0", "10"]), ["2", "10"]);

    let of_type = |target: ArrayRef| {
        let inputs = Int64Array::from_iter_values((0..12).map(|row| row % 5));
        let columns = vec![("a", Arc::new(inputs) as ArrayRef), ("y", target)];
        let file = files.write("data.parquet", parquet_bytes(columns, Compression::SNAPPY));
        let spec = FileSpec::new(FileFormat::Parquet, file, &["y"]);
        let dataset = load(&of_task(spec, Task::Classification), 1).unwrap();
        dataset.class_names().to_vec()
    };
    let three = |of_row: fn(u64) -> u64| (0..12).map(move |row| of_row(row % 3));
    let signed = three(|row| 9_007_199_254_740_992 + row).map(|id| id as i64);
    assert_eq!(
        of_type(Arc::new(Int64Array::from_iter_values(signed))),
        ["9007199254740992", "9007199254740993", "9007199254740994"]
    );
    assert_eq!(
        of_type(Arc::new(UInt64Array::from_iter_values(three(
            |row| u64::MAX - row
        )))),
        [
            "18446744073709551613",
            "18446744073709551614",
            "18446744073709551615"
        ]
    );
    let decimals = Decimal128Array::from_iter_values((0..12).map(|row| 12_500 * (row % 3)));
    let decimals = decimals.with_precision_and_scale(20, 4).unwrap();
    assert_eq!(of_type(Arc::new(decimals)), ["0", "1.25", "2.5"]);
}

#[test]
fn codes_are_classes_however_many() {
    let files = Files::new();
    let rows = (0..60).map(|row| format!("{},{:03}\n", row % 5, row % 30));
    let rows: String = rows.collect();
    let codes = load(&files.csv(&format!("a,y\n{rows}"), &["y"]), 1).unwrap();
    assert_eq!(codes.task(), Task::Classification);
    assert_eq!(codes.class_names().len(), 30);
    let asked = of_task(files.csv(&format!("a,y\n{rows}"), &["y"]), Task::Regression);
    assert_eq!(load(&asked, 1).unwrap().task(), Task::Regression);
}

#[test]
fn numbers_that_no_float_is_are_refused_as_inputs() {
    let files = Files::new();
    let more = "has more digits than a 64-bit float holds";
    let refusal = |input: ArrayRef| {
        let target = StringArray::from(vec!["u", "v", "u", "v"]);
        let columns: Vec<(&str, ArrayRef)> = vec![("a", input), ("y", Arc::new(target))];
        let file = files.write("data.parquet", parquet_bytes(columns, Compression::SNAPPY));
        match load(&FileSpec::new(FileFormat::Parquet, file, &["y"]), 1) {
            Ok(dataset) => format!("{} inputs", dataset.num_inputs()),
            Err(error) => error
                .to_string()
                .rsplit_once("data.parquet")
                .unwrap()
                .1
                .to_owned(),
        }
    };
    let signed = |values: Vec<i64>| refusal(Arc::new(Int64Array::from(values)));
    let lost = signed(vec![1, 2, 9_007_199_254_740_993, 3]);
    assert!(
        lost.starts_with(&format!(
            ", row 2 (from 0), column \"a\": 9007199254740993 {more}"
        )),
        "{lost}"
    );
    assert_eq!(signed(vec![1, 2, 9_007_199_254_740_992, 3]), "1 inputs");
    let unsigned = |values: Vec<u64>| refusal(Arc::new(UInt64Array::from(values)));
    assert!(unsigned(vec![1 << 63, (1 << 63) + 1, 5, 6]).contains(more));
    assert_eq!(unsigned(vec![1 << 63, (1 << 63) + 4096, 5, 6]), "1 inputs");
    let decimals = |values: Vec<i128>| {
        let array = Decimal128Array::from(values).with_precision_and_scale(38, 4);
        refusal(Arc::new(array.unwrap()))
    };
    // A tenth is no float, and is told from the decimals beside it.
    assert_eq!(decimals(vec![1_000, 2_000, 12_345, -1]), "1 inputs");
    assert!(decimals(vec![1_000, 2_000, 123_456_789_012_345_678_901, 3]).contains(more));
    let csv = files.refusal(&files.csv("a,y\n1,u\n9007199254740993,v\n", &["y"]));
    assert!(
        csv.starts_with(&format!(
            "data.csv, line 3, column \"a\": 9007199254740993 {more}"
        )),
        "{csv}"
    );
    // Nor are they numbers to come close to.
    let target = of_task(
        files.csv("a,y\n1,1\n2,9007199254740993\n", &["y"]),
        Task::Regression,
    );
    assert!(files.refusal(&target).contains(more));
}

#[test]
fn decimals_are_the_floats_that_are_nearest() {
    let files = Files::new();
    let test = files.write("t.csv", "a,y\n0.1,u\n");
    let csv = unscaled(held_out_in(files.csv("a,y\n0.1,u\n0.7,v\n", &["y"]), test));
    let decimals = Decimal128Array::from(vec![1_000i128, 7_000]);
    let decimals = decimals.with_precision_and_scale(20, 4).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("a", Arc::new(decimals)),
        ("y", Arc::new(StringArray::from(vec!["u", "v"]))),
    ];
    let bytes = parquet_bytes(columns, Compression::SNAPPY);
    let (train, test) = (
        files.write("d.parquet", &bytes),
        files.write("t.parquet", &bytes),
    );
    let spec = FileSpec::new(FileFormat::Parquet, train, &["y"]);
    let parquet = load(&unscaled(held_out_in(spec, test)), 1).unwrap();
    let csv = load(&csv, 1).unwrap();
    assert_eq!(trained_on(&parquet).inputs(), [0.1, 0.7]);
    assert_eq!(trained_on(&csv).inputs(), [0.1, 0.7]);
}

#[test]
fn labels_of_images_are_classes_however_many() {
    let files = Files::new();
    // As EMNIST has letters: 26 from 1 on.
    let letters: Vec<u8> = (0..104).map(|index| index % 26 + 1).collect();
    files.write("letters-labels", idx_bytes(&[104], &letters));
    let images = files.write("letters-images", idx_bytes(&[104, 1, 1], &letters));
    let dataset = load(&idx(images.clone()), 1).unwrap();
    assert_eq!(dataset.task(), Task::Classification);
    assert_eq!(dataset.class_names().len(), 26);
    assert_eq!(
        (&*dataset.class_names()[0], &*dataset.class_names()[25]),
        ("1", "26")
    );
    let asked = load(&of_task(idx(images), Task::Regression), 1).unwrap();
    assert_eq!(asked.task(), Task::Regression);
}

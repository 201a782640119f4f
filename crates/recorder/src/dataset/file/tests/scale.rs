//! Numbers, as the network sees them.

use super::*;

#[test]
fn inputs_are_standardised_by_the_samples_that_are_trained_on() {
    let files = Files::new();
    let test = files.write("test.csv", "a,b,y\n5,9,1\n");
    // Of a: mean 3, standard deviation 2. Of b: always 7.
    let spec = files.csv("a,b,y\n1,7,0\n5,7,1\n", &["y"]);
    let dataset = load(&held_out_in(spec, test.clone()), 1).unwrap();
    assert_eq!(trained_on(&dataset).inputs(), [-1.0, 0.0, 1.0, 0.0]);
    assert_eq!(dataset.held_out().inputs(), [1.0, 2.0]);
    assert_eq!(
        dataset.info().held_out,
        format!("all of {}", test.display())
    );
    let details = dataset.info().details.as_ref().unwrap();
    let expected = serde_json::json!({"names": ["a", "b"], "mean": [3.0, 7.0], "std": [2.0, 1.0]});
    assert_eq!(details["inputs"], expected);

    let pixels = FileSpec {
        scale: Some(Scale::Pixels),
        ..held_out_in(
            files.csv("a,y\n255,0\n51,1\n", &["y"]),
            files.write("t.csv", "a,y\n0,1\n"),
        )
    };
    let pixels = load(&pixels, 1).unwrap();
    assert_eq!(trained_on(&pixels).inputs(), [1.0, 0.2]);
}

#[test]
fn numbers_that_are_predicted_are_standardised_with_the_inputs() {
    let files = Files::new();
    let test = files.write("test.csv", "a,price,tax\n0,700.5,0\n");
    let spec = files.csv("a,price,tax\n1,100.5,1\n2,300.5,3\n", &["tax", "price"]);
    let dataset = load(&held_out_in(spec.clone(), test.clone()), 1).unwrap();
    assert_eq!(dataset.task(), Task::Regression);
    assert_eq!(dataset.target_names(), ["tax", "price"]);
    assert!(dataset.class_names().is_empty());
    // Tax: mean 2, deviation 1. Price: mean 200.5, deviation 100. In the order of --target.
    let values = |values: &[f32]| {
        Targets::Values(TargetRows {
            values: values.to_vec(),
            width: 2,
        })
    };
    assert_eq!(
        *trained_on(&dataset).targets(),
        values(&[-1.0, -1.0, 1.0, 1.0])
    );
    assert_eq!(*dataset.held_out().targets(), values(&[-2.0, 5.0]));
    let details = dataset.info().details.as_ref().unwrap();
    assert_eq!(details["targets"]["mean"], serde_json::json!([2.0, 200.5]));

    let raw = load(&unscaled(held_out_in(spec, test)), 1).unwrap();
    assert_eq!(*raw.held_out().targets(), values(&[0.0, 700.5]));
}

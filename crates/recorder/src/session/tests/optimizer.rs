//! Gradients and moments.

use super::*;
use crate::testing::read_parts;

#[test]
fn gradients_and_moments_are_those_that_led_to_the_weights() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    let everything = Recorded {
        gradients: true,
        gradients_applied: true,
        moments: true,
        ..EVERYTHING
    };
    let (off, _) = final_parameters(&options(dir.path(), None));
    let mut options = options(&path, Some(everything));
    options.record_initial = true;
    let (on, _) = final_parameters(&options);
    assert_eq!(bits(&off), bits(&on));
    let values = |rows: &arrow::array::RecordBatch| -> Vec<f32> {
        let weights = rows["weights"].as_list::<i32>().values();
        weights.as_primitive::<Float32Type>().values().to_vec()
    };
    for epoch in 0..3 {
        for layer in ["L_input", "L_hidden_1", "L_output"] {
            let gradients = read_part(&path, Table::Gradients, epoch, Some(layer)).unwrap();
            let moments = read_parts(&path, Table::Moments, epoch, Some(layer));
            let [first, second] = &moments[..] else {
                panic!("a file a moment, not {}", moments.len())
            };
            assert_eq!(values(&gradients).len(), values(first).len());
            assert!(values(second).iter().all(|value| *value >= 0.0));
            assert!(values(&gradients).iter().any(|value| *value != 0.0));
            // Nothing clips them here.
            let applied = read_part(&path, Table::GradientsApplied, epoch, Some(layer)).unwrap();
            assert_eq!(applied, gradients);
        }
    }
    assert!(read_parts(&path, Table::Gradients, -1, Some("L_output")).is_empty());
}

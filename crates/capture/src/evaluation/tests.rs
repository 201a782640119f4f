use super::*;

fn softmax(logits: &[f32], classes: &[i32]) -> Classifications {
    classify(
        Loss::SoftmaxCrossEntropy,
        logits,
        &Targets::Classes(classes.to_vec()),
    )
}

fn binary(logits: &[f32], soft: &[f32]) -> Classifications {
    classify(
        Loss::BinaryCrossEntropy,
        logits,
        &Targets::Soft(soft.to_vec()),
    )
}

// Expected values here and below: decimal arithmetic with 40 digits, outside this program,
// rounded to f32 by the compiler.
#[test]
#[allow(clippy::excessive_precision)]
fn softmax_cross_entropy_by_hand() {
    let rows = softmax(&[1.0, 2.0, 0.5, 3.0, 0.0, -3.0], &[1, 2]);
    assert_eq!(
        rows.outputs[..3],
        [0.23122389762214907, 0.6285317192117624, 0.14024438316608848]
    );
    assert_eq!(rows.loss[0], 0.46436878410794485);
    assert_eq!(rows.target, [Some(1), Some(2)]);
    assert_eq!(rows.predicted, [Some(1), Some(0)]);
    assert_eq!(rows.correct, [Some(true), Some(false)]);
    assert_eq!(rows.confidence[0], Some(0.6285317192117624));
    assert_eq!(rows.expected, None);
    assert_eq!(rows.num_outputs, 3);
    assert_eq!(rows.accuracy(), 0.5);
}

#[test]
#[allow(clippy::excessive_precision)]
fn binary_cross_entropy_with_soft_targets_by_hand() {
    let rows = binary(&[0.5, -2.0, 2.0], &[0.75, 0.25, 0.0]);
    assert_eq!(
        rows.outputs,
        [0.6224593312018546, 0.11920292202211756, 0.8807970779778824]
    );
    assert_eq!(
        rows.loss,
        [0.5990769841801067, 0.6269280110429725, 2.1269280110429727]
    );
    assert_eq!(rows.target, [Some(1), Some(0), Some(0)]);
    assert_eq!(rows.expected, Some(vec![0.75, 0.25, 0.0]));
    assert_eq!(rows.predicted, [Some(1), Some(0), Some(1)]);
    assert_eq!(rows.correct, [Some(true), Some(true), Some(false)]);
    assert_eq!(rows.confidence[0], Some(0.6224593312018546));
    // 1 - 0.119202922 in f32.
    assert_eq!(rows.confidence[1], Some(1.0 - 0.11920292202211756_f32));
    let mean = (0.5990769841801067 + 0.6269280110429725 + 2.1269280110429727) / 3.0;
    assert!((rows.mean_loss() - mean).abs() < 1e-7);
}

#[test]
fn ties_go_to_the_lowest_class() {
    let rows = softmax(&[2.0, 2.0, 2.0], &[2]);
    assert_eq!(rows.predicted, [Some(0)]);
    assert_eq!(rows.loss, [3.0_f32.ln()]);
    // A probability of one half is not above it, and a target of one half counts as 0.
    let rows = binary(&[0.0], &[0.5]);
    assert_eq!(
        (rows.outputs[0], rows.predicted[0], rows.target[0]),
        (0.5, Some(0), Some(0))
    );
}

#[test]
fn huge_logits_do_not_overflow() {
    let rows = softmax(&[1e30, -1e30], &[1]);
    assert_eq!(
        (rows.outputs.as_slice(), rows.loss[0]),
        (&[1.0, 0.0][..], 2e30)
    );
    let rows = binary(&[1e30, -1e30], &[0.0, 1.0]);
    assert_eq!(
        (rows.outputs, rows.loss),
        (vec![1.0, 0.0], vec![1e30, 1e30])
    );
}

#[test]
fn what_is_not_finite_is_no_prediction() {
    for broken in [f32::NAN, f32::INFINITY] {
        let rows = softmax(&[broken, 1.0, 0.0, 1.0], &[0, 1]);
        assert_eq!(rows.predicted, [None, Some(1)]);
        assert_eq!(rows.correct, [None, Some(true)]);
        assert!(rows.confidence[0].is_none() && rows.loss[0].is_nan());
        assert_eq!(rows.accuracy(), 0.5);
    }
    assert_eq!(binary(&[f32::NAN], &[1.0]).predicted, [None]);
}

fn rows_of(values: &[f32], width: usize) -> TargetRows {
    TargetRows {
        values: values.to_vec(),
        width,
    }
}

#[test]
#[allow(clippy::excessive_precision)]
fn several_labels_are_judged_one_by_one() {
    // The logits and targets of the binary network above, as labels of one sample, and the other
    // way round as those of another.
    let labels = rows_of(&[0.75, 0.25, 0.0, 0.25, 0.75, 1.0], 3);
    let logits = [0.5, -2.0, 2.0, -0.5, 2.0, -2.0];
    let loss = Loss::MultiLabelCrossEntropy;
    let rows = classify(loss, &logits, &Targets::Labels(labels.clone()));
    assert_eq!(
        rows.outputs[..3],
        [0.6224593312018546, 0.11920292202211756, 0.8807970779778824]
    );
    let mean = (0.5990769841801067 + 0.6269280110429725 + 2.1269280110429727) / 3.0;
    assert_eq!(rows.loss, [mean as f32; 2]);
    assert_eq!(rows.expected, Some(labels.values));
    assert_eq!(rows.target, [None, None]);
    assert_eq!(rows.predicted, [None, None]);
    assert_eq!(rows.correct, [None, None]);
    assert_eq!(rows.confidence, [None, None]);
    // The third label of each is on the wrong side of 0.5.
    assert_eq!(rows.score(loss), Score::LabelAccuracy(4.0 / 6.0));
    assert_eq!(rows.score(loss).to_string(), "label accuracy 66.7%");
}

#[test]
fn numbers_are_judged_by_their_squared_distance() {
    let loss = Loss::MeanSquaredError;
    // Three samples of two outputs; the second output's targets are all the same.
    let targets = rows_of(&[1.0, 5.0, 2.0, 5.0, 6.0, 5.0], 2);
    let outputs = [1.0, 6.0, 3.0, 5.0, 4.0, 5.0];
    let rows = classify(loss, &outputs, &Targets::Values(targets.clone()));
    assert_eq!(rows.outputs, outputs);
    assert_eq!(rows.expected, Some(targets.values));
    assert_eq!(rows.loss, [0.5, 0.5, 2.0]);
    assert_eq!((rows.target[0], rows.predicted[0]), (None, None));
    // Of the first output: mean 3, squares 4 + 1 + 9 = 14, left 0 + 1 + 4 = 5. The second says
    // nothing.
    let Score::R2(r2) = rows.score(loss) else {
        panic!("numbers have no classes")
    };
    assert!((r2 - 9.0 / 14.0).abs() < 1e-12, "{r2}");
    assert_eq!(rows.score(loss).to_string(), "R² 0.6429");

    let broken = classify(loss, &[f32::NAN], &Targets::Values(rows_of(&[1.0], 1)));
    assert!(broken.loss[0].is_nan() && broken.outputs[0].is_nan());
}

#[test]
fn every_score_has_the_name_of_its_metric() {
    let named = [
        (Score::Accuracy(0.5), "accuracy", "accuracy 50.0%"),
        (
            Score::LabelAccuracy(0.5),
            "label_accuracy",
            "label accuracy 50.0%",
        ),
        (Score::R2(0.5), "r2", "R² 0.5000"),
    ];
    for (score, name, shown) in named {
        assert_eq!((score.name(), score.value()), (name, 0.5));
        assert_eq!(score.to_string(), shown);
    }
}

#[test]
fn no_samples_are_no_rows() {
    assert!(softmax(&[], &[]).is_empty());
}

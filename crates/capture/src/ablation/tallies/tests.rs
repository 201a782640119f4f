use super::*;
use crate::evaluation::{TargetRows, classify};

/// The logits of a set of silenced neurons, of all samples.
type Logits = Vec<f32>;

/// Logits of four samples whose predictions are given; sure ones.
fn outcomes(predictions: &[[usize; 4]]) -> Vec<Logits> {
    let of = |predicted: &[usize; 4]| {
        let mut logits = vec![0.0; 12];
        for (sample, class) in predicted.iter().enumerate() {
            logits[3 * sample + class] = 10.0;
        }
        logits
    };
    predictions.iter().map(of).collect()
}

/// The classes of the four samples.
fn classes() -> Targets {
    Targets::Classes(vec![0, 1, 1, 2])
}

/// The figures of some of the samples, which come in batches of `batch_size`.
fn figures_of(
    question: Question,
    targets: &Targets,
    samples: &[usize],
    outcomes: &[Logits],
    batch_size: usize,
) -> Vec<Figure> {
    let mut tallies = Tallies::new(question, targets, samples, outcomes.len());
    for first_sample in (0..targets.len()).step_by(batch_size) {
        let batch = first_sample..targets.len().min(first_sample + batch_size);
        let of_batch = targets.select(&batch.clone().collect::<Vec<_>>());
        for (set, logits) in outcomes.iter().enumerate() {
            let width = logits.len() / targets.len();
            let logits = &logits[batch.start * width..batch.end * width];
            let rows = classify(question.loss, logits, &of_batch);
            tallies.add(set, first_sample, &rows);
        }
    }
    tallies.figures()
}

/// The figures of [`outcomes`], whatever the batches.
fn measure(outcomes: &[Logits], samples: &[usize], of_class: Option<i32>) -> Vec<Figure> {
    let question = Question {
        loss: Loss::SoftmaxCrossEntropy,
        num_classes: 3,
        of_class,
    };
    let figures = figures_of(question, &classes(), samples, outcomes, 4);
    for batch_size in [1, 3] {
        let same = figures_of(question, &classes(), samples, outcomes, batch_size);
        assert_eq!(same, figures);
    }
    figures
}

fn find(figures: &[Figure], samples: SampleGroup, metric: &str) -> Figure {
    let is_it = |f: &&Figure| f.samples == samples && f.metric.name() == metric;
    figures.iter().find(is_it).unwrap().clone()
}

#[test]
fn figures_of_four_samples_by_hand() {
    let outcomes = outcomes(&[
        [0, 1, 1, 2],
        // Silenced: class 1 is lost, half of it to class 2.
        [0, 0, 2, 2],
        // Random ones: nothing, one of class 1, one of class 1 and class 0.
        [0, 1, 1, 2],
        [0, 1, 0, 2],
        [1, 0, 1, 2],
    ]);
    let figures = measure(&outcomes, &[0, 1, 2, 3], Some(1));

    let all = find(&figures, SampleGroup::All, "accuracy");
    assert_eq!((all.before, all.after, all.num_samples), (1.0, 0.5, 4));
    assert_eq!(all.random, [1.0, 0.75, 0.5]);
    // One of three draws is as bad: (1 + 1) / (1 + 3).
    assert_eq!(all.p_value(), Some(0.5));
    let (mean, std) = all.random_mean_and_std().unwrap();
    assert_eq!(mean, 0.75);
    assert!((std - (0.125_f64 / 3.0).sqrt()).abs() < 1e-12);
    assert_eq!(all.predicted, None);

    let class = find(&figures, SampleGroup::Class(1), "accuracy");
    assert_eq!(
        (class.before, class.after, class.num_samples),
        (1.0, 0.0, 2)
    );
    assert_eq!(class.random, [1.0, 0.5, 0.5]);
    assert_eq!(class.p_value(), Some(0.25));
    // The draws take two, one and one of the two for class 1, the others for class 0.
    let predicted = Predicted {
        before: vec![0.0, 2.0, 0.0],
        after: vec![1.0, 0.0, 1.0],
        random: Some([2.0, 4.0, 0.0].map(|count: f64| count / 3.0).to_vec()),
    };
    assert_eq!(class.predicted, Some(predicted));

    let others = find(&figures, SampleGroup::Others, "accuracy");
    assert_eq!(
        (others.before, others.after, others.num_samples),
        (1.0, 1.0, 2)
    );
    assert_eq!(others.random, [1.0, 1.0, 0.5]);
    // All three draws are as bad as no harm at all.
    assert_eq!(others.p_value(), Some(1.0));

    let gap = find(&figures, SampleGroup::Class(1), "accuracy_gap");
    assert_eq!((gap.before, gap.after), (0.0, -1.0));
    assert_eq!(gap.random, [0.0, -0.5, 0.0]);
    assert_eq!(gap.p_value(), Some(0.25));
    // Of the class that is meant alone.
    let num_gaps = figures
        .iter()
        .filter(|f| f.metric == AblationMetric::AccuracyGap);
    assert_eq!(num_gaps.count(), 1);

    // Worse is more: a wrong sure answer costs about 10 nats.
    let loss = find(&figures, SampleGroup::Class(1), "loss");
    assert!(loss.before < 0.001 && (9.9..10.1).contains(&loss.after));
    assert_eq!(loss.p_value(), Some(0.25));
    assert_eq!(loss.predicted, None);
}

#[test]
fn without_a_class_or_samples_of_it_there_are_no_such_figures() {
    let outcomes = outcomes(&[[0, 1, 1, 2], [0, 1, 1, 2]]);
    let figures = measure(&outcomes, &[0, 1], None);
    let told: Vec<(SampleGroup, &str)> = figures
        .iter()
        .map(|f| (f.samples, f.metric.name()))
        .collect();
    use SampleGroup::{All, Class};
    assert_eq!(
        told,
        [
            (All, "accuracy"),
            (All, "loss"),
            (Class(0), "accuracy"),
            (Class(0), "loss"),
            (Class(1), "accuracy"),
            (Class(1), "loss"),
        ]
    );
    assert_eq!(figures[0].p_value(), None);
    assert_eq!(figures[0].random_mean_and_std(), None);
    // Every sample is of the class: there are no others to set it against.
    let figures = measure(&outcomes, &[1, 2], Some(1));
    assert!(figures.iter().all(|f| f.samples != SampleGroup::Others));
    assert!(
        figures
            .iter()
            .all(|f| f.metric != AblationMetric::AccuracyGap)
    );
}

#[test]
fn numbers_have_the_figures_of_numbers() {
    let targets = Targets::Values(TargetRows {
        values: vec![1.0, 3.0],
        width: 1,
    });
    let outcomes = [
        vec![1.0, 3.0],
        vec![2.0, 2.0],
        vec![1.0, 3.0],
        vec![f32::NAN, 3.0],
    ];
    let question = Question {
        loss: Loss::MeanSquaredError,
        num_classes: 0,
        of_class: None,
    };
    let figures = figures_of(question, &targets, &[0, 1], &outcomes, 1);
    let [r2, loss] = &figures[..] else {
        panic!("{figures:?}");
    };
    assert_eq!((r2.metric.name(), r2.before, r2.after), ("r2", 1.0, 0.0));
    assert_eq!(
        (loss.metric.name(), loss.before, loss.after),
        ("loss", 0.0, 1.0)
    );
    // What is no number is worse than any: one of two draws is as bad.
    assert_eq!(r2.p_value(), Some(2.0 / 3.0));
    assert_eq!(loss.p_value(), Some(2.0 / 3.0));
}

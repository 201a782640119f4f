use proptest::prelude::*;

use super::*;

fn membership(classes: &[i32], num_classes: usize) -> Membership {
    let classes: Vec<Option<u32>> = classes.iter().map(|c| u32::try_from(*c).ok()).collect();
    Membership::new(&classes, num_classes)
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
}

/// Worked out by hand. Samples 1, 2, 3 and 4 with values 1, 2, 2, 5; the last two are of class 1.
#[test]
fn scores_are_what_a_hand_makes_of_them() {
    let membership = membership(&[0, 0, 1, 1], 2);
    let mut scorer = Scorer::new(&membership);
    let scores = scorer.score(&[1.0, 2.0, 2.0, 5.0]);
    let [Some(other), Some(own)] = [scores[0], scores[1]] else {
        panic!("{scores:?}");
    };
    // Centred: -1.5, -0.5, -0.5, 2.5; their squares sum to 9, the membership's to 1.
    close(own.correlation, 2.0 / 3.0);
    close(other.correlation, -2.0 / 3.0);
    // Of four pairs the class wins three and ties in one.
    close(own.auc, 0.875);
    close(other.auc, 0.125);
    // Ranks 1, 2.5, 2.5, 4 fall into bins 1, 4, 4, 7: two samples with a bin each and two that
    // share one, so that half of the membership's ln 2 is left unknown.
    close(own.mutual_information, 0.5 * 2.0_f64.ln());
    close(other.mutual_information, 0.5 * 2.0_f64.ln());
}

#[test]
fn there_is_no_score_where_there_is_nothing_to_compare() {
    let values = [1.0, 2.0, 3.0, 4.0];
    // Class 2 has no sample.
    let three = membership(&[0, 0, 1, 1], 3);
    let mut scorer = Scorer::new(&three);
    assert!(scorer.score(&values)[1].is_some());
    assert!(scorer.score(&values)[2].is_none());
    // The activation is the same everywhere, or no number somewhere.
    for values in [
        [2.0; 4],
        [0.0, -0.0, 0.0, -0.0],
        [1.0, f32::NAN, 3.0, 4.0],
        [1.0, 2.0, f32::INFINITY, 4.0],
    ] {
        assert_eq!(scorer.score(&values), [None; 3]);
    }
    // All are of one class.
    let one = membership(&[1, 1, 1, 1], 2);
    assert_eq!(Scorer::new(&one).score(&values), [None; 2]);
    // There are no samples.
    let none = membership(&[-1, -1, -1, 7], 2);
    assert_eq!(none.num_samples(), 0);
    assert_eq!(Scorer::new(&none).score(&values), [None; 2]);
}

#[test]
fn samples_without_a_class_are_left_out() {
    let all = membership(&[0, 1, 0, 1, 1], 2);
    let some = membership(&[0, -1, 1, 0, 9, 1, 1], 2);
    let values = [0.5, 99.0, 0.25, -1.0, f32::NAN, 3.0, 0.5];
    let expected = Scorer::new(&all)
        .score(&[0.5, 0.25, -1.0, 3.0, 0.5])
        .to_vec();
    assert_eq!(Scorer::new(&some).score(&values), expected);
    assert!(expected[0].is_some());
}

#[test]
fn numbers_are_ordered_by_their_keys() {
    let ascending = [f32::MIN, -1.5, -1e-40, 0.0, 1e-40, 1.5, f32::MAX];
    assert!(ascending.is_sorted_by(|a, b| sort_key(*a) < sort_key(*b)));
    assert_eq!(sort_key(0.0), sort_key(-0.0));
}

#[test]
fn bins_are_as_full_as_one_another_without_ties() {
    let membership = membership(&[0; 4 * NUM_BINS], 1);
    let values: Vec<f32> = (0..4 * NUM_BINS).map(|i| (i as f32 * 7.3).sin()).collect();
    let mut scorer = Scorer::new(&membership);
    scorer.score(&values);
    let ranked = scorer.ranked().map(|ranked| ranked.bin_counts);
    assert_eq!(ranked, Some([4; NUM_BINS]));
}

#[test]
fn drawn_samples_keep_their_class() {
    let membership = membership(&[0, 0, 1, 2, 2, -1], 3);
    let drawn = membership.resampled(&mut KeyedRng::new([3, 0, 0, 0]));
    assert_eq!(drawn.num_samples(), 5);
    let class_of = |sample: u32| [0, 0, 1, 2, 2][sample as usize];
    for (sample, class) in drawn.samples.iter().zip(&drawn.classes) {
        assert_eq!(class_of(*sample), *class);
    }
    assert_eq!(drawn.counts().iter().sum::<u32>(), 5);
}

#[test]
fn measures_have_names() {
    for measure in Measure::ALL {
        assert_eq!(measure.name().parse(), Ok(measure));
    }
    let told = "\"r\" is no measure of association \
                (measures: correlation, mutual_information, auc)";
    assert_eq!("r".parse::<Measure>(), Err(told.to_owned()));
}

/// Values with many ties, and a class for each.
fn samples() -> impl Strategy<Value = (Vec<f32>, Vec<i32>)> {
    prop::collection::vec((-6_i8..6, 0_i32..3), 2..40).prop_map(|samples| {
        let (values, classes): (Vec<i8>, Vec<i32>) = samples.into_iter().unzip();
        let values = values.into_iter().map(|value| f32::from(value) / 4.0);
        (values.collect(), classes)
    })
}

proptest! {
    /// Against definitions spelled out: every pair for the AUC, every cell for the information.
    #[test]
    fn scores_follow_their_definitions((values, classes) in samples()) {
        let membership = membership(&classes, 3);
        let n = values.len() as f64;
        let mut scorer = Scorer::new(&membership);
        let scores = scorer.score(&values).to_vec();
        let bins = scorer.ranked().map_or_else(Vec::new, |ranked| ranked.bins.clone());
        for (class, scores) in scores.iter().enumerate() {
            let Some(scores) = scores else { continue };
            let is_own: Vec<bool> = classes.iter().map(|c| *c == class as i32).collect();
            let (mut won, mut pairs) = (0.0, 0.0);
            for (a, _) in is_own.iter().enumerate().filter(|(_, own)| **own) {
                for (b, _) in is_own.iter().enumerate().filter(|(_, own)| !**own) {
                    pairs += 1.0;
                    won += match values[a].total_cmp(&values[b]) {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    };
                }
            }
            prop_assert!((scores.auc - won / pairs).abs() < 1e-12);

            let mut information = 0.0;
            for bin in 0..NUM_BINS {
                for own in [false, true] {
                    let of_bin = |i: &usize| usize::from(bins[*i]) == bin;
                    let of_side = |i: &usize| is_own[*i] == own;
                    let all = 0..values.len();
                    let both = all.clone().filter(of_bin).filter(of_side).count() as f64;
                    let bin = all.clone().filter(of_bin).count() as f64;
                    let side = all.filter(of_side).count() as f64;
                    if both > 0.0 {
                        information += both / n * (both * n / (bin * side)).ln();
                    }
                }
            }
            prop_assert!((scores.mutual_information - information).abs() < 1e-12);

            let mean = |of: &dyn Fn(usize) -> f64| (0..values.len()).map(of).sum::<f64>() / n;
            let x = |i: usize| f64::from(values[i]);
            let y = |i: usize| f64::from(u8::from(is_own[i]));
            let (mx, my) = (mean(&x), mean(&y));
            let covariance = mean(&|i| (x(i) - mx) * (y(i) - my));
            let spread = mean(&|i| (x(i) - mx).powi(2)) * mean(&|i| (y(i) - my).powi(2));
            prop_assert!((scores.correlation - covariance / spread.sqrt()).abs() < 1e-12);
        }
    }
}

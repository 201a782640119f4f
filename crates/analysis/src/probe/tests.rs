use crate::random::KeyedRng;

use super::*;

/// Numbers that look random, around 0.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut rng = KeyedRng::new([seed, 1000, 0, 0]);
    (0..len)
        .map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5)
        .collect()
}

/// A fifth of the samples are of the class.
fn members(len: usize) -> Vec<bool> {
    (0..len).map(|sample| sample % 5 == 2).collect()
}

#[test]
fn a_system_is_solved() {
    // By hand: 4x + 2y = 10, 2x + 5y = 13.
    let mut matrix = vec![vec![4.0], vec![2.0, 5.0]];
    let solved = solve(&mut matrix, vec![10.0, 13.0]);
    let solved = solved.expect("it is positive definite");
    assert!((solved[0] - 1.5).abs() < 1e-12 && (solved[1] - 2.0).abs() < 1e-12);
    assert_eq!(
        solve(&mut [vec![1.0], vec![1.0, 1.0]], vec![1.0, 1.0]),
        None
    );
}

/// Two samples at -1 and 1: by symmetry there is no intercept, and the weight `w` is where its
/// penalty's slope, `w`, is that of the loss, `2 / (1 + exp(w))`.
#[test]
fn the_weights_balance_penalty_and_loss() {
    let design = [vec![-1.0, 1.0], vec![1.0, 1.0]];
    let weights = fit(&design, &[false, true], 1.0);
    assert!(weights[1].abs() < 1e-12, "{weights:?}");
    let slope = 2.0 / (1.0 + weights[0].exp());
    assert!((weights[0] - slope).abs() < 1e-12, "{weights:?}");
}

#[test]
fn every_fold_has_its_share_of_both_sides() {
    let is_member = members(60);
    let folds = folds(&is_member);
    for fold in 0..NUM_FOLDS {
        let of_fold = |member: bool| {
            let samples = folds.iter().zip(&is_member);
            samples.filter(|&(f, m)| *f == fold && *m == member).count()
        };
        assert!((2..=3).contains(&of_fold(true)));
        assert!((9..=10).contains(&of_fold(false)));
    }
}

#[test]
fn neurons_that_say_nothing_have_no_power() {
    let is_member = members(300);
    let neurons: Vec<Vec<f32>> = (0..5).map(|seed| noise(seed, 300)).collect();
    let neurons: Vec<&[f32]> = neurons.iter().map(Vec::as_slice).collect();
    let power = joint_power(&neurons, &is_member).expect("there are samples");
    // The standard deviation of an AUC by chance is sqrt(301 / (12 * 60 * 240)) = 0.042.
    assert!((power.auc - 0.5).abs() < 0.17, "{power:?}");
    assert_eq!(power.majority, 0.8);
    assert!(power.accuracy <= 0.82, "{power:?}");
}

/// Each neuron alone is noise to an eighth; their sum is the class.
#[test]
fn a_group_tells_what_none_of_its_neurons_does() {
    let is_member = members(300);
    let mut neurons: Vec<Vec<f32>> = (0..4).map(|seed| noise(seed, 300)).collect();
    for (sample, member) in is_member.iter().enumerate() {
        let others: f32 = neurons[..3].iter().map(|neuron| neuron[sample]).sum();
        neurons[3][sample] = if *member { 0.125 } else { -0.125 } - others;
    }
    let all: Vec<&[f32]> = neurons.iter().map(Vec::as_slice).collect();
    let joint = joint_power(&all, &is_member).expect("there are samples");
    let alone = joint_power(&all[3..], &is_member).expect("there are samples");
    assert!(joint.auc > 0.999, "{joint:?}");
    assert!(alone.auc < 0.8, "{alone:?}");
}

#[test]
fn there_is_no_power_where_there_is_nothing_to_fit() {
    let neuron = noise(1, 60);
    let is_member = members(60);
    assert!(joint_power(&[&neuron], &is_member).is_some());
    assert_eq!(joint_power(&[], &is_member), None);
    // Four members cannot be in five folds.
    let few: Vec<bool> = (0..60).map(|sample| sample < 4).collect();
    assert_eq!(joint_power(&[&neuron], &few), None);
    let many: Vec<bool> = few.iter().map(|member| !member).collect();
    assert_eq!(joint_power(&[&neuron], &many), None);
    let mut broken = neuron.clone();
    broken[7] = f32::NAN;
    assert_eq!(joint_power(&[&broken], &is_member), None);
    // A constant neuron says nothing, and does no harm.
    let power = joint_power(&[&[1.5; 60]], &is_member).expect("there are samples");
    assert_eq!(power.auc, 0.5);
}

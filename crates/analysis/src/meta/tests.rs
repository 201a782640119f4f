use crate::random::KeyedRng;

use super::*;

const NUM_SAMPLES: usize = 120;

fn noise(seed: u64) -> Vec<f32> {
    let mut rng = KeyedRng::new([seed, 2000, 0, 0]);
    (0..NUM_SAMPLES)
        .map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5)
        .collect()
}

/// The network is wrong about every fourth sample.
fn right() -> Vec<bool> {
    (0..NUM_SAMPLES).map(|sample| sample % 4 != 1).collect()
}

/// Noise, with neuron 2 larger by `lift` where the network is right.
fn neurons(lift: f32) -> Vec<Vec<f32>> {
    let mut neurons: Vec<Vec<f32>> = (0..6).map(noise).collect();
    for (value, is_right) in neurons[2].iter_mut().zip(right()) {
        *value += if is_right { lift } else { 0.0 };
    }
    neurons
}

/// All that there is to ask for.
const ALL: MetaModelParts = MetaModelParts {
    trees: Some(30),
    importances: true,
    linear: true,
};

fn model(neurons: &[Vec<f32>], num_threads: usize) -> MetaModel {
    let neurons: Vec<&[f32]> = neurons.iter().map(Vec::as_slice).collect();
    meta_model(&neurons, &right(), ALL, 1, num_threads).unwrap()
}

#[test]
fn the_neuron_that_tells_is_the_one_that_is_important() {
    let model = model(&neurons(2.0), 2);
    assert!(model.forest.unwrap().mean > 0.99, "{model:?}");
    assert!(model.linear.unwrap().mean > 0.99, "{model:?}");
    let importances = model.importances.as_ref().unwrap().iter();
    let coefficients = model.coefficients.as_ref().unwrap();
    for (neuron, (importance, coefficient)) in importances.zip(coefficients).enumerate() {
        if neuron == 2 {
            assert!(importance.mean > 0.3, "{model:?}");
            assert!(*coefficient > 1.0, "{model:?}");
        } else {
            assert!(importance.mean.abs() < 0.05, "{model:?}");
            assert!(coefficient.abs() < 0.5, "{model:?}");
        }
    }
}

#[test]
fn what_is_not_asked_for_changes_nothing_of_the_rest() {
    let neurons = neurons(0.3);
    let all = model(&neurons, 2);
    let slices: Vec<&[f32]> = neurons.iter().map(Vec::as_slice).collect();
    let of = |parts| meta_model(&slices, &right(), parts, 1, 2).unwrap();
    let nothing = MetaModelParts {
        trees: None,
        importances: false,
        linear: false,
    };
    let linear = of(MetaModelParts {
        linear: true,
        ..nothing
    });
    assert_eq!(linear.linear, all.linear);
    assert_eq!(linear.coefficients, all.coefficients);
    assert_eq!((linear.forest, linear.importances), (None, None));
    let forest = of(MetaModelParts {
        trees: ALL.trees,
        ..nothing
    });
    assert_eq!(forest.forest, all.forest);
    assert_eq!((forest.linear, forest.importances), (None, None));
    let nothing = of(nothing);
    assert_eq!((nothing.forest, nothing.linear), (None, None));
}

#[test]
fn noise_is_told_as_such() {
    let model = model(&neurons(0.0), 1);
    for auc in [model.forest.unwrap(), model.linear.unwrap()] {
        // Four folds of five have a deviation of about 0.12 around ½, and there are five.
        assert!((auc.mean - 0.5).abs() < 0.2, "{model:?}");
        assert!(auc.deviation > 0.0, "{model:?}");
    }
}

#[test]
fn it_depends_on_the_seed_and_on_no_threads() {
    let neurons = neurons(0.3);
    let one = model(&neurons, 1);
    assert_eq!(one, model(&neurons, 5));
    let slices: Vec<&[f32]> = neurons.iter().map(Vec::as_slice).collect();
    assert_ne!(one, meta_model(&slices, &right(), ALL, 2, 1).unwrap());
}

#[test]
fn a_score_of_its_own_is_judged_on_the_same_folds() {
    let right = right();
    let told: Vec<f32> = right.iter().map(|&r| f32::from(u8::from(r))).collect();
    let auc = held_out_auc(&told, &right).unwrap();
    assert_eq!((auc.mean, auc.deviation), (1.0, 0.0));
    let constant = held_out_auc(&vec![0.5; NUM_SAMPLES], &right).unwrap();
    assert_eq!(constant.mean, 0.5);
    assert_eq!(held_out_auc(&[0.5; 4], &[true; 4]), None);
}

#[test]
fn too_little_to_learn_from_is_said() {
    let neuron = noise(1);
    let mut is_right = vec![true; NUM_SAMPLES];
    is_right[..4].fill(false);
    let refused = |neurons: &[&[f32]], is_right: &[bool]| {
        let refused = meta_model(neurons, is_right, ALL, 1, 1);
        refused.unwrap_err().to_string()
    };
    let error = refused(&[&neuron], &is_right);
    assert!(
        error.contains("right about 116 of 120 samples and wrong about 4"),
        "{error}"
    );
    assert_eq!(refused(&[], &right()), "there are no neurons");
    let mut broken = neuron.clone();
    broken[7] = f32::NAN;
    assert_eq!(
        refused(&[&neuron, &broken], &right()),
        "an activation is not finite"
    );
}

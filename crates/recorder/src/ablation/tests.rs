use burn::backend::Flex;

use super::*;
use crate::dataset::{Dataset, DatasetKind};
use crate::model::{Activation, Convolutions, ImageShape, Loss, NetworkConfig, NetworkParameters};
use capture::{Classifications, Silencing, UnitSet};

/// A network for the digits that nobody trained.
fn rebuilt(hidden: &[usize], channels: &[usize]) -> Rebuilt {
    let config = NetworkConfig {
        num_inputs: 64,
        hidden: hidden.to_vec(),
        num_outputs: 10,
        activation: Activation::Relu,
        loss: Loss::SoftmaxCrossEntropy,
        convolutions: (!channels.is_empty()).then(|| Convolutions {
            image: ImageShape {
                channels: 1,
                height: 8,
                width: 8,
            },
            channels: channels.to_vec(),
        }),
    };
    let mut parameters = NetworkParameters::initial(&config, 7);
    for layer in &mut parameters.layers {
        // Far from 0, so that a unit that is silenced is missed.
        layer.weights.iter_mut().for_each(|weight| *weight *= 3.0);
    }
    Rebuilt {
        config,
        parameters,
        dataset: Dataset::load(DatasetKind::Digits, 7, 64).unwrap(),
        batch_size: 100,
        precision: Precision::F32,
    }
}

fn outputs(rebuilt: &Rebuilt, sets: &[UnitSet], silencing: Silencing) -> Vec<Classifications> {
    let mut passes = Vec::new();
    let mut outcomes: Vec<Classifications> = vec![Classifications::default(); sets.len()];
    run_silenced::<Flex>(
        &Default::default(),
        rebuilt,
        sets,
        silencing,
        &mut |Outcome {
                  set,
                  first_sample,
                  rows,
              }| {
            let all = &mut outcomes[set];
            assert_eq!(first_sample, all.len(), "batches come in order");
            all.loss.extend(rows.loss);
            all.outputs.extend(rows.outputs);
            all.predicted.extend(rows.predicted);
        },
        &mut |done, all| passes.push((done, all)),
    )
    .unwrap();
    // 297 samples in batches of 100.
    let num_passes = 3 * sets.len();
    let expected: Vec<_> = (1..=num_passes).map(|done| (done, num_passes)).collect();
    assert_eq!(passes, expected);
    outcomes
}

/// The network as it is, and with units silenced.
fn silenced(rebuilt: &Rebuilt, set: UnitSet, silencing: Silencing) -> [Classifications; 2] {
    let outcomes = outputs(rebuilt, &[Vec::new(), set], silencing);
    outcomes.try_into().unwrap()
}

/// Multiplies the weights that lead from units of a layer to the next one, each unit feeding
/// `repeat` of them, and gives what each unit of the next layer had of each of those units.
fn scale_outgoing(
    rebuilt: &mut Rebuilt,
    layer: usize,
    units: &[usize],
    repeat: usize,
    factor: f32,
) -> Vec<Vec<f32>> {
    let num_units = rebuilt.parameters.layers[layer].bias.len();
    let fan_in = num_units * repeat;
    let next = &mut rebuilt.parameters.layers[layer + 1];
    let rows = next.weights.chunks_exact_mut(fan_in);
    rows.map(|row| {
        let weights = units.iter().map(|&unit| {
            let of_unit = &mut row[unit * repeat..][..repeat];
            let before = of_unit[0];
            of_unit.iter_mut().for_each(|weight| *weight *= factor);
            before
        });
        weights.collect()
    })
    .collect()
}

fn assert_close(a: &Classifications, b: &Classifications) {
    assert_eq!(a.outputs.len(), b.outputs.len());
    for (a, b) in a.outputs.iter().zip(&b.outputs) {
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
}

fn assert_differ(a: &Classifications, b: &Classifications) {
    let far = a.outputs.iter().zip(&b.outputs);
    let far = far.filter(|(a, b)| (*a - *b).abs() > 1e-3).count();
    assert!(far > a.outputs.len() / 20, "{far} of {}", a.outputs.len());
}

/// A unit that is silenced is one whose outgoing weights are scaled: by nothing but the network's
/// own forward pass, with other weights.
#[test]
fn silent_units_are_those_whose_outgoing_weights_are_scaled() {
    for (silencing, factor) in [
        (Silencing::Zero, 0.0),
        (Silencing::Scale(0.0), 0.0),
        (Silencing::Scale(-1.5), -1.5),
    ] {
        for layer in [0, 1] {
            let units = [1, 4, 6];
            let intact = rebuilt(&[12, 8], &[]);
            let [before, after] = silenced(&intact, vec![(layer, units.to_vec())], silencing);
            let mut other = rebuilt(&[12, 8], &[]);
            let [same, _] = silenced(&other, vec![(0, vec![0])], silencing);
            assert_eq!(before, same, "an empty set changes nothing");
            scale_outgoing(&mut other, layer, &units, 1, factor);
            let [expected, _] = silenced(&other, vec![(0, vec![0])], silencing);
            assert_close(&after, &expected);
            assert_differ(&after, &before);
        }
    }
}

#[test]
fn units_of_several_layers_are_silent_at_once() {
    let set = vec![(0, vec![2, 3]), (1, vec![0, 7])];
    let [before, after] = silenced(&rebuilt(&[12, 8], &[]), set, Silencing::Zero);
    let mut other = rebuilt(&[12, 8], &[]);
    scale_outgoing(&mut other, 0, &[2, 3], 1, 0.0);
    scale_outgoing(&mut other, 1, &[0, 7], 1, 0.0);
    let [expected, _] = silenced(&other, vec![(0, vec![0])], Silencing::Zero);
    assert_close(&after, &expected);
    assert_differ(&after, &before);
}

/// Of a convolution the whole channel is silent, at every position. Behind the last one the linear
/// layer has 4 positions of a channel (8x8, halved twice); between two, a kernel's 9.
#[test]
fn a_silent_channel_is_silent_everywhere() {
    for (layer, repeat) in [(0, 9), (1, 4)] {
        let units = [0, 2];
        let intact = rebuilt(&[6], &[4, 5]);
        let [before, after] = silenced(&intact, vec![(layer, units.to_vec())], Silencing::Zero);
        let mut other = rebuilt(&[6], &[4, 5]);
        scale_outgoing(&mut other, layer, &units, repeat, 0.0);
        let [expected, _] = silenced(&other, vec![(0, vec![0])], Silencing::Zero);
        assert_close(&after, &expected);
        assert_differ(&after, &before);
    }
}

/// A unit that always says its mean gives the next layer a constant, which a bias gives as well.
#[test]
fn units_at_their_means_are_a_bias() {
    let units = [1, 5];
    let intact = rebuilt(&[12, 8], &[]);
    let [_, after] = silenced(&intact, vec![(0, units.to_vec())], Silencing::Mean);
    // What the units say, by hand: a sum over the 64 inputs of each held-out sample.
    let held_out = intact.dataset.held_out();
    let of_layer = &intact.parameters.layers[0];
    let mean = |unit: usize| -> f64 {
        let says = |sample: usize| -> f64 {
            let inputs = held_out.inputs_of(sample..sample + 1);
            let weights = &of_layer.weights[64 * unit..][..64];
            let products = inputs.iter().zip(weights);
            let sum: f64 = products.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            (sum + f64::from(of_layer.bias[unit])).max(0.0)
        };
        (0..held_out.len()).map(says).sum::<f64>() / held_out.len() as f64
    };
    assert_close(&after, &with_constants(units, units.map(mean)));
}

/// So does a unit that always says one number.
#[test]
fn units_that_are_set_are_a_bias() {
    let (units, intact) = ([1, 5], rebuilt(&[12, 8], &[]));
    let [before, after] = silenced(&intact, vec![(0, units.to_vec())], Silencing::Set(1.25));
    assert_close(&after, &with_constants(units, [1.25; 2]));
    assert_differ(&after, &before);
}

/// What the network says where two units of the first layer say the same of every sample.
fn with_constants(units: [usize; 2], constants: [f64; 2]) -> Classifications {
    let mut other = rebuilt(&[12, 8], &[]);
    let weights = scale_outgoing(&mut other, 0, &units, 1, 0.0);
    let biases = other.parameters.layers[1].bias.iter_mut();
    for (bias, weights) in biases.zip(weights) {
        let products = weights.iter().zip(constants);
        let constant: f64 = products.map(|(w, value)| f64::from(*w) * value).sum();
        *bias += constant as f32;
    }
    let [expected, _] = silenced(&other, vec![(0, vec![0])], Silencing::Zero);
    expected
}

/// The mean of a channel is over positions, too: nothing changes for a channel that says the same
/// everywhere.
#[test]
fn a_channel_that_says_one_thing_is_at_its_mean() {
    let mut constant = rebuilt(&[6], &[4]);
    constant.parameters.layers[0].weights[9..18].fill(0.0);
    constant.parameters.layers[0].bias[1] = 0.75;
    let [before, after] = silenced(&constant, vec![(0, vec![1])], Silencing::Mean);
    assert_close(&before, &after);
    let [_, after] = silenced(&constant, vec![(0, vec![0])], Silencing::Mean);
    assert_differ(&before, &after);
}

/// A silent unit is silent even where it would have said what is no number.
#[test]
fn a_unit_that_is_not_finite_can_be_silenced() {
    let mut broken = rebuilt(&[12, 8], &[]);
    broken.parameters.layers[0].bias[3] = f32::INFINITY;
    let [before, after] = silenced(&broken, vec![(0, vec![3])], Silencing::Zero);
    assert!(before.loss.iter().all(|loss| loss.is_nan()));
    assert!(after.outputs.iter().all(|output| output.is_finite()));
}

use burn::backend::Flex;

use super::*;
use crate::dataset::{Dataset, DatasetKind};
use crate::model::{Activation, LayerParameters, NetworkConfig, NetworkParameters};
use crate::testing::flat;

#[test]
fn an_evaluation_keeps_the_samples_in_order_whatever_the_batch_size() {
    let config = NetworkConfig {
        num_inputs: 64,
        hidden: vec![2],
        num_outputs: 10,
        activation: Activation::Relu,
        loss: Loss::SoftmaxCrossEntropy,
        convolutions: None,
    };
    let parameters = NetworkParameters::initial(&config, 1);
    let model =
        Network::<Flex>::from_parameters(&config, &parameters, &Default::default()).unwrap();
    let digits = Dataset::load(DatasetKind::Digits, 0, 64).unwrap();
    for (batch_size, expected_rows) in [(512, vec![297]), (100, vec![100, 100, 97])] {
        let held_out = HeldOut::new(digits.held_out(), batch_size, &Default::default());
        let (activations, classifications) = evaluate_traced(&held_out, &model, config.loss);
        assert_eq!(activations.len(), 2);
        for (layer, num_units) in activations.iter().zip([2, 10]) {
            let dims: Vec<_> = layer.iter().map(|output| flat(output).dims()).collect();
            let expected: Vec<_> = expected_rows
                .iter()
                .map(|&rows| [rows, num_units])
                .collect();
            assert_eq!(dims, expected);
        }
        let without = held_out.evaluate(&model, config.loss).unwrap();
        assert_eq!(without, classifications);
        let hidden = &activations[0];
        assert_close_to_host(
            hidden,
            &classifications,
            &parameters.layers,
            digits.held_out(),
        );
    }
}

/// What each layer makes of each batch, and what follows from the logits.
fn evaluate_traced(
    held_out: &HeldOut<Flex>,
    model: &Network<Flex>,
    loss: Loss,
) -> (Vec<Vec<LayerOutput<Flex>>>, Classifications) {
    let mut activations = vec![Vec::new(); model.num_layers()];
    let see = |layer: usize, output| activations[layer].push(output);
    let classifications = held_out.evaluate_traced(model, loss, see).unwrap();
    (activations, classifications)
}

/// Computes hidden activations and probabilities in plain f64.
fn assert_close_to_host(
    hidden: &[LayerOutput<Flex>],
    classifications: &Classifications,
    layers: &[LayerParameters],
    samples: &Samples,
) {
    let dense = |layer: &LayerParameters, x: &[f64]| -> Vec<f64> {
        layer
            .weights
            .chunks(x.len())
            .zip(&layer.bias)
            .map(|(row, &b)| {
                row.iter()
                    .zip(x)
                    .map(|(&w, x)| f64::from(w) * x)
                    .sum::<f64>()
                    + f64::from(b)
            })
            .collect()
    };
    let hidden = rows_to_vec(hidden.iter().map(flat).collect()).unwrap();
    for (sample, pixels) in samples.inputs().chunks(64).enumerate() {
        let x: Vec<f64> = pixels.iter().map(|&p| f64::from(p)).collect();
        let h: Vec<f64> = dense(&layers[0], &x)
            .into_iter()
            .map(|z| z.max(0.0))
            .collect();
        let exp: Vec<f64> = dense(&layers[1], &h).into_iter().map(f64::exp).collect();
        for (found, expected) in hidden[sample * 2..].iter().zip(&h) {
            assert!((f64::from(*found) - expected).abs() < 1e-5);
        }
        let sum: f64 = exp.iter().sum();
        for (found, e) in classifications.outputs[sample * 10..].iter().zip(&exp) {
            assert!((f64::from(*found) - e / sum).abs() < 1e-5);
        }
    }
}

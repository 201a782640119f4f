use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule as _;

use super::*;

fn config(num_inputs: usize, hidden: &[usize], num_outputs: usize) -> MlpConfig {
    MlpConfig {
        num_inputs,
        hidden: hidden.to_vec(),
        num_outputs,
        activation: Activation::Relu,
        loss: Loss::SoftmaxCrossEntropy,
    }
}

fn build(config: &MlpConfig, parameters: &MlpParameters) -> Mlp<Flex> {
    Mlp::from_parameters(config, parameters, &Default::default()).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn the_notebook_s_network_has_its_layers_and_neurons() {
    let config = MlpConfig {
        activation: Activation::Sigmoid,
        loss: Loss::BinaryCrossEntropy,
        ..config(20, &[10, 10], 1)
    };
    let topology = config.topology().unwrap();
    let layers: Vec<_> = topology
        .layers()
        .iter()
        .map(|l| {
            (
                l.layer.as_str(),
                l.fan_in,
                l.num_units,
                l.first_neuron,
                l.activation.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        layers,
        [
            ("L_input", 20, 10, 0, Some("sigmoid")),
            ("L_hidden_1", 10, 10, 10, Some("sigmoid")),
            ("L_output", 10, 1, 20, None),
        ]
    );
    assert_eq!(topology.num_neurons(), 21);
    let source = topology.layers()[2].source.as_ref().unwrap();
    assert_eq!(
        source,
        &[trace::SourceRange::all(
            trace::Source::Layer(trace::LayerLabel::try_new("L_hidden_1").unwrap()),
            10
        )]
    );
}

#[test]
fn a_network_without_hidden_layers_is_one_output_layer() {
    let topology = config(4, &[], 3).topology().unwrap();
    assert_eq!(topology.layers().len(), 1);
    assert_eq!(topology.layers()[0].layer.as_str(), "L_output");
}

#[test]
fn impossible_networks_are_refused() {
    let error = |config: MlpConfig| config.topology().unwrap_err().to_string();
    assert_eq!(
        error(config(4, &[8, 0], 3)),
        "layer L_hidden_1 would have no units: give every hidden layer a size above 0"
    );
    assert_eq!(
        error(config(0, &[], 3)),
        "a network needs at least one input"
    );
    assert_eq!(
        error(MlpConfig {
            loss: Loss::BinaryCrossEntropy,
            ..config(4, &[], 3)
        }),
        "binary cross-entropy needs a network with one output, this one has 3"
    );
    let too_large = config(4, &[i32::MAX as usize + 1], 3)
        .topology()
        .unwrap_err();
    assert!(
        matches!(too_large, ModelError::TooLarge { .. }),
        "{too_large}"
    );
    let too_many = config(1, &[i32::MAX as usize], 1).topology().unwrap_err();
    assert_eq!(
        too_many,
        ModelError::Topology(trace::TopologyError::TooManyNeurons)
    );
    // 46,341 is the first whole number whose square is above 2^31 - 1.
    assert_eq!(
        error(config(4, &[46_341, 46_341], 3)),
        "layer L_hidden_1 would have 46341 units with 46341 weights each, a trace can hold \
         2147483647 weights of a layer"
    );
    config(4, &[46_340, 46_340], 3).topology().unwrap();
}

#[test]
fn initial_parameters_depend_on_the_seed_and_stay_within_their_bound() {
    let config = config(16, &[8], 3);
    let drawn = MlpParameters::initial(&config, 1);
    assert_eq!(drawn, MlpParameters::initial(&config, 1));
    assert_ne!(drawn, MlpParameters::initial(&config, 2));
    let lens: Vec<_> = drawn
        .layers
        .iter()
        .map(|l| (l.weights.len(), l.bias.len()))
        .collect();
    assert_eq!(lens, [(128, 8), (24, 3)]);
    let within = |values: &[f32], bound: f32| values.iter().all(|x| x.abs() <= bound);
    assert!(within(&drawn.layers[0].weights, 0.25) && within(&drawn.layers[0].bias, 0.25));
    assert!(drawn.layers[0].weights.iter().any(|x| x.abs() > 0.24));
}

#[test]
fn forward_computes_rows_times_inputs_plus_bias() {
    // Two inputs, two hidden units, two outputs, worked out by hand for the input (1, 2).
    let parameters = MlpParameters {
        layers: vec![
            LayerParameters {
                weights: vec![1.0, 2.0, -3.0, 1.0],
                bias: vec![0.5, 0.25],
            },
            LayerParameters {
                weights: vec![2.0, 10.0, -1.0, 10.0],
                bias: vec![0.0, 1.0],
            },
        ],
    };
    let model = build(&config(2, &[2], 2), &parameters);
    let input = Tensor::from_floats([[1.0, 2.0]], &Default::default());
    let activations = model.forward_traced(input);
    // 1 + 4 + 0.5 = 5.5; -3 + 2 + 0.25 < 0.
    assert_eq!(to_vec(activations[0].clone()).unwrap(), [5.5, 0.0]);
    // 11 + 0 + 0 and -5.5 + 0 + 1: the output layer's activation is its logit.
    assert_eq!(to_vec(activations[1].clone()).unwrap(), [11.0, -4.5]);
}

#[test]
fn forward_and_forward_traced_agree_bit_for_bit() {
    for activation in [Activation::Relu, Activation::Sigmoid] {
        let config = MlpConfig {
            activation,
            ..config(30, &[17, 40], 5)
        };
        let model = build(&config, &MlpParameters::initial(&config, 3));
        let inputs: Vec<f32> = (0..30 * 33).map(|i| (i as f32 * 0.37).sin()).collect();
        let input = Tensor::from_data(TensorData::new(inputs, [33, 30]), &Default::default());
        let traced = model.forward_traced(input.clone());
        assert_eq!(traced.len(), 3);
        assert_eq!(traced[0].dims(), [33, 17]);
        assert_eq!(
            bits(&to_vec(model.forward(input)).unwrap()),
            bits(&to_vec(traced[2].clone()).unwrap())
        );
    }
}

#[test]
fn parameters_come_back_from_the_device_as_they_were() {
    let config = config(37, &[65, 33], 10);
    let parameters = MlpParameters::initial(&config, 11);
    let device = Default::default();
    let model = Mlp::<Autodiff<Flex>>::from_parameters(&config, &parameters, &device).unwrap();
    assert_eq!(model.valid().read_parameters().unwrap(), parameters);

    let tensors = model.valid().layer_tensors();
    assert_eq!(tensors[0].weight.dims(), [37, 65]);
    // Burn's weight of input 2 and unit 5 is the trace's of unit 5 and input 2.
    let columns = to_vec(tensors[0].weight.clone()).unwrap();
    assert_eq!(
        columns[2 * 65 + 5],
        parameters.layers[0].weights[5 * 37 + 2]
    );
}

#[test]
fn parameters_of_another_shape_are_refused() {
    let expected = config(4, &[3], 2);
    let build = |parameters: &MlpParameters| {
        Mlp::<Flex>::from_parameters(&expected, parameters, &Default::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        build(&MlpParameters::initial(&config(4, &[3, 3], 2), 0)),
        "the network has 2 layers, the parameters are those of 3"
    );
    assert_eq!(
        build(&MlpParameters::initial(&config(5, &[3], 2), 0)),
        "layer L_input has 12 weights, there are values for 15"
    );
    let mut parameters = MlpParameters::initial(&expected, 0);
    parameters.layers[1].bias.pop();
    assert_eq!(
        build(&parameters),
        "layer L_output has 2 biases, there are values for 1"
    );
}

#[test]
fn rows_are_the_columns_of_the_other_layout() {
    assert_eq!(
        to_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3),
        [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
    );
    // Sizes around the blocks' edges.
    for (fan_in, num_units) in [(1, 1), (1, 70), (70, 1), (31, 33), (32, 64), (65, 97)] {
        let weight: Vec<f32> = (0..fan_in * num_units).map(|i| i as f32).collect();
        let rows = to_rows(&weight, fan_in, num_units);
        for unit in 0..num_units {
            for input in 0..fan_in {
                assert_eq!(
                    rows[unit * fan_in + input],
                    weight[input * num_units + unit]
                );
            }
        }
    }
}

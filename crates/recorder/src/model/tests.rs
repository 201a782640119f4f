use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule as _;

use super::*;
use crate::testing::flat;

fn config(num_inputs: usize, hidden: &[usize], num_outputs: usize) -> NetworkConfig {
    NetworkConfig {
        num_inputs,
        hidden: hidden.to_vec(),
        num_outputs,
        activation: Activation::Relu,
        loss: Loss::SoftmaxCrossEntropy,
        convolutions: None,
    }
}

fn build(config: &NetworkConfig, parameters: &NetworkParameters) -> Network<Flex> {
    Network::from_parameters(config, parameters, &Default::default()).unwrap()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn the_notebook_s_network_has_its_layers_and_neurons() {
    let config = NetworkConfig {
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
    let error = |config: NetworkConfig| config.topology().unwrap_err().to_string();
    assert_eq!(
        error(config(4, &[8, 0], 3)),
        "layer L_hidden_1 would have no units: give every one a size above 0"
    );
    assert_eq!(
        error(config(0, &[], 3)),
        "a network needs at least one input"
    );
    assert_eq!(
        error(NetworkConfig {
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
    let drawn = NetworkParameters::initial(&config, 1);
    assert_eq!(drawn, NetworkParameters::initial(&config, 1));
    assert_ne!(drawn, NetworkParameters::initial(&config, 2));
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
    let parameters = NetworkParameters {
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
    let (activations, logits) = model.forward_traced(input);
    // 1 + 4 + 0.5 = 5.5; -3 + 2 + 0.25 < 0.
    assert_eq!(to_vec(flat(&activations[0])).unwrap(), [5.5, 0.0]);
    // 11 + 0 + 0 and -5.5 + 0 + 1: the output layer's activation is its logit.
    assert_eq!(to_vec(flat(&activations[1])).unwrap(), [11.0, -4.5]);
    assert_eq!(to_vec(logits).unwrap(), [11.0, -4.5]);
}

#[test]
fn forward_and_forward_traced_agree_bit_for_bit() {
    for activation in [Activation::Relu, Activation::Sigmoid] {
        let config = NetworkConfig {
            activation,
            ..config(30, &[17, 40], 5)
        };
        let model = build(&config, &NetworkParameters::initial(&config, 3));
        let inputs: Vec<f32> = (0..30 * 33).map(|i| (i as f32 * 0.37).sin()).collect();
        let input = Tensor::from_data(TensorData::new(inputs, [33, 30]), &Default::default());
        let (traced, logits) = model.forward_traced(input.clone());
        assert_eq!(traced.len(), 3);
        assert_eq!(flat(&traced[0]).dims(), [33, 17]);
        assert_eq!(
            bits(&to_vec(logits).unwrap()),
            bits(&to_vec(flat(&traced[2])).unwrap())
        );
        assert_eq!(
            bits(&to_vec(model.forward(input)).unwrap()),
            bits(&to_vec(flat(&traced[2])).unwrap())
        );
    }
}

#[test]
fn parameters_come_back_from_the_device_as_they_were() {
    let config = config(37, &[65, 33], 10);
    let parameters = NetworkParameters::initial(&config, 11);
    let device = Default::default();
    let model = Network::<Autodiff<Flex>>::from_parameters(&config, &parameters, &device).unwrap();
    assert_eq!(model.valid().read_parameters().unwrap(), parameters);

    let weight = model.valid().layers[0].weight.val();
    assert_eq!(weight.dims(), [37, 65]);
    // Burn's weight of input 2 and unit 5 is the trace's of unit 5 and input 2.
    let columns = to_vec(weight).unwrap();
    assert_eq!(
        columns[2 * 65 + 5],
        parameters.layers[0].weights[5 * 37 + 2]
    );
}

#[test]
fn parameters_of_another_shape_are_refused() {
    let expected = config(4, &[3], 2);
    let build = |parameters: &NetworkParameters| {
        Network::<Flex>::from_parameters(&expected, parameters, &Default::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        build(&NetworkParameters::initial(&config(4, &[3, 3], 2), 0)),
        "the network has 2 layers, the parameters are those of 3"
    );
    assert_eq!(
        build(&NetworkParameters::initial(&config(5, &[3], 2), 0)),
        "layer L_input has 12 weights, there are values for 15"
    );
    let mut parameters = NetworkParameters::initial(&expected, 0);
    parameters.layers[1].bias.pop();
    assert_eq!(
        build(&parameters),
        "layer L_output has 2 biases, there are values for 1"
    );
}

/// Convolutions of 2 and 3 channels over images of 4×5 with 2 channels, then 6 hidden units.
fn cnn() -> NetworkConfig {
    NetworkConfig {
        convolutions: Some(Convolutions {
            image: "2x4x5".parse().unwrap(),
            channels: vec![2, 3],
        }),
        ..config(40, &[6], 4)
    }
}

#[test]
fn a_convolutional_network_says_how_it_is_connected() {
    let topology = cnn().topology().unwrap();
    let layers = topology.layers().iter().map(|layer| {
        let source = &layer.source.as_ref().unwrap()[0];
        (
            layer.layer.as_str(),
            layer.module_path.as_str(),
            layer.kind.as_str(),
            layer.shape.clone(),
            layer.first_neuron,
            String::from(source.from.clone()),
            (source.count, source.repeat),
        )
    });
    let text = str::to_owned;
    assert_eq!(
        layers.collect::<Vec<_>>(),
        [
            (
                "L_conv_1",
                "convolutions.0",
                "conv2d",
                vec![2, 2, 3, 3],
                0,
                text("input"),
                (2, 9)
            ),
            (
                "L_conv_2",
                "convolutions.1",
                "conv2d",
                vec![3, 2, 3, 3],
                2,
                text("L_conv_1"),
                (2, 9)
            ),
            // Of 4×5 positions 2×2 are left, and 1×1 of these.
            (
                "L_hidden_1",
                "layers.0",
                "linear",
                vec![6, 3],
                5,
                text("L_conv_2"),
                (3, 1)
            ),
            (
                "L_output",
                "layers.1",
                "linear",
                vec![4, 6],
                11,
                text("L_hidden_1"),
                (6, 1)
            ),
        ]
    );
    let flattened = NetworkConfig {
        convolutions: Some(Convolutions {
            image: "2x4x5".parse().unwrap(),
            channels: vec![7],
        }),
        ..config(40, &[], 4)
    };
    let topology = flattened.topology().unwrap();
    let output = &topology.layers()[1];
    assert_eq!((output.layer.as_str(), output.fan_in), ("L_output", 28));
    let source = &output.source.as_ref().unwrap()[0];
    assert_eq!((source.count, source.repeat), (7, 4));
}

#[test]
fn impossible_convolutions_are_refused() {
    let error = |num_inputs, image: &str, channels: &[usize]| {
        let config = NetworkConfig {
            convolutions: Some(Convolutions {
                image: image.parse().unwrap(),
                channels: channels.to_vec(),
            }),
            ..config(num_inputs, &[], 3)
        };
        config.topology().unwrap_err().to_string()
    };
    assert_eq!(
        error(64, "28x28", &[8]),
        "an image of 28x28 does not have the 64 inputs of a sample"
    );
    assert_eq!(
        error(64, "8x8", &[8, 0]),
        "layer L_conv_2 would have no units: give every one a size above 0"
    );
    for wrong in ["28", "28x0", "28x-1", "1x2x3x4", "x", ""] {
        let error = wrong.parse::<ImageShape>().unwrap_err().to_string();
        assert!(error.contains("is no image"), "{wrong:?}: {error}");
    }
    for text in ["28x28", "3x32x30"] {
        assert_eq!(text.parse::<ImageShape>().unwrap().to_string(), text);
    }
}

/// What a convolution of 3×3 with a border of zeros, a ReLU, and the largest of every 2×2 make of an
/// image `[channels, height, width]`: before and after the last.
fn convolved(
    image: &[f32],
    [channels, height, width]: [usize; 3],
    LayerParameters { weights, bias }: &LayerParameters,
) -> (Vec<f32>, Vec<f32>) {
    let pixel = |channel: usize, row: usize, column: usize| {
        // One further, so that the border counts as 0.
        match (row.checked_sub(1), column.checked_sub(1)) {
            (Some(row), Some(column)) if row < height && column < width => {
                image[(channel * height + row) * width + column]
            }
            _ => 0.0,
        }
    };
    let (mut map, mut pooled) = (Vec::new(), Vec::new());
    for (unit, bias) in bias.iter().enumerate() {
        let first = map.len();
        for (row, column) in (0..height).flat_map(|row| (0..width).map(move |c| (row, c))) {
            let mut sum = *bias;
            for channel in 0..channels {
                for (y, x) in (0..3).flat_map(|y| (0..3).map(move |x| (y, x))) {
                    let weight = weights[((unit * channels + channel) * 3 + y) * 3 + x];
                    sum += weight * pixel(channel, row + y, column + x);
                }
            }
            map.push(sum.max(0.0));
        }
        for (row, column) in (0..height / 2).flat_map(|y| (0..width / 2).map(move |x| (y, x))) {
            let at = |y: usize, x: usize| map[first + (2 * row + y) * width + 2 * column + x];
            pooled.push(at(0, 0).max(at(0, 1)).max(at(1, 0)).max(at(1, 1)));
        }
    }
    (map, pooled)
}

#[test]
fn convolutions_are_those_that_are_worked_out_value_by_value() {
    let config = cnn();
    let parameters = NetworkParameters::initial(&config, 5);
    let model = build(&config, &parameters);
    let pixels: Vec<f32> = (0..80).map(|i| (i as f32 * 0.61).sin()).collect();
    let inputs = Tensor::from_data(
        TensorData::new(pixels.clone(), [2, 40]),
        &Default::default(),
    );
    let (outputs, logits) = model.forward_traced(inputs.clone());
    assert_eq!(outputs.len(), 4);
    assert_eq!(
        bits(&to_vec(model.forward(inputs)).unwrap()),
        bits(&to_vec(logits).unwrap())
    );
    let image = |index: usize| match &outputs[index] {
        LayerOutput::Image(output) => output.clone(),
        LayerOutput::Flat(_) => panic!("a convolution makes images"),
    };
    assert_eq!(image(0).dims(), [2, 2, 4, 5]);
    assert_eq!(image(1).dims(), [2, 3, 2, 2]);
    let close = |found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len());
        let near = found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near, "{found:?} {expected:?}");
    };
    let [first, second] = [0, 1].map(|index| to_vec(image(index)).unwrap());
    let hidden = to_vec(flat(&outputs[2])).unwrap();
    for (sample, pixels) in pixels.chunks_exact(40).enumerate() {
        let (map, pooled) = convolved(pixels, [2, 4, 5], &parameters.layers[0]);
        close(&first[sample * 40..][..40], &map);
        let (map, pooled) = convolved(&pooled, [2, 2, 2], &parameters.layers[1]);
        close(&second[sample * 12..][..12], &map);
        let LayerParameters { weights, bias } = &parameters.layers[2];
        let rows = weights.chunks_exact(3).zip(bias);
        let units = rows.map(|(row, bias)| {
            let products = row.iter().zip(&pooled).map(|(weight, x)| weight * x);
            (products.sum::<f32>() + bias).max(0.0)
        });
        close(&hidden[sample * 6..][..6], &units.collect::<Vec<_>>());
    }
    assert_eq!(model.read_parameters().unwrap(), parameters);
}

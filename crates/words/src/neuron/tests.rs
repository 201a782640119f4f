use trace::{LayerLabel, Source, SourceRange};

use super::*;

/// A network with 3 inputs, 4 hidden units and 2 outputs.
fn topology() -> Topology {
    let label = |text: &str| LayerLabel::try_new(text).unwrap();
    let layer = |layer_index, name, from, fan_in, num_units, first_neuron| Layer {
        layer_index,
        layer: label(name),
        module_path: format!("layers.{layer_index}"),
        kind: "linear".to_owned(),
        shape: vec![u64::from(num_units), u64::from(fan_in)],
        fan_in,
        num_units,
        first_neuron,
        activation: None,
        trainable: true,
        source: Some(vec![SourceRange::all(from, fan_in)]),
        tensors: Vec::new(),
        recorded_units: None,
    };
    let hidden = Source::Layer(label("L_hidden_1"));
    let layers = vec![
        layer(0, "L_hidden_1", Source::Input, 3, 4, 0),
        layer(1, "L_output", hidden, 4, 2, 4),
    ];
    Topology::try_new(layers).unwrap()
}

fn name(text: &str) -> NeuronName {
    text.parse().unwrap()
}

#[test]
fn a_neuron_is_named_by_its_number_and_perhaps_its_layer() {
    for text in ["17", "-1", "L_hidden_1:17", "encoder:0:3"] {
        assert_eq!(name(text).to_string(), text);
    }
    assert_eq!(name("encoder:0:3").layer.as_deref(), Some("encoder:0"));
    for text in ["", "n_7", ":7", "L_hidden_1:", "L_hidden_1", "1.5"] {
        let error = text.parse::<NeuronName>().unwrap_err();
        assert_eq!(error, ParseNeuronError(text.to_owned()));
    }
}

#[test]
fn a_neuron_is_found_in_the_layer_that_it_is_said_to_be_of() {
    let topology = topology();
    let find = |text: &str| {
        let found = name(text).find(&topology);
        found.map(|layer| layer.layer.as_str())
    };
    for text in ["0", "3", "L_hidden_1:3"] {
        assert_eq!(find(text), Ok("L_hidden_1"));
    }
    for text in ["4", "L_output:5"] {
        assert_eq!(find(text), Ok("L_output"));
    }
    for (text, expected) in [
        ("6", "there is no neuron 6"),
        ("L_output:-1", "there is no neuron -1"),
        (
            "L_output:0",
            "neuron 0 is of layer L_hidden_1, not of L_output",
        ),
        (
            "L_outptu:5",
            "there is no layer \"L_outptu\"; did you mean L_output?",
        ),
    ] {
        assert_eq!(find(text).unwrap_err().to_string(), expected);
    }
    assert_eq!(
        describe_neurons(topology.layers()),
        "0 to 3 (L_hidden_1), 4 to 5 (L_output)"
    );
}

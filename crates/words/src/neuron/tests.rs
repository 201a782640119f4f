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
}

/// Layers of these kinds and names, of 2 units each, the last of which hears the inputs.
fn of_kinds(kinds: &[(&str, &str)]) -> Topology {
    let num_layers = kinds.len();
    let layers = kinds.iter().enumerate();
    let layers = layers.map(|(index, (kind, name))| Layer {
        layer_index: index as u32,
        layer: LayerLabel::try_new(name).unwrap(),
        module_path: (*name).to_owned(),
        kind: (*kind).to_owned(),
        shape: vec![2, 3],
        fan_in: 3,
        num_units: 2,
        first_neuron: 2 * index as i32,
        activation: None,
        trainable: true,
        source: (index + 1 == num_layers).then(|| vec![SourceRange::all(Source::Input, 3)]),
        tensors: Vec::new(),
        recorded_units: None,
    });
    Topology::try_new(layers.collect()).unwrap()
}

#[test]
fn hidden_neurons_are_those_that_say_something() {
    let told = |topology: &Topology| describe_hidden_neurons(topology);
    assert_eq!(told(&topology()).as_deref(), Some("0 to 3 (L_hidden_1)"));
    let network = [
        ("parameter", "cls"),
        ("embedding", "words"),
        ("lstm", "lstm.weight_ih_l0"),
        ("tap", "lstm.hidden"),
        ("attention", "attn.in_proj_weight"),
        ("attention", "attn.out_proj"),
        ("buffer", "bn.running_mean"),
        ("parameter", "fc.bias"),
        ("linear", "out"),
    ];
    assert_eq!(
        told(&of_kinds(&network)).as_deref(),
        // The dimensions of the embedding come after all neurons.
        Some("18 to 20 (words), 6 to 7 (lstm.hidden), 10 to 11 (attn.out_proj)")
    );
    assert_eq!(told(&of_kinds(&network[7..])), None);
    // What the weight of a layer is worked out of stands for that layer.
    let parametrized = [("parameter", "fc.original1")];
    assert!(of_kinds(&parametrized).layers()[0].has_activations());
}

#[test]
fn of_many_layers_some_are_told() {
    let names: Vec<String> = (0..31).map(|number| format!("fc{number}")).collect();
    let kinds: Vec<(&str, &str)> = names.iter().map(|name| ("linear", name.as_str())).collect();
    let told = describe_hidden_neurons(&of_kinds(&kinds)).unwrap();
    assert!(told.starts_with("0 to 1 (fc0), 2 to 3 (fc1), "), "{told}");
    let end = "38 to 39 (fc19), and those of 10 more layers";
    assert!(told.ends_with(end), "{told}");
}

use trace::{Layer, LayerLabel};

use super::*;

/// Layers of these kinds, labels, units and fan-ins, one behind the other.
fn topology_of(layers: &[(&str, &str, u32, u32)]) -> Topology {
    let mut first_neuron = 0;
    let layers = layers.iter().enumerate();
    let layers = layers.map(|(index, &(kind, label, num_units, fan_in))| {
        first_neuron += num_units.cast_signed();
        Layer {
            layer_index: index as u32,
            layer: LayerLabel::try_new(label).unwrap(),
            module_path: label.to_owned(),
            kind: kind.to_owned(),
            shape: vec![num_units.into(), fan_in.into()],
            fan_in,
            num_units,
            first_neuron: first_neuron - num_units.cast_signed(),
            activation: None,
            trainable: true,
            source: None,
            tensors: Vec::new(),
            recorded_units: None,
        }
    });
    Topology::try_new(layers.collect()).unwrap()
}

/// A network with so many hidden units, and 2 outputs.
fn topology(hidden: &[u32]) -> Topology {
    let labels = ["L_input", "L_hidden_1", "L_hidden_2"];
    let mut layers = Vec::new();
    let mut fan_in = 3;
    for (label, &num_units) in labels.into_iter().zip(hidden) {
        layers.push(("linear", label, num_units, fan_in));
        fan_in = num_units;
    }
    layers.push(("linear", "L_output", 2, fan_in));
    topology_of(&layers)
}

fn names(names: &[&str]) -> Vec<NeuronName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn refused(hidden: &[u32], neurons: &[&str]) -> String {
    by_layer(&topology(hidden), names(neurons))
        .unwrap_err()
        .to_string()
}

#[test]
fn neurons_are_found_in_their_layers() {
    let topology = topology(&[4, 3]);
    let chosen = by_layer(
        &topology,
        names(&["5", "0", "L_input:3", "L_hidden_1:5", "4"]),
    )
    .unwrap();
    let told: Vec<(&str, usize, usize, &[usize])> = chosen
        .iter()
        .map(|l| (&*l.layer, l.layer_index, l.num_units, &l.units[..]))
        .collect();
    assert_eq!(
        told,
        [
            ("L_input", 0, 4, &[0, 3][..]),
            ("L_hidden_1", 1, 3, &[0, 1])
        ]
    );
    let ids: Vec<i32> = chosen.iter().flat_map(LayerNeurons::neurons).collect();
    assert_eq!(ids, [0, 3, 4, 5]);
    assert!(LayerLabel::try_new(&chosen[0].layer).is_ok());
}

#[test]
fn errors_tell_which_neurons_there_are() {
    let valid = "those that can be silenced are 0 to 3 (L_input), 4 to 6 (L_hidden_1)";
    for (neurons, expected) in [
        (&["9"][..], format!("there is no neuron 9: {valid}")),
        (&["2", "-1"], format!("there is no neuron -1: {valid}")),
        (
            &["2", "L_input:5"],
            format!("neuron 5 is of layer L_hidden_1, not of L_input: {valid}"),
        ),
        (
            &["2", "7"],
            format!(
                "neuron 7 is an output of the network (layer L_output), and silencing it says \
                 nothing: {valid}"
            ),
        ),
        (&[], format!("no neurons were named: {valid}")),
    ] {
        assert_eq!(refused(&[4, 3], neurons), expected);
    }
    let told = refused(&[], &["0"]);
    assert!(told.ends_with("the network has no layer but its outputs, so none can be silenced"));
}

/// Of an embedding of 5 tokens in 3 dimensions, 5 and 6 are units of the layer behind it, and its dimensions
/// come after the last neuron, which is 10. Neither a buffer nor a bias of its own is a layer that says anything.
#[test]
fn of_an_embedding_dimensions_are_silenced() {
    let topology = topology_of(&[
        ("embedding", "words", 5, 3),
        ("linear", "hidden", 2, 3),
        ("buffer", "mean", 1, 1),
        ("parameter", "bias", 2, 1),
        ("linear", "out", 1, 2),
    ]);
    let chosen = by_layer(&topology, names(&["words:13", "5", "11"])).unwrap();
    let told: Vec<_> = chosen
        .iter()
        .map(|l| (&*l.layer, l.num_units, &l.units[..], l.first_neuron))
        .collect();
    assert_eq!(
        told,
        [("hidden", 2, &[0][..], 5), ("words", 3, &[0, 2], 11)]
    );
    let refused = by_layer(&topology, names(&["4"])).unwrap_err().to_string();
    assert!(
        refused.ends_with("its dimensions are 11 to 13"),
        "{refused}"
    );
    assert_eq!(
        valid_range(&topology),
        "those that can be silenced are 11 to 13 (words), 5 to 6 (hidden)"
    );
}

#[test]
fn units_of_a_tap_are_silenced_as_others_are() {
    let topology = topology_of(&[
        ("linear", "fc", 4, 3),
        ("tap", "resid.3", 2, 0),
        ("linear", "out", 2, 4),
    ]);
    for chosen in [neurons_by_layer, by_layer].map(|of| of(&topology, names(&["resid.3:5"]))) {
        let [tap] = &chosen.unwrap()[..] else {
            panic!("one layer")
        };
        assert_eq!(
            (&*tap.layer, tap.num_units, &tap.units[..]),
            ("resid.3", 2, &[1][..])
        );
    }
}

#[test]
fn outputs_are_silenced_where_nothing_is_measured_by_it() {
    let chosen = neurons_by_layer(&topology(&[4]), names(&["L_output:5", "L_output:4"])).unwrap();
    assert_eq!(
        (&*chosen[0].layer, &chosen[0].units[..]),
        ("L_output", &[0, 1][..])
    );
}

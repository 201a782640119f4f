use trace::{Layer, Source, SourceRange};

use super::*;

#[test]
fn more_activations_than_a_list_array_can_hold_are_refused() {
    let layer = Layer {
        layer_index: 0,
        layer: LayerLabel::try_new("L_output").unwrap(),
        module_path: "layers.0".to_owned(),
        kind: "linear".to_owned(),
        shape: vec![1 << 24, 1],
        fan_in: 1,
        num_units: 1 << 24,
        first_neuron: 0,
        activation: None,
        trainable: true,
        source: Some(vec![SourceRange::all(Source::Input, 1)]),
    };
    let topology = Topology::try_new(vec![layer]).unwrap();
    let check = |activations, num_held_out| {
        let recorded = Recorded {
            weights: true,
            classifications: true,
            activations,
            metrics: true,
        };
        recorded.check(&topology, num_held_out)
    };
    let raw = |samples| Some(ActivationDetail::Raw { samples });
    // 2^24 units and 2^7 samples are one value more than there are offsets.
    let error = check(raw(128), 297).unwrap_err();
    assert_eq!(error.num_samples, 128);
    assert_eq!(
        error.to_string(),
        "layer L_output has 16777216 units, and 128 samples of each would be kept: a trace can \
         hold 2147483647 values of a layer; keep fewer samples, or statistics alone"
    );
    assert_eq!(check(raw(512), 128).unwrap_err(), error);
    assert_eq!(check(raw(127), 297), Ok(()));
    assert_eq!(check(raw(512), 127), Ok(()));
    assert_eq!(check(Some(ActivationDetail::Statistics), 297), Ok(()));
    assert_eq!(check(None, 297), Ok(()));
}

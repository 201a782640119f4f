use trace::{Source, SourceRange};

use super::*;

/// One layer.
fn topology(num_units: u32, fan_in: u32) -> Topology {
    let layer = Layer {
        layer_index: 0,
        layer: LayerLabel::try_new("L_output").unwrap(),
        module_path: "layers.0".to_owned(),
        kind: "linear".to_owned(),
        shape: vec![num_units.into(), fan_in.into()],
        fan_in,
        num_units,
        first_neuron: 0,
        activation: None,
        trainable: true,
        source: Some(vec![SourceRange::all(Source::Input, fan_in)]),
        tensors: Vec::new(),
        recorded_units: None,
    };
    Topology::try_new(vec![layer]).unwrap()
}

fn recorded(activations: Option<ActivationDetail>) -> Recorded {
    Recorded {
        activations,
        ..Recorded::DEFAULT
    }
}

#[test]
fn the_channel_has_room_for_4_captures_within_bounds() {
    let bytes = |num_units, fan_in, activations| {
        recorded(activations).default_channel_bytes(&topology(num_units, fan_in), 297)
    };
    // 4 captures of 1,024 units with 1,024 weights and 100 activations of 4 bytes, as values and as rows.
    let raw = Some(ActivationDetail::Raw { samples: 100 });
    assert_eq!(bytes(1024, 1024, raw), 2 * 4 * 1024 * (1024 + 100) * 4);
    let statistics = Some(ActivationDetail::Statistics);
    assert_eq!(bytes(1024, 1024, statistics), 32 << 20);
    // One capture, where that is more: of 297 samples nothing is kept but statistics.
    assert_eq!(bytes(8192, 1, statistics), 2 * 8192 * (1 + 297) * 4);
    assert_eq!(bytes(10, 64, raw), 1 << 20);
    assert_eq!(bytes(1 << 20, 1024, None), 256 << 20);
}

#[test]
fn more_activations_of_a_unit_than_a_list_can_hold_are_refused() {
    let topology = topology(1 << 24, 1);
    let check = |activations, num_held_out| recorded(activations).check(&topology, num_held_out);
    let raw = |samples| Some(ActivationDetail::Raw { samples });
    // One value more than there are offsets.
    let too_many = 1 << 31;
    let error = check(raw(too_many), usize::MAX).unwrap_err();
    assert_eq!(error.num_samples, too_many);
    assert_eq!(
        error.to_string(),
        "layer L_output has 16777216 units, and 2147483648 samples of each would be kept: a list of a \
         trace holds 2147483647 values at most; keep fewer samples, or statistics alone"
    );
    assert_eq!(check(raw(usize::MAX), too_many).unwrap_err(), error);
    assert_eq!(check(raw(too_many - 1), usize::MAX), Ok(()));
    // However many units there are: a layer is split by them.
    assert_eq!(check(raw(512), 297), Ok(()));
    assert_eq!(
        check(Some(ActivationDetail::Statistics), usize::MAX),
        Ok(())
    );
    assert_eq!(check(None, usize::MAX), Ok(()));
}

#[test]
fn what_format_1_0_says_is_what_it_would_say_today() {
    let today = |recorded: Recorded| serde_json::to_value(recorded).unwrap();
    let of_1_0 = |weights: bool| {
        let mut said = json!({
            "weights": weights,
            "classifications": true,
            "activations": {"raw": {"samples": 512}},
            "metrics": true,
        });
        in_todays_words(&mut said);
        said
    };
    assert_eq!(of_1_0(true), today(Recorded::DEFAULT));
    let weights = None;
    let without = Recorded {
        weights,
        ..Recorded::DEFAULT
    };
    assert_eq!(of_1_0(false), today(without));
    // What is said today stays as it is.
    let recorded = Recorded {
        weights: Some(WeightDetail::Statistics),
        gradients: true,
        moments: true,
        units: NonZeroU32::new(3),
        precision: Precision::F16,
        histograms: NonZeroU32::new(4),
        ..Recorded::DEFAULT
    };
    let mut said = today(recorded);
    in_todays_words(&mut said);
    assert_eq!(said, today(recorded));
}

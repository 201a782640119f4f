use serde_json::json;
use trace::{
    Crc32c, DatasetInfo, FORMAT_VERSION, Layer, LayerLabel, Nonce, Source, SourceRange, Topology,
};

use super::*;

/// A run of a layer with so many units, each of so many weights.
fn info(fan_in: u32, num_units: u32) -> RunInfo {
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
    RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw().unwrap(),
        created: trace::now(),
        created_by: "a test".to_owned(),
        seed: None,
        device: "none".to_owned(),
        world_size: 1,
        model: json!(null),
        dataset: Some(DatasetInfo {
            kind: "none".to_owned(),
            source: "built-in".to_owned(),
            crc32c: Crc32c::of(&[]),
            num_train: 0,
            num_held_out: 60_000,
            held_out: "all".to_owned(),
            details: None,
        }),
        evaluation_batch_size: None,
        class_names: Vec::new(),
        layers: Topology::try_new(vec![layer]).unwrap(),
        config: json!(null),
    }
}

#[test]
fn a_batch_has_fewer_rows_where_lists_are_long() {
    // 16 MiB are 4 Mi floats.
    for (longest_row, rows) in [
        (0, 8192),
        (20, 8192),
        (512, 8192),
        (1024, 4096),
        (11_008, 381),
        (262_144, 16),
        (300_000, 16),
        (100_000_000, 16),
        (u64::MAX, 16),
    ] {
        assert_eq!(rows_of(longest_row), rows, "{longest_row}");
    }
}

#[test]
fn the_longest_list_may_be_of_any_table() {
    // Of 60,000 held-out samples the activations of 512 are kept unless a run says otherwise.
    assert_eq!(longest_row(&info(20, 10)), 512);
    // 11,008 weights of a neuron.
    assert_eq!(longest_row(&info(11_008, 10)), 11_008);
    // 50,000 outputs of a sample, and as many that were expected: 8,192 of them would be 3.3 GB.
    assert_eq!(longest_row(&info(20, 50_000)), 100_000);
    assert_eq!(batch_rows(&info(20, 50_000)), 41);
    let mut named = info(20, 10);
    named.class_names = vec![String::new(); 700];
    assert_eq!(longest_row(&named), 1400);
    // What a recorder says that it keeps.
    let mut told = info(20, 10);
    told.config = json!({
        "record": {"activations": {"raw": {"samples": 9000}}, "phases": "eval"},
        "train": {"batch_size": 20_000},
    });
    assert_eq!(longest_row(&told), 9000);
    told.config["record"]["activations"]["raw"]["samples"] = json!(100_000);
    assert_eq!(longest_row(&told), 60_000);
    told.config["record"] = json!({"activations": "statistics", "phases": "eval,train"});
    assert_eq!(longest_row(&told), 20_000);
    told.config["record"] = json!({"histograms": 4096});
    assert_eq!(longest_row(&told), 8193);
    // A file may say anything.
    told.config["record"] = json!({"histograms": u64::MAX});
    assert_eq!(longest_row(&told), u64::MAX);
}

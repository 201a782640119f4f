//! Runs and rows for tests, made by hand; also included by those of the crate `sink`.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    reason = "test code, of which each test binary uses a part"
)]

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use trace::{
    CaptureId, Crc32c, DatasetInfo, Epoch, FORMAT_VERSION, Generation, Layer, LayerLabel, Nonce,
    PartPath, Rank, RunDir, RunInfo, Source, SourceRange, Step, Table, Topology, derived_rows,
    float_item,
};

pub const HIDDEN: &str = "L_hidden_1";
pub const OUTPUT: &str = "L_output";

pub fn label(text: &str) -> LayerLabel {
    LayerLabel::try_new(text).unwrap()
}

/// A network with 3 inputs, 4 hidden units and 2 outputs.
pub fn topology() -> Topology {
    let layer = |index, name, from, fan_in, num_units, first_neuron| Layer {
        layer_index: index,
        layer: label(name),
        module_path: format!("layers.{index}"),
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
    let layers = vec![
        layer(0, HIDDEN, Source::Input, 3, 4, 0),
        layer(1, OUTPUT, Source::Layer(label(HIDDEN)), 4, 2, 4),
    ];
    Topology::try_new(layers).unwrap()
}

/// A run of that network.
pub fn create_run(path: &Path) -> RunDir {
    create_run_of_ranks(path, 1)
}

/// A run of that network, which so many ranks record.
pub fn create_run_of_ranks(path: &Path, world_size: u32) -> RunDir {
    let info = RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw().unwrap(),
        created: "2026-01-01T00:00:00.000Z".to_owned(),
        created_by: "sink tests".to_owned(),
        seed: Some(42),
        device: "cpu".to_owned(),
        world_size,
        model: serde_json::json!({"kind": "mlp"}),
        dataset: Some(DatasetInfo {
            kind: "digits".to_owned(),
            source: "built-in".to_owned(),
            crc32c: Crc32c(7),
            num_train: 3,
            num_held_out: 1,
            held_out: "last 1".to_owned(),
            details: None,
        }),
        evaluation_batch_size: Some(512),
        class_names: vec!["a".to_owned(), "b".to_owned()],
        layers: topology(),
        config: serde_json::json!({"epochs": 1}),
    };
    RunDir::create(path, info).unwrap()
}

/// The capture at the end of an epoch of 24 steps.
pub fn capture(epoch: i32) -> CaptureId {
    CaptureId {
        epoch: Epoch(epoch),
        step: Step(24 * (i64::from(epoch) + 1)),
    }
}

pub fn part_path(table: Table, epoch: i32, layer: Option<&str>) -> PartPath {
    PartPath {
        table,
        epoch: Epoch(epoch),
        layer: layer.map(label),
        step: capture(epoch).step,
        rank: Rank(0),
        generation: Generation(0),
        sequence: 0,
        nonce: None,
    }
}

/// One list a row; all of them valid unless `nulls` says otherwise.
pub fn lists(rows: &[Vec<f32>], nulls: Option<Vec<bool>>) -> ListArray {
    ListArray::new(
        Arc::new(float_item()),
        OffsetBuffer::from_lengths(rows.iter().map(Vec::len)),
        Arc::new(Float32Array::from(rows.concat())),
        nulls.map(NullBuffer::from),
    )
}

/// Rows of `weights`: of one layer, units 0, 1, ..., with the given lists.
pub fn weights_rows(epoch: i32, first_neuron: i32, weights: ListArray) -> RecordBatch {
    use arrow::array::Array;
    let num_rows = weights.len();
    let unit = Int32Array::from_iter_values(0..num_rows as i32);
    let neuron = Int32Array::from_iter_values((0..num_rows as i32).map(|u| u + first_neuron));
    let statistic = |value: f32| -> ArrayRef {
        Arc::new(Float32Array::from_iter_values(
            (0..num_rows).map(|row| value + row as f32),
        ))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(capture(epoch).step.0, num_rows)),
        Arc::new(Int32Array::from_value(0, num_rows)),
        Arc::new(neuron),
        Arc::new(unit),
        statistic(0.5),
        Arc::new(weights),
        statistic(1.0),
        statistic(2.0),
        statistic(3.0),
        statistic(4.0),
        statistic(5.0),
        statistic(6.0),
        statistic(7.0),
        Arc::new(Int32Array::from_value(1, num_rows)),
        Arc::new(Int32Array::from_value(0, num_rows)),
    ];
    RecordBatch::try_new(Table::Weights.schema(), columns).unwrap()
}

/// Rows of `metrics`: the given names and values, without a phase.
pub fn metrics_rows(epoch: i32, metrics: &[(&str, f64)]) -> RecordBatch {
    let num_rows = metrics.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(capture(epoch).step.0, num_rows)),
        Arc::new(Int32Array::from_value(0, num_rows)),
        Arc::new(StringArray::new_null(num_rows)),
        Arc::new(StringArray::from_iter_values(metrics.iter().map(|m| m.0))),
        Arc::new(Float64Array::from_iter_values(metrics.iter().map(|m| m.1))),
    ];
    RecordBatch::try_new(Table::Metrics.schema(), columns).unwrap()
}

/// Rows of `resume` for the layer [`HIDDEN`].
pub fn resume_rows(epoch: i32, name: &str) -> RecordBatch {
    let num_rows = 4;
    let ids = || -> ArrayRef { Arc::new(Int32Array::from_iter_values(0..num_rows)) };
    let num_rows = num_rows as usize;
    let step = capture(epoch).step.0;
    let weights: Vec<Vec<f32>> = (0..num_rows as u32).map(|unit| noise(unit, 3)).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(step, num_rows)),
        Arc::new(Int32Array::from_value(0, num_rows)),
        ids(),
        ids(),
        Arc::new(StringArray::from_iter_values(vec![name; num_rows])),
        Arc::new(Int64Array::from_value(step, num_rows)),
        Arc::new(Float32Array::from(noise(9, num_rows))),
        Arc::new(lists(&weights, None)),
    ];
    RecordBatch::try_new(Table::Resume.schema(), columns).unwrap()
}

/// Rows of `histograms` for a layer.
pub fn histograms_rows(epoch: i32) -> RecordBatch {
    let of = ["weights", "activations"];
    let edges = [vec![-1.0, 0.0, 1.0], vec![0.0, 2.0, 4.0]];
    let counts = [vec![3.0, 9.0], vec![7.0, 0.0]];
    let required = |rows: &[Vec<f32>]| -> ArrayRef { Arc::new(lists(rows, None)) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_value(capture(epoch).step.0, of.len())),
        Arc::new(Int32Array::from_value(0, of.len())),
        Arc::new(StringArray::from_iter_values(of)),
        required(&edges),
        required(&counts),
    ];
    RecordBatch::try_new(Table::Histograms.schema(), columns).unwrap()
}

/// Rows of `structures`: the neurons of the layer [`HIDDEN`] as one structure.
pub fn structures_rows(epoch: i32, name: &str) -> RecordBatch {
    let num_rows = 4;
    let text =
        |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(vec![text; num_rows])) };
    let ints = |value| -> ArrayRef { Arc::new(Int32Array::from_value(value, num_rows)) };
    let doubles = |seed| -> ArrayRef {
        let values = noise(seed, num_rows).into_iter().map(f64::from);
        Arc::new(Float64Array::from_iter_values(values))
    };
    let columns = vec![
        text(name),
        ints(1),
        text(HIDDEN),
        Arc::new(Int32Array::from_iter_values(0..num_rows as i32)),
        ints(0),
        ints(epoch),
        doubles(1),
        doubles(2),
        text("auc"),
        text("first"),
        Arc::new(Int64Array::from_value(42, num_rows)),
    ];
    derived_rows(Table::Structures, capture(epoch), columns).unwrap()
}

/// Rows of `ablations`: accuracy and loss over all samples.
pub fn ablations_rows(epoch: i32) -> RecordBatch {
    let num_rows = 2;
    let text =
        |text: &str| -> ArrayRef { Arc::new(StringArray::from_iter_values(vec![text; num_rows])) };
    let ints = || -> ArrayRef { Arc::new(Int32Array::from_value(1, num_rows)) };
    let longs = |value| -> ArrayRef { Arc::new(Int64Array::from_value(value, num_rows)) };
    let doubles = |seed| -> ArrayRef {
        let values = noise(seed, num_rows).into_iter().map(f64::from);
        Arc::new(Float64Array::from_iter_values(values))
    };
    let floats = |seed| -> ArrayRef {
        let rows: Vec<Vec<f32>> = (0..num_rows as u32).map(|i| noise(seed + i, 5)).collect();
        Arc::new(lists(&rows, None))
    };
    let columns = vec![
        text("0123456789abcdef"),
        text("one"),
        ints(),
        text("0,1,2,3"),
        text("scale"),
        doubles(3),
        doubles(9),
        text("second"),
        longs(42),
        text("all"),
        ints(),
        longs(149),
        Arc::new(StringArray::from_iter_values(["accuracy", "loss"])),
        doubles(4),
        doubles(5),
        doubles(6),
        doubles(7),
        doubles(8),
        floats(10),
        floats(20),
        floats(30),
        floats(40),
    ];
    derived_rows(Table::Ablations, capture(epoch), columns).unwrap()
}

/// Floats that look like weights: near 0, every bit pattern another one.
pub fn noise(seed: u32, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / f64::from(u32::MAX)
    };
    (0..len)
        .map(|_| ((next() + next() - 1.0) * 0.2) as f32)
        .collect()
}

/// The weights of a layer of the run of [`create_run`].
pub fn layer_weights(epoch: i32, layer: &str) -> (PartPath, RecordBatch) {
    let (fan_in, num_units, first_neuron) = if layer == HIDDEN {
        (3, 4, 0)
    } else {
        (4, 2, 4)
    };
    let rows: Vec<Vec<f32>> = (0..num_units)
        .map(|unit| noise(unit + 100 * epoch.unsigned_abs(), fan_in))
        .collect();
    (
        part_path(Table::Weights, epoch, Some(layer)),
        weights_rows(epoch, first_neuron, lists(&rows, None)),
    )
}

/// The parts of a whole capture: two layers' weights and the metrics.
pub fn capture_parts(epoch: i32) -> Vec<(PartPath, RecordBatch)> {
    vec![
        layer_weights(epoch, HIDDEN),
        layer_weights(epoch, OUTPUT),
        (
            part_path(Table::Metrics, epoch, None),
            metrics_rows(epoch, &[("loss", 0.25), ("accuracy", 0.875)]),
        ),
    ]
}

//! A run small enough that every answer can be worked out by hand.
//!
//! 3 inputs, 2 hidden units (neurons 0 and 1), 2 outputs (neurons 2 and 3). At step `s` the
//! weights are:
//!
//! | neuron | layer | bias | weights |
//! |---|---|---|---|
//! | 0 | L_hidden | 0.5 | `s, 2s, 3s` |
//! | 1 | L_hidden | 0.5 | `-s, 0.5, s` |
//! | 2 | L_output | null | `s + 0.25, 1` |
//! | 3 | L_output | null | `0, -s` |
//!
//! Captures: step 0 (epoch -1, untrained), steps 1 and 2 (epoch 0), step 4 (epoch 1), and step 6
//! (epoch 2, without classifications).

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Float32Builder, Float64Array, Int32Array, Int64Array,
    ListArray, ListBuilder, RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::DataType;
use parquet::arrow::ArrowWriter;
use trace::{
    CaptureId, Crc32c, DatasetInfo, Epoch, FORMAT_VERSION, Generation, Group, Layer, LayerLabel,
    Nonce, PartPath, Publisher, Rank, RunDir, RunInfo, Source, SourceRange, StagedPart, Step,
    Table, Topology, float_item,
};

pub const HIDDEN: &str = "L_hidden";
pub const OUTPUT: &str = "L_output";

/// Outputs of samples 0, 1 and 2 at a step, the first of two; the second is 1 minus it.
fn first_outputs(step: i64) -> Option<[f32; 3]> {
    match step {
        0 => Some([0.5, 0.5, 0.5]),
        1 => Some([1.0, 1.0, 0.0]),
        2 => Some([0.75, 0.5, 0.25]),
        4 => Some([0.5, 0.25, 0.125]),
        _ => None,
    }
}

/// Loss and accuracy on the held-out set at the end of an epoch.
const EVAL: [(f64, f64); 3] = [(0.75, 0.5), (0.5, 1.0), (0.25, 1.0)];

/// Writes the run, captures in the order in which a recorder would commit them.
pub fn write(path: &Path) -> Result<RunDir> {
    let run = RunDir::create(path, info()?)?;
    let mut publisher = Publisher::try_new(&run, Rank(0), None)?;
    for (epoch, step) in [(-1, 0), (0, 1), (0, 2), (1, 4), (2, 6)] {
        let mut parts = vec![
            part(
                &publisher,
                Table::Weights,
                epoch,
                step,
                Some(HIDDEN),
                hidden_weights(step),
            )?,
            part(
                &publisher,
                Table::Weights,
                epoch,
                step,
                Some(OUTPUT),
                output_weights(step),
            )?,
            part(
                &publisher,
                Table::Activations,
                epoch,
                step,
                Some(HIDDEN),
                activations(step),
            )?,
        ];
        if let Some(first) = first_outputs(step) {
            let rows = classifications(step, first);
            parts.push(part(
                &publisher,
                Table::Classifications,
                epoch,
                step,
                None,
                rows,
            )?);
        }
        // Metrics are of the epoch, not of the capture.
        if epoch >= 0 && step != 1 {
            let rows = metrics(epoch, step);
            parts.push(part(&publisher, Table::Metrics, epoch, step, None, rows)?);
        }
        let captures = vec![CaptureId {
            epoch: Epoch(epoch),
            step: Step(step),
        }];
        publisher.publish(Group {
            captures,
            parts,
            ..Group::default()
        })?;
    }
    Ok(run)
}

/// Writes a run in which nothing is committed.
pub fn write_empty(path: &Path) -> Result<RunDir> {
    Ok(RunDir::create(path, info()?)?)
}

pub fn info() -> Result<RunInfo> {
    let layer = |index: u32, name: &str, fan_in: u32, source| -> Result<Layer> {
        Ok(Layer {
            layer_index: index,
            layer: LayerLabel::try_new(name)?,
            module_path: format!("layers.{index}"),
            kind: "linear".to_owned(),
            shape: vec![2, fan_in.into()],
            fan_in,
            num_units: 2,
            first_neuron: 2 * index as i32,
            activation: (index == 0).then(|| "relu".to_owned()),
            trainable: true,
            source: Some(vec![SourceRange::all(source, fan_in)]),
            tensors: Vec::new(),
            recorded_units: None,
        })
    };
    let layers = Topology::try_new(vec![
        layer(0, HIDDEN, 3, Source::Input)?,
        layer(1, OUTPUT, 2, Source::Layer(LayerLabel::try_new(HIDDEN)?))?,
    ])?;
    Ok(RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw()?,
        created: trace::now(),
        created_by: "a test".to_owned(),
        seed: None,
        device: "none".to_owned(),
        world_size: 1,
        model: serde_json::Value::Null,
        dataset: Some(DatasetInfo {
            kind: "none".to_owned(),
            source: "built-in".to_owned(),
            crc32c: Crc32c::of(&[]),
            num_train: 0,
            num_held_out: 3,
            held_out: "all 3".to_owned(),
            details: None,
        }),
        evaluation_batch_size: Some(3),
        class_names: vec!["no".to_owned(), "yes".to_owned()],
        layers,
        config: serde_json::Value::Null,
    })
}

/// Stages one part file.
pub fn part(
    publisher: &Publisher,
    table: Table,
    epoch: i32,
    step: i64,
    layer: Option<&str>,
    columns: Vec<ArrayRef>,
) -> Result<StagedPart> {
    let rows = RecordBatch::try_new(table.schema(), columns)?;
    part_of(publisher, table, epoch, step, layer, &rows)
}

/// Stages one part file, whatever its columns are.
pub fn part_of(
    publisher: &Publisher,
    table: Table,
    epoch: i32,
    step: i64,
    layer: Option<&str>,
    rows: &RecordBatch,
) -> Result<StagedPart> {
    let num_rows = rows.num_rows() as u64;
    part_that_says(publisher, table, epoch, step, layer, rows, num_rows)
}

/// Stages one part file, of which the commit will say that it has `num_rows` rows.
pub fn part_that_says(
    publisher: &Publisher,
    table: Table,
    epoch: i32,
    step: i64,
    layer: Option<&str>,
    rows: &RecordBatch,
    num_rows: u64,
) -> Result<StagedPart> {
    let path = PartPath {
        table,
        epoch: Epoch(epoch),
        layer: layer.map(LayerLabel::try_new).transpose()?,
        step: Step(step),
        rank: Rank(0),
        generation: Generation(0),
        sequence: 0,
        nonce: None,
    };
    let mut file = publisher.staging().create_part(path)?;
    let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), None)?;
    writer.write(rows)?;
    writer.close()?;
    Ok(file.finish(num_rows))
}

pub fn hidden_weights(step: i64) -> Vec<ArrayRef> {
    let s = step as f32;
    let biases = Float32Array::from(vec![0.5, 0.5]);
    let rows: [&[f32]; 2] = [&[s, 2.0 * s, 3.0 * s], &[-s, 0.5, s]];
    weights(step, 0, Arc::new(biases), rows.map(Some))
}

fn output_weights(step: i64) -> Vec<ArrayRef> {
    let s = step as f32;
    let biases = new_null_array(&DataType::Float32, 2);
    let rows: [&[f32]; 2] = [&[s + 0.25, 1.0], &[0.0, -s]];
    weights(step, 2, biases, rows.map(Some))
}

pub fn weights(
    step: i64,
    first_neuron: i32,
    bias: ArrayRef,
    rows: [Option<&[f32]>; 2],
) -> Vec<ArrayRef> {
    // Named queries take nothing from the statistics.
    let absent = || new_null_array(&DataType::Float32, 2);
    vec![
        long([step; 2]),
        int([0; 2]),
        int([first_neuron, first_neuron + 1]),
        int([0, 1]),
        bias,
        Arc::new(nullable_lists(rows)),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        new_null_array(&DataType::Int32, 2),
        int([0; 2]),
    ]
}

fn activations(step: i64) -> Vec<ArrayRef> {
    let s = step as f32;
    let absent = || new_null_array(&DataType::Float32, 2);
    vec![
        long([step; 2]),
        int([0; 2]),
        Arc::new(StringArray::from(vec!["eval"; 2])),
        int([0; 2]),
        int([0, 1]),
        int([0, 1]),
        long([3; 2]),
        Arc::new(lists(&[&[0.0, s, 2.0 * s], &[1.0, 1.0, 1.0]])),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        long([1, 0]),
        long([0; 2]),
    ]
}

fn classifications(step: i64, first: [f32; 3]) -> Vec<ArrayRef> {
    let targets = [0, 1, 1];
    let predicted = first.map(|p| i32::from(p < 0.5));
    let correct = [0, 1, 2].map(|sample: usize| Some(targets[sample] == predicted[sample]));
    let outputs = first.map(|p| [p, 1.0 - p]);
    vec![
        long([step; 3]),
        int([0; 3]),
        Arc::new(StringArray::from(vec!["eval"; 3])),
        long([0, 1, 2]),
        int(targets),
        new_null_array(&trace::float_list(), 3),
        int(predicted),
        Arc::new(BooleanArray::from_iter(correct)),
        Arc::new(Float32Array::from_iter_values(
            first.map(|p| p.max(1.0 - p)),
        )),
        Arc::new(Float32Array::from(vec![0.0; 3])),
        Arc::new(lists(&[&outputs[0], &outputs[1], &outputs[2]])),
    ]
}

fn metrics(epoch: i32, step: i64) -> Vec<ArrayRef> {
    let (loss, accuracy) = EVAL[epoch as usize];
    let rows = [
        (Some("train"), "loss", 2.0 * loss),
        (Some("eval"), "loss", loss),
        (Some("eval"), "accuracy", accuracy),
        (None, "recorder.stall_ms", 0.5),
        (
            None,
            "recorder.queue_high_water_bytes",
            f64::from(100 * (3 - epoch)),
        ),
        (None, "sink.encode_ms", f64::from(epoch + 1)),
    ];
    let num_rows = rows.len();
    vec![
        Arc::new(Int64Array::from(vec![step; num_rows])),
        Arc::new(Int32Array::from(vec![0; num_rows])),
        Arc::new(StringArray::from_iter(rows.map(|(phase, _, _)| phase))),
        Arc::new(StringArray::from_iter_values(rows.map(|(_, name, _)| name))),
        Arc::new(Float64Array::from_iter_values(
            rows.map(|(_, _, value)| value),
        )),
    ]
}

pub fn int<const N: usize>(values: [i32; N]) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

pub fn long<const N: usize>(values: [i64; N]) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn lists(rows: &[&[f32]]) -> ListArray {
    nullable_lists(rows.iter().map(|row| Some(*row)))
}

pub fn nullable_lists<'a>(rows: impl IntoIterator<Item = Option<&'a [f32]>>) -> ListArray {
    let mut lists = ListBuilder::new(Float32Builder::new()).with_field(float_item());
    for row in rows {
        lists.values().append_slice(row.unwrap_or_default());
        lists.append(row.is_some());
    }
    lists.finish()
}

//! A run for questions about samples and about neurons over time, small enough for every answer to
//! be worked out by hand.
//!
//! 4 inputs, 4 hidden units (neurons 0 to 3), 3 outputs (neurons 4 to 6), 6 held-out samples of the
//! classes 0, 1, 2, 0, 1, 2, of which activations are kept of the first 5.
//!
//! Captures: steps 10, 20, 30 and 40 (epochs 0 to 3). Classifications and the hidden layer's weights
//! are of the first two alone, the output layer's activations of epoch 1 alone, its weights of none.
//! In epoch 0 sample 0 is there as it was in training, too, with activations of a batch.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, StringArray, new_null_array,
};
use arrow::datatypes::DataType;
use sql::{QuerySession, Run, SessionOptions};
use tempfile::TempDir;
use trace::{
    CaptureId, Epoch, Group, Layer, LayerLabel, Publisher, Rank, RunDir, RunInfo, Source,
    SourceRange, Step, Table, Topology,
};

use super::tiny::{self, HIDDEN, OUTPUT};

const NUM_SAMPLES: i64 = 6;

/// A neuron's activations of the first five samples, if they are kept, and how many are 0 of all
/// six.
type Kept = (Option<[f32; 5]>, i64);

/// The hidden layer's activations, by epoch. Neuron 2 is 0 for all samples that are kept in epoch 0,
/// and not for the sixth.
const HIDDEN_ACTIVATIONS: [[Kept; 4]; 4] = [
    [
        (Some([7.0, 1.0, 13.0, 9.0, 62.0]), 0),
        (Some([14.0, 2.0, 14.0, 2.0, 6.0]), 1),
        (Some([0.0; 5]), 5),
        (Some([1.0; 5]), 0),
    ],
    [
        (Some([1.0, 2.0, 3.0, 4.0, 5.0]), 0),
        (Some([0.0; 5]), 6),
        (Some([0.0; 5]), 6),
        (Some([1.0; 5]), 0),
    ],
    [
        (Some([1.0, 2.0, 3.0, 4.0, 5.0]), 0),
        (Some([1.0; 5]), 0),
        (Some([0.0; 5]), 6),
        (Some([1.0; 5]), 0),
    ],
    [
        (Some([1.0, 2.0, 3.0, 4.0, 5.0]), 0),
        (Some([0.0; 5]), 6),
        (Some([0.0; 5]), 6),
        (Some([1.0; 5]), 0),
    ],
];

/// The output layer's, of epoch 1. Of neuron 5 only statistics are kept.
const OUTPUT_ACTIVATIONS: [Kept; 3] = [
    (Some([-1.0, -3.0, -3.0, -1.0, -3.0]), 0),
    (None, 2),
    (Some([2.0, 2.0, 0.0, 2.0, 2.0]), 1),
];

/// Weights of the hidden layer in epoch 0; in epoch 1 they are twice that. All have mean 1.5,
/// variance 4 and, squared, the sum 100.
const WEIGHTS: [[f32; 4]; 4] = [
    [4.0, 4.0, 4.0, 4.0],
    [2.0, 2.0, 2.0, 2.0],
    [-2.0, -2.0, 2.0, 2.0],
    [-1.0, 1.0, -1.0, 1.0],
];

/// Mean, standard deviation and Euclidean length of each of them.
const STATISTICS: [[f32; 3]; 4] = [
    [4.0, 0.0, 8.0],
    [2.0, 0.0, 4.0],
    [0.0, 2.0, 4.0],
    [0.0, 1.0, 2.0],
];

const NAN: f32 = f32::NAN;

/// Outputs of the held-out samples. In epoch 0 the network is right about samples 0 and 2, wrong
/// about 1 and 3, and predicts nothing of 4 and of 5; in epoch 1 it is right throughout.
const OUTPUTS: [[[f32; 3]; 6]; 2] = [
    [
        [0.5, 0.25, 0.25],
        [0.5, 0.25, 0.25],
        [0.25, 0.25, 0.5],
        [0.25, 0.5, 0.25],
        [0.25, NAN, 0.5],
        [0.25, 0.25, NAN],
    ],
    [
        [0.75, 0.125, 0.125],
        [0.125, 0.75, 0.125],
        [0.25, 0.25, 0.5],
        [0.75, 0.125, 0.125],
        [0.0, 1.0, 0.0],
        [0.25, 0.25, 0.5],
    ],
];

const PREDICTED: [[Option<i32>; 6]; 2] = [
    [Some(0), Some(0), Some(2), Some(1), None, None],
    [Some(0), Some(1), Some(2), Some(0), Some(1), Some(2)],
];

/// A session over the run, which reads its files in two groups.
pub fn session() -> Result<(TempDir, QuerySession)> {
    let dir = TempDir::new()?;
    let run = write(&dir.path().join("run"))?;
    let options = SessionOptions {
        target_partitions: Some(2),
        ..SessionOptions::default()
    };
    let session = Run::open(run.path())?.session(options)?;
    Ok((dir, session))
}

fn write(path: &Path) -> Result<RunDir> {
    let run = RunDir::create(path, info()?)?;
    let mut publisher = Publisher::try_new(&run, Rank(0), None)?;
    for (epoch, hidden) in HIDDEN_ACTIVATIONS.iter().enumerate() {
        let number = epoch as i32;
        let step = 10 * (i64::from(number) + 1);
        let mut rows = vec![(
            Table::Activations,
            Some(HIDDEN),
            activations(step, 0, hidden, epoch == 0),
        )];
        if epoch == 1 {
            let output = activations(step, 4, &OUTPUT_ACTIVATIONS, false);
            rows.push((Table::Activations, Some(OUTPUT), output));
        }
        if epoch < 2 {
            rows.push((Table::Weights, Some(HIDDEN), weights(step, number)));
            rows.push((Table::Classifications, None, classifications(step, epoch)));
        }
        let parts = rows.into_iter().map(|(table, layer, columns)| {
            tiny::part(&publisher, table, number, step, layer, columns)
        });
        let parts = parts.collect::<Result<_>>()?;
        let captures = vec![CaptureId {
            epoch: Epoch(number),
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

fn info() -> Result<RunInfo> {
    let layer = |index: u32, name: &str, num_units: u32, source| -> Result<Layer> {
        Ok(Layer {
            layer_index: index,
            layer: LayerLabel::try_new(name)?,
            module_path: format!("layers.{index}"),
            kind: "linear".to_owned(),
            shape: vec![num_units.into(), 4],
            fan_in: 4,
            num_units,
            first_neuron: 4 * index as i32,
            activation: (index == 0).then(|| "relu".to_owned()),
            trainable: true,
            source: Some(vec![SourceRange::all(source, 4)]),
            tensors: Vec::new(),
            recorded_units: None,
        })
    };
    let layers = Topology::try_new(vec![
        layer(0, HIDDEN, 4, Source::Input)?,
        layer(1, OUTPUT, 3, Source::Layer(LayerLabel::try_new(HIDDEN)?))?,
    ])?;
    Ok(RunInfo {
        layers,
        class_names: ["a", "b", "c"].map(str::to_owned).to_vec(),
        ..tiny::info()?
    })
}

/// A layer's rows, of which the first is preceded, if it is asked for, by one of a training batch.
fn activations(step: i64, first_neuron: i32, kept: &[Kept], with_batch: bool) -> Vec<ArrayRef> {
    let batch: [f32; 2] = [1000.0, 0.0];
    let mut phases = vec!["eval"; kept.len()];
    let mut units: Vec<i32> = (0..kept.len() as i32).collect();
    let mut lists: Vec<Option<&[f32]>> = kept
        .iter()
        .map(|(list, _)| list.as_ref().map(|list| list.as_slice()))
        .collect();
    let mut zeros: Vec<i64> = kept.iter().map(|(_, zeros)| *zeros).collect();
    let mut num_samples = vec![NUM_SAMPLES; kept.len()];
    if with_batch {
        phases.insert(0, "train");
        units.insert(0, 0);
        lists.insert(0, Some(&batch));
        zeros.insert(0, 1);
        num_samples.insert(0, 2);
    }
    let num_rows = units.len();
    let neurons = units.iter().map(|unit| first_neuron + unit);
    let absent = || new_null_array(&DataType::Float32, num_rows);
    vec![
        Arc::new(Int64Array::from(vec![step; num_rows])),
        Arc::new(Int32Array::from(vec![0; num_rows])),
        Arc::new(StringArray::from(phases)),
        Arc::new(Int32Array::from(vec![0; num_rows])),
        Arc::new(Int32Array::from_iter_values(neurons)),
        Arc::new(Int32Array::from(units)),
        Arc::new(Int64Array::from(num_samples)),
        Arc::new(tiny::nullable_lists(lists)),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        absent(),
        Arc::new(Int64Array::from(zeros)),
        Arc::new(Int64Array::from(vec![0; num_rows])),
    ]
}

fn weights(step: i64, epoch: i32) -> Vec<ArrayRef> {
    let scale = (epoch + 1) as f32;
    let lists = WEIGHTS.map(|row| row.map(|weight| scale * weight));
    let statistic = |which: usize| -> ArrayRef {
        let values = STATISTICS.map(|row| scale * row[which]);
        Arc::new(Float32Array::from_iter_values(values))
    };
    let absent = || new_null_array(&DataType::Float32, 4);
    vec![
        tiny::long([step; 4]),
        tiny::int([0; 4]),
        tiny::int([0, 1, 2, 3]),
        tiny::int([0, 1, 2, 3]),
        absent(),
        Arc::new(tiny::nullable_lists(
            lists.iter().map(|row| Some(row.as_slice())),
        )),
        statistic(0),
        statistic(1),
        absent(),
        absent(),
        statistic(2),
        absent(),
        absent(),
        new_null_array(&DataType::Int32, 4),
        tiny::int([0; 4]),
    ]
}

/// The held-out samples, in epoch 0 preceded by sample 0 as it was in training.
fn classifications(step: i64, epoch: usize) -> Vec<ArrayRef> {
    let mut phases = vec!["eval"; 6];
    let mut samples: Vec<i64> = (0..NUM_SAMPLES).collect();
    let mut outputs: Vec<&[f32]> = OUTPUTS[epoch].iter().map(|row| row.as_slice()).collect();
    let mut predicted = PREDICTED[epoch].to_vec();
    if epoch == 0 {
        phases.insert(0, "train");
        samples.insert(0, 0);
        outputs.insert(0, &[0.0, 0.0, 1.0]);
        predicted.insert(0, Some(2));
    }
    let num_rows = samples.len();
    let targets: Vec<i32> = samples.iter().map(|sample| (sample % 3) as i32).collect();
    let correct = predicted.iter().zip(&targets);
    let correct: BooleanArray = correct
        .map(|(predicted, target)| predicted.map(|predicted| predicted == *target))
        .collect();
    vec![
        Arc::new(Int64Array::from(vec![step; num_rows])),
        Arc::new(Int32Array::from(vec![0; num_rows])),
        Arc::new(StringArray::from(phases)),
        Arc::new(Int64Array::from(samples)),
        Arc::new(Int32Array::from(targets)),
        new_null_array(&trace::float_list(), num_rows),
        Arc::new(Int32Array::from(predicted)),
        Arc::new(correct),
        new_null_array(&DataType::Float32, num_rows),
        Arc::new(Float32Array::from(vec![0.0; num_rows])),
        Arc::new(tiny::nullable_lists(outputs.into_iter().map(Some))),
    ]
}

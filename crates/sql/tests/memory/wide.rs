//! A run that is as wide as one likes.
//!
//! One hidden layer and one of outputs, an output a class. Sample `s` is taken for class
//! `s % classes`, and the network is wrong about every fourth sample. Hidden neuron `n` is larger for
//! the samples of class `n % classes`, and else noise. Every epoch is the same.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float32Array, Int32Array, Int64Array, StringArray, new_null_array,
};
use arrow::datatypes::DataType;
use trace::{
    CaptureId, DatasetInfo, Epoch, Group, Layer, LayerLabel, Publisher, Rank, RunDir, RunInfo,
    Source, SourceRange, Step, Table, Topology,
};

use super::tiny::{self, HIDDEN, OUTPUT};

/// How wide a run is.
#[derive(Clone, Copy)]
pub struct Width {
    pub inputs: usize,
    pub neurons: usize,
    pub samples: usize,
    pub classes: usize,
    pub epochs: i32,
}

/// Writes the run.
pub fn write(path: &Path, width: Width) -> Result<RunDir> {
    let run = RunDir::create(path, info(width)?)?;
    let mut publisher = Publisher::try_new(&run, Rank(0), None)?;
    for epoch in 0..width.epochs {
        let step = 10 * (i64::from(epoch) + 1);
        let part =
            |table, layer, columns| tiny::part(&publisher, table, epoch, step, layer, columns);
        let Width {
            inputs,
            neurons,
            classes,
            ..
        } = width;
        let weights = |first, num_neurons, fan_in| weights(step, first, num_neurons, fan_in);
        let parts = vec![
            part(Table::Weights, Some(HIDDEN), weights(0, neurons, inputs))?,
            part(
                Table::Weights,
                Some(OUTPUT),
                weights(neurons, classes, neurons),
            )?,
            part(Table::Activations, Some(HIDDEN), activations(step, width))?,
            part(Table::Classifications, None, classifications(step, width))?,
        ];
        publisher.publish(Group {
            captures: vec![CaptureId {
                epoch: Epoch(epoch),
                step: Step(step),
            }],
            parts,
            ..Group::default()
        })?;
    }
    Ok(run)
}

fn info(width: Width) -> Result<RunInfo> {
    let layer = |index: usize, name: &str, first, num_units, fan_in, source| -> Result<Layer> {
        Ok(Layer {
            layer_index: index as u32,
            layer: LayerLabel::try_new(name)?,
            module_path: format!("layers.{index}"),
            kind: "linear".to_owned(),
            shape: vec![num_units as u64, fan_in as u64],
            fan_in: fan_in as u32,
            num_units: num_units as u32,
            first_neuron: first,
            activation: None,
            trainable: true,
            source: Some(vec![SourceRange::all(source, fan_in as u32)]),
            tensors: Vec::new(),
            recorded_units: None,
        })
    };
    let hidden = Source::Layer(LayerLabel::try_new(HIDDEN)?);
    let (inputs, neurons) = (width.inputs, width.neurons);
    let tiny = tiny::info()?;
    Ok(RunInfo {
        layers: Topology::try_new(vec![
            layer(0, HIDDEN, 0, neurons, inputs, Source::Input)?,
            layer(1, OUTPUT, neurons as i32, width.classes, neurons, hidden)?,
        ])?,
        dataset: tiny.dataset.clone().map(|dataset| DatasetInfo {
            num_held_out: width.samples as u64,
            ..dataset
        }),
        class_names: (0..width.classes).map(|class| class.to_string()).collect(),
        ..tiny
    })
}

/// A number from 0 to 1 that looks drawn.
fn noise(a: usize, b: usize) -> f32 {
    ((a * 7919 + b * 104_729) % 1009) as f32 / 1009.0
}

fn weights(step: i64, first: usize, num_neurons: usize, fan_in: usize) -> Vec<ArrayRef> {
    let lists: Vec<Vec<f32>> = (0..num_neurons)
        .map(|neuron| (0..fan_in).map(|at| noise(neuron, at) - 0.5).collect())
        .collect();
    let absent = || new_null_array(&DataType::Float32, num_neurons);
    let mut columns = vec![
        longs(std::iter::repeat_n(step, num_neurons)),
        ints(std::iter::repeat_n(0, num_neurons)),
        ints(first as i32..(first + num_neurons) as i32),
        ints(0..num_neurons as i32),
        absent(),
        Arc::new(tiny::nullable_lists(
            lists.iter().map(|list| Some(list.as_slice())),
        )),
    ];
    columns.extend((0..7).map(|_| absent()));
    columns.push(new_null_array(&DataType::Int32, num_neurons));
    columns.push(ints(std::iter::repeat_n(0, num_neurons)));
    columns
}

fn activations(step: i64, width: Width) -> Vec<ArrayRef> {
    let (num_neurons, classes) = (width.neurons, width.classes);
    let of = |neuron: usize, sample: usize| {
        let follows = sample % classes == neuron % classes;
        noise(neuron, sample) + f32::from(u8::from(follows))
    };
    let lists: Vec<Vec<f32>> = (0..num_neurons)
        .map(|neuron| {
            (0..width.samples)
                .map(|sample| of(neuron, sample))
                .collect()
        })
        .collect();
    let zeros = || std::iter::repeat_n(0, num_neurons);
    let mut columns = vec![
        longs(std::iter::repeat_n(step, num_neurons)),
        ints(zeros()),
        Arc::new(StringArray::from(vec!["eval"; num_neurons])),
        ints(zeros()),
        ints(0..num_neurons as i32),
        ints(0..num_neurons as i32),
        longs(std::iter::repeat_n(width.samples as i64, num_neurons)),
        Arc::new(tiny::nullable_lists(
            lists.iter().map(|list| Some(list.as_slice())),
        )),
    ];
    columns.extend((0..7).map(|_| new_null_array(&DataType::Float32, num_neurons)));
    columns.push(longs(std::iter::repeat_n(0, num_neurons)));
    columns.push(longs(std::iter::repeat_n(0, num_neurons)));
    columns
}

fn classifications(step: i64, width: Width) -> Vec<ArrayRef> {
    let num_samples = width.samples;
    let classes = || (0..num_samples).map(|sample| (sample % width.classes) as i32);
    let correct = (0..num_samples).map(|sample| Some(sample % 4 != 1));
    let outputs = vec![0.0f32; width.classes];
    vec![
        longs(std::iter::repeat_n(step, num_samples)),
        ints(std::iter::repeat_n(0, num_samples)),
        Arc::new(StringArray::from(vec!["eval"; num_samples])),
        longs(0..num_samples as i64),
        ints(classes()),
        new_null_array(&trace::float_list(), num_samples),
        ints(classes()),
        Arc::new(correct.collect::<BooleanArray>()),
        Arc::new(Float32Array::from_iter_values(
            (0..num_samples).map(|sample| noise(sample, 3)),
        )),
        Arc::new(Float32Array::from(vec![0.25; num_samples])),
        Arc::new(tiny::nullable_lists(vec![
            Some(outputs.as_slice());
            num_samples
        ])),
    ]
}

fn ints(values: impl IntoIterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn longs(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

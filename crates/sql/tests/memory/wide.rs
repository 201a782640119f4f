//! A run that is as wide as one likes.
//!
//! One hidden layer and one of outputs, an output a class. Sample `s` is taken for class
//! `s % classes`, and the network is wrong about every fourth sample. Hidden neuron `n` is larger for
//! the samples of class `n % classes`, and else noise. Every epoch is the same.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use arrow::array::BooleanArray;
use fixtures::{
    HIDDEN, OUTPUT, Rows, Writer, activations, classifications, layers, run_info, weights,
};
use trace::RunDir;

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
    let Width {
        inputs,
        neurons,
        classes,
        ..
    } = width;
    let names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut layers = layers(inputs, &[(HIDDEN, neurons), (OUTPUT, classes)])?
        .layers()
        .to_vec();
    layers.iter_mut().for_each(|layer| layer.activation = None);
    let info = run_info(trace::Topology::try_new(layers)?, width.samples, &names)?;
    let mut writer = Writer::create(path, info)?;
    for epoch in 0..width.epochs {
        let step = 10 * (i64::from(epoch) + 1);
        let parts = [
            (Some(HIDDEN), drawn(step, 0, neurons, inputs)),
            (Some(OUTPUT), drawn(step, neurons, classes, neurons)),
            (Some(HIDDEN), following(step, width)),
            (None, classified(step, width)),
        ];
        writer.capture(epoch, step, parts)?;
    }
    Ok(writer.finish())
}

/// A number from 0 to 1 that looks drawn.
fn noise(a: usize, b: usize) -> f32 {
    ((a * 7919 + b * 104_729) % 1009) as f32 / 1009.0
}

fn drawn(step: i64, first: usize, num_neurons: usize, fan_in: usize) -> Rows {
    let lists: Vec<Vec<f32>> = (0..num_neurons)
        .map(|neuron| (0..fan_in).map(|at| noise(neuron, at) - 0.5).collect())
        .collect();
    let lists = lists.iter().map(|list| Some(list.as_slice()));
    weights(step, first as i32, lists)
}

fn following(step: i64, width: Width) -> Rows {
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
    let lists = lists.iter().map(|list| Some(list.as_slice()));
    activations(step, 0, width.samples, lists)
}

fn classified(step: i64, width: Width) -> Rows {
    let num_samples = width.samples;
    let classes: Vec<Option<i32>> = (0..num_samples)
        .map(|sample| Some((sample % width.classes) as i32))
        .collect();
    let correct = (0..num_samples).map(|sample| Some(sample % 4 != 1));
    let correct: BooleanArray = correct.collect();
    let outputs = vec![0.0f32; width.classes];
    let outputs = std::iter::repeat_n(outputs.as_slice(), num_samples);
    classifications(step, &classes, &classes, outputs)
        .with("correct", Arc::new(correct))
        .floats(
            "confidence",
            (0..num_samples).map(|sample| noise(sample, 3)),
        )
        .floats("loss", vec![0.25; num_samples])
}

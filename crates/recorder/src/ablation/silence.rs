//! A network some of whose units are silenced, over all held-out samples.

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{Bool, Tensor, TensorData};

use super::{AblateError, AblationProgress};
use crate::evaluation::HeldOut;
use crate::model::{LayerOutput, Network};
use crate::read_back::to_vec;
use crate::rebuild::Rebuilt;
use capture::{Classifications, Silencing, UnitSet, classify};

/// What the network makes of a batch of held-out samples with a set of units silenced.
pub(super) struct Outcome {
    /// Which of the sets.
    pub(super) set: usize,
    /// The batch's first sample.
    pub(super) first_sample: usize,
    /// The batch's samples.
    pub(super) rows: Classifications,
}

/// Runs the network over all held-out samples with each set of units silenced, and gives what it makes
/// of a batch to `see`, of each set in the samples' order; of an empty set what it makes of them as it
/// is, bit for bit. Nothing is kept: there may be many sets.
pub(super) fn run_silenced<B: Backend>(
    device: &B::Device,
    rebuilt: &Rebuilt,
    sets: &[UnitSet],
    silencing: Silencing,
    see: &mut dyn FnMut(Outcome),
    progress: AblationProgress<'_>,
) -> Result<(), AblateError> {
    let model = Network::<B>::from_parameters(&rebuilt.config, &rebuilt.parameters, device)?;
    let held_out = HeldOut::new(rebuilt.dataset.held_out(), rebuilt.batch_size, device);
    let layers = sets.iter().flatten().map(|(layer, _)| *layer);
    // Up to here all sets have the same values, which are worked out once.
    let first = layers.clone().min().unwrap_or(0);
    let means = match silencing {
        Silencing::Mean => unit_means(&model, &held_out, layers.max().unwrap_or(0))?,
        Silencing::Zero | Silencing::Scale(_) | Silencing::Set(_) => Vec::new(),
    };
    let silencers: Vec<Vec<Silencer<B>>> = sets
        .iter()
        .map(|set| {
            let silencer = |(layer, units): &(usize, Vec<usize>)| {
                let num_units = rebuilt.parameters.layers[*layer].bias.len();
                let means = means.get(*layer).map(Vec::as_slice);
                Silencer::new(*layer, units, num_units, silencing, means, device)
            };
            set.iter().map(silencer).collect()
        })
        .collect();

    let batches = held_out.batches();
    let num_passes = batches.len() * sets.len();
    let loss = rebuilt.config.loss;
    let mut first_sample = 0;
    for (batch, inputs) in batches.iter().enumerate() {
        let num_samples = inputs.dims()[0];
        let targets = held_out.targets_of(first_sample..first_sample + num_samples);
        let mut shared = LayerOutput::Flat(inputs.clone());
        for layer in 0..=first {
            shared = model.layer(layer, shared);
        }
        for (set, silencers) in silencers.iter().enumerate() {
            let mut x = silence(silencers, first, shared.clone());
            for layer in first + 1..model.num_layers() {
                x = silence(silencers, layer, model.layer(layer, x));
            }
            let of_batch = match x {
                LayerOutput::Flat(logits) => logits,
                LayerOutput::Image(_) => unreachable!("the last layer is linear"),
            };
            see(Outcome {
                set,
                first_sample,
                rows: classify(loss, &to_vec(of_batch)?, &targets),
            });
            progress(batch * sets.len() + set + 1, num_passes);
        }
        first_sample += num_samples;
    }
    Ok(())
}

/// Silences units of one layer.
struct Silencer<B: Backend> {
    layer: usize,
    /// `[1, num_units]`: which of them.
    mask: Tensor<B, 2, Bool>,
    value: Value<B>,
}

enum Value<B: Backend> {
    /// `[1, num_units]`.
    Constant(Tensor<B, 2>),
    Scaled(f64),
}

impl<B: Backend> Silencer<B> {
    fn new(
        layer: usize,
        units: &[usize],
        num_units: usize,
        silencing: Silencing,
        means: Option<&[f32]>,
        device: &B::Device,
    ) -> Self {
        let mut is_silent = vec![false; num_units];
        for &unit in units {
            is_silent[unit] = true;
        }
        let shape = [1, num_units];
        let constant = |values: Vec<f32>| {
            Value::Constant(Tensor::from_data(TensorData::new(values, shape), device))
        };
        Self {
            layer,
            mask: Tensor::from_data(TensorData::new(is_silent, shape), device),
            value: match (silencing, means) {
                (Silencing::Scale(factor), _) => Value::Scaled(factor),
                (Silencing::Mean, Some(means)) => constant(means.to_vec()),
                (Silencing::Set(value), _) => constant(vec![value as f32; num_units]),
                (Silencing::Zero | Silencing::Mean, _) => constant(vec![0.0; num_units]),
            },
        }
    }

    /// `x` as it is where the mask is false, bit for bit. (Not a product with zeros, which would
    /// leave what is not finite.)
    fn apply<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        let shape = x.dims();
        let mut of_units = [1; D];
        of_units[1] = shape[1];
        let mask = self.mask.clone().reshape(of_units).expand(shape);
        let value = match &self.value {
            Value::Constant(value) => value.clone().reshape(of_units).expand(shape),
            Value::Scaled(factor) => x.clone().mul_scalar(*factor),
        };
        x.mask_where(mask, value)
    }
}

/// What a layer makes, with its units silenced if any are to be.
fn silence<B: Backend>(
    silencers: &[Silencer<B>],
    layer: usize,
    output: LayerOutput<B>,
) -> LayerOutput<B> {
    let Some(silencer) = silencers.iter().find(|silencer| silencer.layer == layer) else {
        return output;
    };
    match output {
        LayerOutput::Image(image) => LayerOutput::Image(silencer.apply(image)),
        LayerOutput::Flat(x) => LayerOutput::Flat(silencer.apply(x)),
    }
}

/// The mean of each unit over all samples, and positions, of the layers up to `last`.
fn unit_means<B: Backend>(
    model: &Network<B>,
    held_out: &HeldOut<B>,
    last: usize,
) -> Result<Vec<Vec<f32>>, ExecutionError> {
    let mut sums: Vec<Vec<f64>> = vec![Vec::new(); last + 1];
    let mut num_samples = 0;
    for inputs in held_out.batches() {
        num_samples += inputs.dims()[0];
        let mut x = LayerOutput::Flat(inputs.clone());
        for (layer, sums) in sums.iter_mut().enumerate() {
            x = model.layer(layer, x);
            let values = match x.clone() {
                LayerOutput::Image(image) => {
                    let [num_samples, num_units, ..] = image.dims();
                    let positions = image.flatten::<3>(2, 3);
                    positions.mean_dim(2).reshape([num_samples, num_units])
                }
                LayerOutput::Flat(x) => x,
            };
            let num_units = values.dims()[1];
            sums.resize(num_units, 0.0);
            for row in to_vec(values)?.chunks_exact(num_units) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += f64::from(*value);
                }
            }
        }
    }
    let mean = |sum: f64| (sum / num_samples as f64) as f32;
    Ok(sums
        .into_iter()
        .map(|sums| sums.into_iter().map(mean).collect())
        .collect())
}

//! What the network makes of the held-out samples.

mod classify;

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{Tensor, TensorData};

use crate::dataset::{Samples, Targets};
use crate::model::{LayerOutput, Loss, Network};
use crate::read_back::rows_to_vec;

pub(crate) use classify::check;
pub use classify::{Classifications, Score, classify};

/// Samples in one forward pass over the held-out set, unless told otherwise.
pub const DEFAULT_EVALUATION_BATCH_SIZE: usize = 512;

/// Held-out samples on a device.
///
/// Matrix products depend on the batch's shape, so whoever wants the same values again splits the
/// samples the same way.
#[derive(Debug)]
pub struct HeldOut<B: Backend> {
    batches: Vec<Tensor<B, 2>>,
    targets: Targets,
}

/// One pass over the held-out samples.
#[derive(Debug)]
pub struct Evaluation<B: Backend> {
    /// What each layer made of them, by layer, then batch.
    pub activations: Vec<Vec<LayerOutput<B>>>,
    /// What follows from the logits, on the host.
    pub classifications: Classifications,
}

impl<B: Backend> HeldOut<B> {
    /// Puts samples onto a device, `batch_size` at a time and in order; the last batch may be a
    /// short one.
    ///
    /// # Panics
    /// If `batch_size` is 0.
    pub fn new(samples: &Samples, batch_size: usize, device: &B::Device) -> Self {
        let batches = (0..samples.len())
            .step_by(batch_size)
            .map(|first| {
                let rows = first..samples.len().min(first + batch_size);
                let shape = [rows.len(), samples.num_inputs()];
                let inputs = samples.inputs_of(rows).to_vec();
                Tensor::from_data(TensorData::new(inputs, shape), device)
            })
            .collect();
        Self {
            batches,
            targets: samples.targets().clone(),
        }
    }

    /// The inputs, `[num_samples, num_inputs]` a batch.
    pub(crate) fn batches(&self) -> &[Tensor<B, 2>] {
        &self.batches
    }

    /// What the network should say.
    pub fn targets(&self) -> &Targets {
        &self.targets
    }

    /// Runs the network over all samples and waits for the logits.
    ///
    /// The pass is the same whether its activations are recorded or dropped.
    ///
    /// # Errors
    /// If the device fails.
    pub fn evaluate(
        &self,
        model: &Network<B>,
        loss: Loss,
    ) -> Result<Evaluation<B>, ExecutionError> {
        let mut activations: Vec<Vec<LayerOutput<B>>> = Vec::new();
        let mut logits = Vec::with_capacity(self.batches.len());
        for batch in &self.batches {
            let (traced, of_batch) = model.forward_traced(batch.clone());
            logits.push(of_batch);
            activations.resize_with(traced.len(), Vec::new);
            for (layer, output) in activations.iter_mut().zip(traced) {
                layer.push(output);
            }
        }
        let logits = rows_to_vec(logits)?;
        Ok(Evaluation {
            activations,
            classifications: classify(loss, &logits, &self.targets),
        })
    }
}

#[cfg(test)]
mod tests;

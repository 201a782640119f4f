//! What the network makes of the held-out samples.

use std::ops::Range;

use burn::tensor::backend::{Backend, ExecutionError};
use burn::tensor::{Tensor, TensorData};

use capture::{Classifications, Loss, Targets, classify};

use crate::dataset::Samples;
use crate::model::{LayerOutput, Network};
use crate::read_back::rows_to_vec;

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

    /// What it should say of some of the samples.
    pub(crate) fn targets_of(&self, samples: Range<usize>) -> Targets {
        self.targets.select(&samples.collect::<Vec<_>>())
    }

    /// Runs the network over all samples and waits for the logits.
    ///
    /// # Errors
    /// If the device fails.
    pub fn evaluate(
        &self,
        model: &Network<B>,
        loss: Loss,
    ) -> Result<Classifications, ExecutionError> {
        self.evaluate_traced(model, loss, |_, _| ())
    }

    /// As [`HeldOut::evaluate`], and shows what each layer makes of each batch, as soon as it does: by
    /// its place in the topology. Nothing of it is kept here.
    ///
    /// The pass is the same whatever becomes of what is shown.
    ///
    /// # Errors
    /// If the device fails.
    pub fn evaluate_traced(
        &self,
        model: &Network<B>,
        loss: Loss,
        mut see: impl FnMut(usize, LayerOutput<B>),
    ) -> Result<Classifications, ExecutionError> {
        let batches = self.batches.iter();
        let logits = batches.map(|batch| model.forward_with(batch.clone(), &mut see));
        let logits = rows_to_vec(logits.collect())?;
        Ok(classify(loss, &logits, &self.targets))
    }
}

#[cfg(test)]
mod tests;

//! What the network said of held-out samples, before it is read.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use capture::{Logits, Loss, Targets, check_targets};

use super::handle::{TensorHandle, Trip};

/// Logits on the device, by batch, and what they should say.
#[derive(Debug)]
pub(super) struct Outputs<B: Backend> {
    loss: Loss,
    num_outputs: usize,
    logits: Vec<TensorHandle<B>>,
    targets: Vec<Targets>,
}

impl<B: Backend> Outputs<B> {
    /// An error says what does not fit.
    pub(super) fn new(loss: Loss, logits: Tensor<B, 2>, targets: Targets) -> Result<Self, String> {
        let [num_samples, num_outputs] = logits.dims();
        check_targets(loss, num_samples, num_outputs, &targets)?;
        Ok(Self {
            loss,
            num_outputs,
            logits: vec![TensorHandle::new(logits)],
            targets: vec![targets],
        })
    }

    /// An error says what does not fit.
    pub(super) fn append(&mut self, batch: Self) -> Result<(), String> {
        if (batch.loss, batch.num_outputs) != (self.loss, self.num_outputs) {
            return Err(format!(
                "a batch has {} outputs for {:?}, the batches before it had {} for {:?}",
                batch.num_outputs, batch.loss, self.num_outputs, self.loss
            ));
        }
        self.logits.extend(batch.logits);
        self.targets.extend(batch.targets);
        Ok(())
    }

    pub(super) fn num_values(&self) -> usize {
        self.logits.iter().map(TensorHandle::num_values).sum()
    }

    /// How many tensors [`Outputs::register`] registers.
    pub(super) fn num_batches(&self) -> usize {
        self.logits.len()
    }

    pub(super) fn register(&self, trip: &mut Trip<B>) {
        self.logits.iter().for_each(|logits| logits.register(trip));
    }

    /// The logits with their targets, once they are read.
    ///
    /// # Panics
    /// If there is no batch.
    pub(super) fn with_values(self, logits: Vec<f32>) -> Logits {
        Logits {
            loss: self.loss,
            logits,
            targets: Targets::concat(self.targets).expect("there is a batch at least"),
        }
    }
}

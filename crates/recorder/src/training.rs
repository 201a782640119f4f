//! The training loop, one epoch at a time.

mod config;
mod state;

use std::sync::Arc;

use burn::module::{AutodiffModule as _, Module, ModuleVisitor, Param};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{Adam, AdamConfig, GradientsParams, Optimizer as _};
use burn::tensor::activation::log_sigmoid;
use burn::tensor::backend::{AutodiffBackend, Backend, ExecutionError};
use burn::tensor::{Int, Tensor, TensorData};
use capture::{CancelToken, Score, classify};
use trace::{Epoch, Step};

use crate::dataset::{Dataset, Samples, TargetRows, Targets};
use crate::model::{LayerOutput, Loss, ModelError, Network, NetworkConfig, NetworkParameters};
use crate::read_back::rows_to_vec;

pub use config::{MAX_BATCH_SIZE, TrainConfig, TrainConfigError};

/// The optimizer.
type NetworkAdam<B> = OptimizerAdaptor<Adam, Network<B>, B>;

/// Trains a network, one epoch a call.
///
/// The owner drives: it calls [`Trainer::run_epoch`], and looks at [`Trainer::model`] in between.
/// Nothing that it does with the network it sees changes what is trained: a tensor's handle is a
/// snapshot. Initial weights, order of the samples and every result follow from the configuration
/// and the data set.
pub struct Trainer<B: AutodiffBackend> {
    config: TrainConfig,
    model_config: NetworkConfig,
    dataset: Arc<Dataset>,
    device: B::Device,
    /// None only while the optimizer has it.
    model: Option<Network<B>>,
    optimizer: NetworkAdam<B>,
    cross_entropy: CrossEntropyLoss<B>,
    step: Step,
    /// Gradients of the last step, where somebody asked for them.
    gradients: Option<GradientsParams>,
    cancel: CancelToken,
}

/// How an epoch ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EpochOutcome {
    /// All samples were trained on.
    Completed(EpochReport),
    /// The [`CancelToken`] was used: the network is that of some step within the epoch.
    Interrupted,
}

/// What an epoch was like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochReport {
    /// The epoch.
    pub epoch: Epoch,
    /// Optimizer steps done since training began.
    pub step: Step,
    /// Samples trained on in this epoch.
    pub num_samples: usize,
    /// Mean loss over the samples, each with the weights it was trained on.
    pub train_loss: f64,
    /// How well they were predicted, likewise.
    pub train_score: Score,
}

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] TrainConfigError),
    /// There is no such network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device failed.
    #[error("the device failed")]
    Device(#[from] ExecutionError),
}

impl<B: AutodiffBackend> Trainer<B> {
    /// Builds the network with its initial weights.
    ///
    /// # Errors
    /// If the configuration makes no sense.
    pub fn try_new(
        config: TrainConfig,
        dataset: Arc<Dataset>,
        device: B::Device,
        cancel: CancelToken,
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let model_config = config.model(&dataset)?;
        model_config.topology()?;
        let initial = NetworkParameters::initial(&model_config, config.seed);
        let model = Network::from_parameters(&model_config, &initial, &device)?;
        Ok(Self {
            optimizer: adam(),
            cross_entropy: CrossEntropyLossConfig::new().init(&device),
            model: Some(model),
            step: Step(0),
            gradients: None,
            config,
            model_config,
            dataset,
            device,
            cancel,
        })
    }

    /// Trains on every sample once.
    ///
    /// The device is waited for once, at the end, when the epoch's logits are read: loss and
    /// accuracy are worked out from them on the host, as the held-out set's are.
    ///
    /// # Errors
    /// If the device fails.
    pub fn run_epoch(&mut self, epoch: Epoch) -> Result<EpochOutcome, TrainError> {
        self.run_epoch_with(epoch, |_| Ok(()))
    }

    /// As [`Trainer::run_epoch`], with a look at the network after every step but the epoch's last,
    /// which its owner sees at the end.
    ///
    /// # Errors
    /// If the device fails, or `between` does: the network is then that of the step.
    pub fn run_epoch_with<E: From<TrainError>>(
        &mut self,
        epoch: Epoch,
        mut between: impl FnMut(&Self) -> Result<(), E>,
    ) -> Result<EpochOutcome, E> {
        let dataset = Arc::clone(&self.dataset);
        let mut logits = Vec::new();
        let mut targets = Vec::new();
        for batch in dataset.train_batches(self.config.seed, epoch, self.config.batch_size) {
            if !targets.is_empty() {
                between(self)?;
            }
            if self.cancel.is_cancelled() {
                return Ok(EpochOutcome::Interrupted);
            }
            let (batch_logits, batch_targets) = self.train_on(batch);
            logits.push(batch_logits);
            targets.push(batch_targets);
        }
        let logits = rows_to_vec(logits).map_err(TrainError::from)?;
        let targets = Targets::concat(targets).expect("an epoch has at least one batch");
        let rows = classify(self.model_config.loss, &logits, &targets);
        Ok(EpochOutcome::Completed(EpochReport {
            epoch,
            step: self.step,
            num_samples: rows.len(),
            train_loss: rows.mean_loss(),
            train_score: rows.score(self.model_config.loss),
        }))
    }

    /// One optimizer step. Gives the logits, still on the device, with their targets.
    fn train_on(&mut self, batch: Samples) -> (Tensor<B::InnerBackend, 2>, Targets) {
        let model = self.model.take().expect("it is put back below");
        let shape = [batch.len(), batch.num_inputs()];
        let (inputs, targets) = batch.into_parts();
        let inputs = Tensor::from_data(TensorData::new(inputs, shape), &self.device);
        let logits = model.forward(inputs);
        let loss = self.loss(logits.clone(), &targets);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        if let Some(kept) = &mut self.gradients {
            *kept = handles_of(&gradients, &model);
        }
        self.model = Some(
            self.optimizer
                .step(self.config.learning_rate, model, gradients),
        );
        self.step.0 += 1;
        (logits.inner(), targets)
    }

    /// The mean loss of a batch.
    fn loss(&self, logits: Tensor<B, 2>, targets: &Targets) -> Tensor<B, 1> {
        match (self.model_config.loss, targets) {
            (Loss::SoftmaxCrossEntropy, Targets::Classes(classes)) => {
                let targets = TensorData::new(classes.clone(), [classes.len()]);
                let targets = Tensor::<B, 1, Int>::from_data(targets, &self.device);
                self.cross_entropy.forward(logits, targets)
            }
            (Loss::BinaryCrossEntropy, Targets::Soft(soft)) => {
                binary_cross_entropy(logits, self.floats(soft, 1))
            }
            (Loss::MultiLabelCrossEntropy, Targets::Labels(TargetRows { values, width })) => {
                binary_cross_entropy(logits, self.floats(values, *width))
            }
            (Loss::MeanSquaredError, Targets::Values(TargetRows { values, width })) => {
                (logits - self.floats(values, *width)).square().mean()
            }
            _ => unreachable!("the loss was chosen by the data set's targets"),
        }
    }

    /// Targets `[num_samples, width]` on the device.
    fn floats(&self, values: &[f32], width: usize) -> Tensor<B, 2> {
        let shape = [values.len() / width, width];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &self.device)
    }

    /// The network as it is now, without what backpropagation needs: handles, no copies.
    pub fn model(&self) -> Network<B::InnerBackend> {
        self.trained().valid()
    }

    /// The network as it is trained.
    pub(crate) fn trained(&self) -> &Network<B> {
        self.model
            .as_ref()
            .expect("it is put back after every step")
    }

    /// The optimizer, with what it keeps of the gradients.
    pub(crate) fn optimizer(&self) -> &NetworkAdam<B> {
        &self.optimizer
    }

    /// Keeps handles of the gradients of each step until the next.
    pub(crate) fn keep_gradients(&mut self) {
        self.gradients.get_or_insert_default();
    }

    /// Gradients of the last step; none where they are not kept.
    pub(crate) fn gradients(&self) -> Option<&GradientsParams> {
        self.gradients.as_ref()
    }

    /// What every layer of the network as it is now makes of an epoch's first batch.
    pub(crate) fn trace_first_batch(&self, epoch: Epoch) -> Vec<LayerOutput<B::InnerBackend>> {
        let (seed, batch_size) = (self.config.seed, self.config.batch_size);
        let mut batches = self.dataset.train_batches(seed, epoch, batch_size);
        let Some(batch) = batches.next() else {
            return Vec::new();
        };
        let shape = [batch.len(), batch.num_inputs()];
        let (inputs, _) = batch.into_parts();
        let inputs = Tensor::from_data(TensorData::new(inputs, shape), &self.device);
        self.model().forward_traced(inputs).0
    }

    /// What the network looks like.
    pub fn model_config(&self) -> &NetworkConfig {
        &self.model_config
    }

    /// Optimizer steps done so far.
    pub fn step(&self) -> Step {
        self.step
    }
}

/// The mean over all logits and their targets, which are probabilities.
///
/// Burn's own loss takes whole targets only. This is its formula: -t ln σ(z) - (1 - t) ln(1 - σ(z)),
/// with ln(1 - σ(z)) = ln σ(z) - z.
fn binary_cross_entropy<B: Backend>(logits: Tensor<B, 2>, targets: Tensor<B, 2>) -> Tensor<B, 1> {
    ((targets.neg() + 1.0) * logits.clone() - log_sigmoid(logits)).mean()
}

/// The optimizer, before its first step.
fn adam<B: AutodiffBackend>() -> NetworkAdam<B> {
    AdamConfig::new().init()
}

/// Other handles of the same gradients.
fn handles_of<A: AutodiffBackend, M: Module<A>>(
    gradients: &GradientsParams,
    model: &M,
) -> GradientsParams {
    struct Copy<'a> {
        from: &'a GradientsParams,
        to: GradientsParams,
    }
    impl<A: AutodiffBackend> ModuleVisitor<A> for Copy<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<A, D>>) {
            if let Some(gradient) = self.from.get::<A::InnerBackend, D>(param.id) {
                self.to.register(param.id, gradient);
            }
        }
    }
    let mut copy = Copy {
        from: gradients,
        to: GradientsParams::new(),
    };
    model.visit(&mut copy);
    copy.to
}

#[cfg(test)]
mod tests;

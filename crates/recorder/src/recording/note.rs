//! What is noted for the next capture: activations, outputs, gradients, metrics.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use burn::module::AutodiffModule;
use burn::optim::{GradientsParams, MultiGradientsParams};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use capture::rows::{PHASE_EVAL, PHASE_TRAIN};
use capture::{Classifications, Loss, RecordError, Targets, TensorKind, TooManyActivationsError};

use super::TraceRecorder;
use super::handle::{BatchHandle, UnitAxis};
use super::module::{LayerTensors, Lookup};
use super::optimizer::{
    AdamMoment, AppliedGradients, ClipsGradients, Gradients, GradientsOfDevices, KeepsMoments,
    OptimizerState, OptimizerTensors,
};
use super::outputs::Outputs;

/// What was handed over since the last capture, and waits for the next.
#[derive(Debug)]
pub(super) struct Pending<B: Backend> {
    /// Held-out batches, by layer.
    pub(super) activations: Vec<Vec<BatchHandle<B>>>,
    /// Training batches by their number, by layer.
    pub(super) train_activations: Vec<BTreeMap<i32, Vec<BatchHandle<B>>>>,
    /// Gradients and moments, by what they are and their layer.
    pub(super) optimizer: BTreeMap<(TensorKind, usize), LayerTensors<B>>,
    pub(super) outputs: Option<Outputs<B>>,
}

impl<B: Backend> Pending<B> {
    pub(super) fn new(num_layers: usize) -> Self {
        Self {
            activations: (0..num_layers).map(|_| Vec::new()).collect(),
            train_activations: (0..num_layers).map(|_| BTreeMap::new()).collect(),
            optimizer: BTreeMap::new(),
            outputs: None,
        }
    }
}

impl<B: Backend> TraceRecorder<B> {
    /// Notes what a batch of held-out samples made of a layer, for the next capture: the value
    /// after the layer's non-linearity, of the output layer its logits.
    ///
    /// `activations` is `[num_samples, num_units]`. Further axes are averaged: of a layer whose
    /// units lie on axis 1 (convolutions and what normalises them) those behind it, of any other
    /// those between the first and the last. Of an embedding, whose weights have a row a token, a unit
    /// is a dimension: `[num_samples, num_tokens, num_dimensions]` is averaged over the tokens. Batches
    /// of one layer follow each other.
    ///
    /// The averages are computed on the device, so that what was handed over need not be kept; nothing is
    /// read. Without activations among what is recorded, or of a layer that is not, it does nothing.
    ///
    /// # Errors
    /// If there is no such layer, or it has another number of units.
    pub fn activations<const D: usize>(
        &mut self,
        label: &str,
        activations: Tensor<B, D>,
    ) -> Result<(), RecordError> {
        let is_asked_for = self.recording.recorded().phases.eval;
        let Some((layer, batch)) = self.batch(label, activations, is_asked_for)? else {
            return Ok(());
        };
        self.check_batches(layer, &self.pending.activations[layer], &batch)?;
        self.pending.activations[layer].push(batch);
        Ok(())
    }

    /// As [`TraceRecorder::activations`], of a batch of training samples, which has the number
    /// `batch` in its epoch: rows with the phase `train`.
    ///
    /// Rows carry the step of the capture, so the values should be those of the network that is
    /// captured: of a pass over the batch after the optimizer's step. Tensors of one batch and
    /// layer follow each other. Without [`Phases::train`](crate::Phases::train) among what is
    /// recorded, it does nothing.
    ///
    /// # Errors
    /// As for [`TraceRecorder::activations`].
    pub fn train_activations<const D: usize>(
        &mut self,
        label: &str,
        batch: i32,
        activations: Tensor<B, D>,
    ) -> Result<(), RecordError> {
        let is_asked_for = self.recording.recorded().phases.train;
        let Some((layer, handle)) = self.batch(label, activations, is_asked_for)? else {
            return Ok(());
        };
        let before = self.pending.train_activations[layer].get(&batch);
        let before = before.map_or(&[][..], Vec::as_slice);
        self.check_batches(layer, before, &handle)?;
        let batches = &mut self.pending.train_activations[layer];
        batches.entry(batch).or_default().push(handle);
        Ok(())
    }

    /// The layer and the handle of its activations; none where they are not recorded.
    fn batch<const D: usize>(
        &self,
        label: &str,
        activations: Tensor<B, D>,
        is_asked_for: bool,
    ) -> Result<Option<(usize, BatchHandle<B>)>, RecordError> {
        let layer = self.layer(label)?;
        let is_recorded =
            self.recording.recorded().activations.is_some() && self.recording.selected()[layer];
        if !is_recorded || !is_asked_for {
            return Ok(None);
        }
        let axis = self.layers.unit_axis(layer);
        let num_units = self.layers.activated(layer).map_or(0, |l| l.num_units);
        let batch = BatchHandle::new(activations, axis, num_units as usize);
        let batch = batch.map_err(|found| RecordError::ActivationShape {
            label: label.to_owned(),
            num_units,
            is_first: axis == UnitAxis::First,
            found,
        })?;
        Ok(Some((layer, batch)))
    }

    fn check_batches(
        &self,
        layer: usize,
        before: &[BatchHandle<B>],
        batch: &BatchHandle<B>,
    ) -> Result<(), TooManyActivationsError> {
        let num_samples = before.iter().map(|b| b.num_samples).sum::<usize>() + batch.num_samples;
        match self.layers.activated(layer) {
            Some(layer) => self.recording.recorded().check_layer(&layer, num_samples),
            None => Ok(()),
        }
    }

    /// Whether [`TraceRecorder::activations`] would note anything for a capture.
    pub(crate) fn wants_activations(&self) -> bool {
        self.recording.recorded().activations.is_some() && self.recording.recorded().phases.eval
    }

    /// Whether [`TraceRecorder::train_activations`] would note anything for a capture.
    pub(crate) fn wants_train_activations(&self) -> bool {
        self.recording.recorded().activations.is_some() && self.recording.recorded().phases.train
    }

    fn layer(&self, label: &str) -> Result<usize, RecordError> {
        let layers = self.topology().layers();
        let found = layers
            .iter()
            .position(|layer| layer.layer.as_str() == label);
        found.ok_or_else(|| RecordError::NoSuchLayer {
            label: label.to_owned(),
            layers: layers.iter().map(|l| l.layer.as_str().to_owned()).collect(),
        })
    }

    /// Notes what the network said of a batch of held-out samples, for the next capture.
    ///
    /// `logits` is `[num_samples, num_outputs]`, `targets` as many, and `loss` says what the logits
    /// mean. Batches follow each other. Nothing is copied or read; without classifications among
    /// what is recorded, it does nothing.
    ///
    /// # Errors
    /// If there are not as many targets as logits, or not of the loss's kind.
    pub fn classifications(
        &mut self,
        loss: Loss,
        logits: Tensor<B, 2>,
        targets: Targets,
    ) -> Result<(), RecordError> {
        if !self.recording.recorded().classifications {
            return Ok(());
        }
        let batch = Outputs::new(loss, logits, targets).map_err(RecordError::Outputs)?;
        match &mut self.pending.outputs {
            None => self.pending.outputs = Some(batch),
            Some(outputs) => outputs.append(batch).map_err(RecordError::Outputs)?,
        }
        Ok(())
    }

    /// Notes the gradients of a step, for the next capture: call it between the backward pass and
    /// the optimizer's step. Of several calls before a capture the last that has a gradient of a
    /// parameter counts for it: where several optimizers change a network, each notes its own.
    ///
    /// They are recorded as they are handed over: an optimizer of Burn's clips them inside of its step,
    /// and what it used is what [`TraceRecorder::gradients_applied`] notes.
    ///
    /// Rows carry the capture's step, as all of a capture do: the gradients are those of the step that
    /// led to its weights, so they were computed with the weights of one step before. A layer without a
    /// gradient of its weight has no rows. Nothing is copied or read; without gradients among what is
    /// recorded, it does nothing.
    ///
    /// # Errors
    /// If the module is not the one that the recorder was started with.
    pub fn gradients<A, M>(
        &mut self,
        model: &M,
        gradients: &GradientsParams,
    ) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        self.note_gradients(model, &Gradients(gradients))
    }

    /// As [`TraceRecorder::gradients`], of those of several devices, which the optimizer adds up.
    pub(crate) fn gradients_of_devices<A, M>(
        &mut self,
        model: &M,
        gradients: &MultiGradientsParams,
    ) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        self.note_gradients(model, &GradientsOfDevices(gradients))
    }

    fn note_gradients<A, M>(
        &mut self,
        model: &M,
        lookup: &impl Lookup<A, B>,
    ) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        if self.recording.recorded().gradients {
            let tensors = self
                .layers
                .tensors_of(model, lookup, self.recording.selected())?;
            self.note_tensors(TensorKind::Gradients, tensors);
        }
        Ok(())
    }

    /// Notes the gradients as the optimizer will use them in its next step, clipped as it clips them,
    /// for the next capture. Called, and recorded, as [`TraceRecorder::gradients`]; without
    /// [`Recorded::gradients_applied`](crate::Recorded::gradients_applied), it does nothing.
    ///
    /// Clipping is a computation on the device, which is made here once more than training makes it.
    ///
    /// # Errors
    /// If the module is not the one that the recorder was started with.
    pub fn gradients_applied<A, M, O>(
        &mut self,
        model: &M,
        optimizer: &O,
        gradients: &GradientsParams,
    ) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: ClipsGradients,
    {
        self.note_applied(model, optimizer, Gradients(gradients))
    }

    /// As [`TraceRecorder::gradients_applied`], of those of several devices, which the optimizer adds up
    /// and then clips.
    pub(crate) fn gradients_applied_of_devices<A, M, O>(
        &mut self,
        model: &M,
        optimizer: &O,
        gradients: &MultiGradientsParams,
    ) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: ClipsGradients,
    {
        self.note_applied(model, optimizer, GradientsOfDevices(gradients))
    }

    fn note_applied<A, M, O>(
        &mut self,
        model: &M,
        optimizer: &O,
        gradients: impl Lookup<A, B>,
    ) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: ClipsGradients,
    {
        if self.recording.recorded().gradients_applied {
            let lookup = AppliedGradients {
                gradients,
                clipping: optimizer.clipping(),
            };
            let tensors = self
                .layers
                .tensors_of(model, &lookup, self.recording.selected())?;
            self.note_tensors(TensorKind::GradientsApplied, tensors);
        }
        Ok(())
    }

    /// Notes what the optimizer keeps of the gradients, for the next capture: call it after the
    /// optimizer's step. Of several optimizers each is noted by a call of its own.
    ///
    /// Nothing is copied or read; without moments among what is recorded, it does nothing.
    ///
    /// # Errors
    /// If the module is not the one that the recorder was started with.
    pub fn moments<A, M, O>(&mut self, model: &M, optimizer: &O) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: KeepsMoments<M, A>,
    {
        if !self.recording.recorded().moments {
            return Ok(());
        }
        let [first, second] = self
            .optimizer_tensors(model, optimizer, self.recording.selected())?
            .moments;
        self.note_tensors(TensorKind::Moment1, first);
        self.note_tensors(TensorKind::Moment2, second);
        Ok(())
    }

    /// What the optimizer keeps of the selected layers, for which it has to keep something.
    pub(super) fn optimizer_state<A, M, O>(
        &self,
        model: &M,
        optimizer: &O,
        selected: &[bool],
    ) -> Result<OptimizerState<B>, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: KeepsMoments<M, A>,
    {
        let OptimizerTensors {
            moments,
            num_updates,
        } = self.optimizer_tensors(model, optimizer, selected)?;
        Ok(OptimizerState {
            moments: moments.map(|of_layers| {
                let of_layers = of_layers.into_iter();
                of_layers.filter_map(LayerTensors::into_handles).collect()
            }),
            num_updates,
        })
    }

    /// What the optimizer keeps of the selected layers, where it keeps anything.
    fn optimizer_tensors<A, M, O>(
        &self,
        model: &M,
        optimizer: &O,
        selected: &[bool],
    ) -> Result<OptimizerTensors<B>, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: KeepsMoments<M, A>,
    {
        let record = optimizer.to_record();
        let mut lookup = AdamMoment::<O, M, A> {
            record: &record,
            is_second: false,
            num_updates: Cell::default(),
        };
        let first = self.layers.tensors_of(model, &lookup, selected)?;
        lookup.is_second = true;
        let second = self.layers.tensors_of(model, &lookup, selected)?;
        Ok(OptimizerTensors {
            moments: [first, second],
            num_updates: lookup.num_updates.get() as i64,
        })
    }

    fn note_tensors(&mut self, kind: TensorKind, tensors: Vec<LayerTensors<B>>) {
        for of_layer in tensors {
            match self.pending.optimizer.entry((kind, of_layer.layer)) {
                Entry::Vacant(entry) => {
                    entry.insert(of_layer);
                }
                Entry::Occupied(mut entry) => entry.get_mut().update(of_layer),
            }
        }
    }

    /// Notes what the network said of all held-out samples, where that was worked out already.
    pub(crate) fn classified(&mut self, rows: Classifications) {
        self.recording.classified(rows);
    }

    /// Notes a figure of the epoch that is neither of training nor of held-out samples, as
    /// `learning_rate`.
    pub fn metric(&mut self, name: &str, value: f64) {
        self.recording.metric(None, name, value);
    }

    /// Notes a figure of the samples trained on, as `loss`.
    pub fn train_metric(&mut self, name: &str, value: f64) {
        self.recording.metric(Some(PHASE_TRAIN), name, value);
    }

    /// Notes a figure of the held-out samples, as `accuracy`.
    pub fn eval_metric(&mut self, name: &str, value: f64) {
        self.recording.metric(Some(PHASE_EVAL), name, value);
    }
}

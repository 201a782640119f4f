//! Captures: at the end of an epoch, inside of one, of the untrained network.

use std::sync::atomic::Ordering;
use std::time::Instant;

use burn::module::{AutodiffModule, Module};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_std::stream_id::StreamId;
use trace::CaptureId;

use super::interference::{Shape, Span};
use super::module::LayerHandles;
use super::outcome::RecordError;
use super::unread::{Handles, TensorKind};
use super::{Capture, INITIAL, Pending, TraceRecorder, Work, capture_id};
use crate::rows::SampleSet;

impl<B: Backend> TraceRecorder<B> {
    /// Ends an epoch. Captures the network if the schedule says so, by its epoch or by its step,
    /// with what was noted since the last capture; if not, or if [`TraceRecorder::capture_step`] has
    /// captured it at this step, only metrics are recorded. Says whether it was captured.
    ///
    /// `step` is how many optimizer steps are done since training began. The caller's thread only
    /// moves handles (ARCHITECTURE.md, invariant 2), and nothing here changes what they stand for
    /// (invariant 1). It waits while the values of the capture before are not on the host yet,
    /// unless [`WhenFull`](super::WhenFull) says otherwise.
    ///
    /// # Errors
    /// Why recording stopped, if it has: this capture and every later one is then lost. With
    /// [`OnError::Continue`](super::OnError::Continue) that is no error, and the network is not
    /// captured any more; that the device has failed always is one, also of a call that captures
    /// nothing. If the module is not the one that the recorder was started with.
    pub fn capture<A, M>(&mut self, model: &M, epoch: i32, step: i64) -> Result<bool, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        let id = capture_id(epoch, step);
        self.capture_with(id, true, |recorder| recorder.trained_handles(model))
    }

    /// As [`TraceRecorder::capture`], of a module without autodiff.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`].
    pub fn capture_inner<M: Module<B>>(
        &mut self,
        model: &M,
        epoch: i32,
        step: i64,
    ) -> Result<bool, RecordError> {
        let id = capture_id(epoch, step);
        self.capture_with(id, true, |recorder| recorder.handles(model))
    }

    /// Captures the network after an optimizer step inside of `epoch`, with what was noted since
    /// the last capture, if the schedule names `step`; if not, it does nothing. Says whether it was
    /// captured.
    ///
    /// `step` is how many optimizer steps are done since training began. Called after every step,
    /// it leaves the end of an epoch to [`TraceRecorder::capture`], which then records metrics alone
    /// if the last step was captured here.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`].
    pub fn capture_step<A, M>(
        &mut self,
        model: &M,
        epoch: i32,
        step: i64,
    ) -> Result<bool, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        let id = capture_id(epoch, step);
        self.capture_with(id, false, |recorder| recorder.trained_handles(model))
    }

    /// As [`TraceRecorder::capture_step`], of a module without autodiff.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`].
    pub fn capture_step_inner<M: Module<B>>(
        &mut self,
        model: &M,
        epoch: i32,
        step: i64,
    ) -> Result<bool, RecordError> {
        let id = capture_id(epoch, step);
        self.capture_with(id, false, |recorder| recorder.handles(model))
    }

    /// Captures what `handles` gives if that is due, at the end of an epoch or inside of it.
    fn capture_with(
        &mut self,
        id: CaptureId,
        is_end: bool,
        handles: impl FnOnce(&Self) -> Result<Vec<LayerHandles<B>>, RecordError>,
    ) -> Result<bool, RecordError> {
        let start = self.begin_call();
        self.check_device()?;
        if !is_end && !self.schedule.is_step_due(id.step) {
            return Ok(false);
        }
        let is_taken = self.takes(id, is_end)?;
        if !is_end && !is_taken {
            // Metrics are kept for the end of the epoch, or the next capture.
            let metrics = std::mem::take(&mut self.pending.metrics);
            self.pending = Pending::new(self.pending.activations.len());
            self.pending.metrics = metrics;
            self.last = Some(id);
            self.last_is_step = true;
            self.account(Some(id), start, false);
            return Ok(false);
        }
        let handles = match is_taken {
            true => Some(handles(self)?),
            false => None,
        };
        self.last_is_step = !is_end;
        self.hand_over_noted(id, handles, start)
    }

    /// Handles of the network without the graph; of running means and variances up to date, which a
    /// visit of the module itself would find one update behind.
    pub(super) fn trained_handles<A, M>(
        &self,
        model: &M,
    ) -> Result<Vec<LayerHandles<B>>, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        // Before `valid`, which would draw values where there are none.
        self.layers.check(model)?;
        Ok(self.layers.handles(&model.valid(), &self.read)?)
    }

    pub(super) fn handles<M: Module<B>>(
        &self,
        model: &M,
    ) -> Result<Vec<LayerHandles<B>>, RecordError> {
        self.layers.check(model)?;
        Ok(self.layers.handles(model, &self.read)?)
    }

    /// Captures the untrained network, as epoch -1 and step 0, with what was noted so far.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`]. Burn draws parameters where they are first used: a module
    /// that was not used yet has nothing to capture.
    pub fn capture_initial<A, M>(&mut self, model: &M) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        let start = self.begin_call();
        let handles = self.trained_handles(model)?;
        self.capture_untrained(handles, start)
    }

    /// As [`TraceRecorder::capture_initial`], of a module without autodiff.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture_initial`].
    pub fn capture_initial_inner<M: Module<B>>(&mut self, model: &M) -> Result<(), RecordError> {
        let start = self.begin_call();
        let handles = self.handles(model)?;
        self.capture_untrained(handles, start)
    }

    fn capture_untrained(
        &mut self,
        handles: Vec<LayerHandles<B>>,
        start: Instant,
    ) -> Result<(), RecordError> {
        self.check_device()?;
        self.check_order(INITIAL, true)?;
        self.hand_over_noted(INITIAL, Some(handles), start)?;
        Ok(())
    }

    /// An epoch may end with the step that was captured last.
    pub(super) fn check_order(&self, id: CaptureId, is_end: bool) -> Result<(), RecordError> {
        let is_same = |last: CaptureId| is_end && self.last_is_step && id == last;
        match self.last.filter(|last| id <= *last && !is_same(*last)) {
            Some(last) => Err(RecordError::Order { last, found: id }),
            None => Ok(()),
        }
    }

    /// Whether the network is captured, and why not is counted.
    fn takes(&mut self, id: CaptureId, is_end: bool) -> Result<bool, RecordError> {
        self.check_order(id, is_end)?;
        let Some(moment) = self.moment(id, is_end) else {
            return Ok(false);
        };
        let is_taken = self.is_taken(moment);
        self.answer.set(None);
        if self.failure.is_some() {
            self.num_missed += 1;
        } else if !is_taken && self.is_disk_full() {
            let counter = &self.progress.over_disk_captures;
            counter.fetch_add(1, Ordering::Relaxed);
        } else if !is_taken {
            let counter = &self.progress.thinned_captures;
            counter.fetch_add(1, Ordering::Relaxed);
            if let Some(governor) = &mut self.governor {
                governor.left_out();
            }
        }
        Ok(is_taken)
    }

    /// Notes that the caller's thread comes into a call that may be accounted for; gives when.
    pub(super) fn begin_call(&mut self) -> Instant {
        if self.governor.is_some() {
            self.work_at_call = self.work();
        }
        Instant::now()
    }

    /// Tells the governor what the call that began at `start` cost, and how long training took before
    /// it, to the moment `id` if it is one of training's.
    pub(super) fn account(&mut self, id: Option<CaptureId>, start: Instant, is_captured: bool) {
        let spent = std::mem::take(&mut self.spent);
        if self.governor.is_some() {
            let since = start.saturating_duration_since(self.training_since);
            let span = Span {
                time: since.saturating_sub(spent),
                worked: self.work_at_call.saturating_sub(self.told_work),
                shape: id.and_then(|id| self.shape_to(id)),
            };
            self.told_work = self.work();
            let cost = start.elapsed() + spent;
            if let Some(governor) = &mut self.governor {
                governor.trained(&span);
                if is_captured {
                    governor.taken(cost);
                } else {
                    governor.spent(cost);
                }
            }
        }
        self.training_since = Instant::now();
    }

    /// What the span of training to `id` is like; none of the first, in which devices and memory are made
    /// ready.
    fn shape_to(&mut self, id: CaptureId) -> Option<Shape> {
        let before = self.told_step.replace(id.step)?;
        Some(Shape {
            num_steps: id.step.0 - before.0,
            is_end: !self.last_is_step,
        })
    }

    /// Hands over what was noted, with the network where it is captured.
    pub(super) fn hand_over_noted(
        &mut self,
        id: CaptureId,
        network: Option<Vec<LayerHandles<B>>>,
        start: Instant,
    ) -> Result<bool, RecordError> {
        let num_layers = self.pending.activations.len();
        let pending = std::mem::replace(&mut self.pending, Pending::new(num_layers));
        let is_whole = network.is_some();
        self.last = Some(id);
        self.tell_disk_full();
        let is_over = self.failure.is_some() || self.is_disk_full();
        if is_over || (!is_whole && !self.recorded.metrics) {
            self.account(Some(id), start, false);
            return Ok(false);
        }
        let mut handles = Vec::new();
        let mut classifications = None;
        if let Some(network) = network {
            handles.extend(network.into_iter().filter_map(|layer| {
                let is_recorded = self.recorded.weights.is_some() && self.selected[layer.layer];
                let kind = match is_recorded {
                    true => TensorKind::Weights,
                    false if self.compares_ranks => TensorKind::Checked,
                    false => return None,
                };
                Some(Handles::Parameters(kind, layer))
            }));
            let optimizer = pending.optimizer.into_iter();
            handles.extend(optimizer.filter_map(|((kind, _), tensors)| {
                Some(Handles::Parameters(kind, tensors.into_handles()?))
            }));
            let of_train = pending.train_activations;
            let of_layers = pending.activations.into_iter().zip(of_train).enumerate();
            for (layer, (held_out, train)) in of_layers {
                let held_out = (!held_out.is_empty()).then_some((SampleSet::HELD_OUT, held_out));
                let train = train
                    .into_iter()
                    .map(|(batch, batches)| (SampleSet::train(batch), batches));
                let sets = held_out.into_iter().chain(train).enumerate();
                handles.extend(sets.map(|(nth, (samples, batches))| Handles::Activations {
                    layer,
                    samples,
                    sequence: nth as u32,
                    batches,
                }));
            }
            handles.extend(pending.outputs.map(Handles::Outputs));
            classifications = pending.classifications;
        }
        let capture = Capture {
            id,
            is_whole,
            stream: StreamId::current(),
            handles,
            classifications,
            waiting_metrics: Vec::new(),
            metrics: pending.metrics,
        };
        let handed_over = self.hand_over(Work::Capture(Box::new(capture)), start);
        if let (Err(_), Some(_)) = (&handed_over, &self.failure) {
            // It was said, and training goes on.
            self.num_missed += u64::from(is_whole);
            return Ok(false);
        }
        let is_captured = handed_over? && is_whole;
        // What the untrained network costs says nothing of how captures and training alternate.
        let is_trained = id != INITIAL;
        self.account(is_trained.then_some(id), start, is_captured && is_trained);
        if is_captured {
            self.num_captures += 1;
            self.captured = Some(id);
        }
        Ok(is_captured)
    }
}

//! Captures: at the end of an epoch, inside of one, of the untrained network.

use std::time::Instant;

use burn::module::{AutodiffModule, Module};
use burn::tensor::backend::{AutodiffBackend, Backend};
use capture::rows::SampleSet;
use capture::{Decision, INITIAL, RecordError, Source};
use trace::CaptureId;

use super::module::LayerHandles;
use super::unread::{Handles, Unread};
use super::{Pending, TraceRecorder, capture_id};

impl<B: Backend> TraceRecorder<B> {
    /// Ends an epoch. Captures the network if the schedule says so, by its epoch or by its step,
    /// with what was noted since the last capture; if not, or if [`TraceRecorder::capture_step`] has
    /// captured it at this step, only metrics are recorded. Says whether it was captured.
    ///
    /// `step` is how many optimizer steps are done since training began. The caller's thread only
    /// moves handles (ARCHITECTURE.md, invariant 2), and nothing here changes what they stand for
    /// (invariant 1). It waits while the values of the capture before are not on the host yet,
    /// unless [`WhenFull`](crate::WhenFull) says otherwise.
    ///
    /// # Errors
    /// Why recording stopped, if it has: this capture and every later one is then lost. With
    /// [`OnError::Continue`](crate::OnError::Continue) that is no error, and the network is not
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
        let start = self.recording.begin_call();
        let handles = match self.recording.decide(id, is_end, start)? {
            Decision::Nothing => return Ok(false),
            Decision::LeftOut => {
                self.take_pending();
                return Ok(false);
            }
            Decision::Metrics => None,
            Decision::Capture => Some(handles(self)?),
        };
        let source = self.source(handles);
        self.recording.hand_over(id, is_end, source, start)
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
        Ok(self.layers.handles(&model.valid(), self.recording.read())?)
    }

    pub(super) fn handles<M: Module<B>>(
        &self,
        model: &M,
    ) -> Result<Vec<LayerHandles<B>>, RecordError> {
        self.layers.check(model)?;
        Ok(self.layers.handles(model, self.recording.read())?)
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
        let start = self.recording.begin_call();
        let handles = self.trained_handles(model)?;
        self.capture_untrained(handles, start)
    }

    /// As [`TraceRecorder::capture_initial`], of a module without autodiff.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture_initial`].
    pub fn capture_initial_inner<M: Module<B>>(&mut self, model: &M) -> Result<(), RecordError> {
        let start = self.recording.begin_call();
        let handles = self.handles(model)?;
        self.capture_untrained(handles, start)
    }

    fn capture_untrained(
        &mut self,
        handles: Vec<LayerHandles<B>>,
        start: Instant,
    ) -> Result<(), RecordError> {
        self.recording.check_untrained()?;
        let source = self.source(Some(handles));
        self.recording.hand_over(INITIAL, true, source, start)?;
        Ok(())
    }

    /// What was noted since the last capture, which counts for none any more.
    fn take_pending(&mut self) -> Pending<B> {
        let num_layers = self.layers.topology().layers().len();
        std::mem::replace(&mut self.pending, Pending::new(num_layers))
    }

    /// Handles of what is captured: of the network, if it is, with what was noted.
    pub(super) fn source(
        &mut self,
        network: Option<Vec<LayerHandles<B>>>,
    ) -> Option<Box<dyn Source>> {
        let pending = self.take_pending();
        let recording = &self.recording;
        let network = network?.into_iter().filter_map(|layer| {
            let kind = recording.parameters_of(layer.layer)?;
            Some(Handles::Parameters(kind, layer))
        });
        let mut handles: Vec<Handles<B>> = network.collect();
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
        Some(Box::new(Unread::here(handles)))
    }
}

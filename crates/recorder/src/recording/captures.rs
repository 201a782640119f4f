//! Captures: at the end of an epoch, inside of one, of the untrained network.

use burn::tensor::backend::Backend;
use capture::rows::SampleSet;
use capture::{Decision, INITIAL, RecordError, Source};
use trace::CaptureId;

use super::module::LayerHandles;
use super::recordable::Recordable;
use super::unread::{Handles, Unread};
use super::{Pending, TraceRecorder, capture_id};

impl<B: Backend> TraceRecorder<B> {
    /// Ends an epoch. Captures the network, with autodiff or without, if the schedule says so, by its
    /// epoch or by its step, with what was noted since the last capture; if not, or if [`TraceRecorder::capture_step`] has
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
    pub fn capture<K>(
        &mut self,
        model: &impl Recordable<B, K>,
        epoch: i32,
        step: i64,
    ) -> Result<bool, RecordError> {
        self.capture_if_due(model, capture_id(epoch, step), true)
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
    pub fn capture_step<K>(
        &mut self,
        model: &impl Recordable<B, K>,
        epoch: i32,
        step: i64,
    ) -> Result<bool, RecordError> {
        self.capture_if_due(model, capture_id(epoch, step), false)
    }

    /// Captures the network if that is due, at the end of an epoch or inside of it.
    fn capture_if_due<K>(
        &mut self,
        model: &impl Recordable<B, K>,
        id: CaptureId,
        is_end: bool,
    ) -> Result<bool, RecordError> {
        let start = self.recording.begin_call();
        let handles = match self.recording.decide(id, is_end)? {
            Decision::Nothing => return Ok(false),
            Decision::LeftOut => {
                drop(self.take_pending());
                self.recording.leave_out(id, start);
                return Ok(false);
            }
            Decision::Metrics => None,
            Decision::Capture => Some(self.handles_of_due(model)?),
        };
        let source = self.source(handles);
        self.recording.hand_over(id, is_end, source, start)
    }

    /// Handles of what a capture needs of the network's parameters.
    pub(super) fn handles<K>(
        &self,
        model: &impl Recordable<B, K>,
    ) -> Result<Vec<LayerHandles<B>>, RecordError> {
        Ok(model.take_handles(&self.layers, self.recording.read())?)
    }

    /// As [`TraceRecorder::handles`], of a capture that is due: it is lost if there are none to be had.
    pub(super) fn handles_of_due<K>(
        &mut self,
        model: &impl Recordable<B, K>,
    ) -> Result<Vec<LayerHandles<B>>, RecordError> {
        let handles = self.handles(model);
        if handles.is_err() {
            self.recording.miss();
        }
        handles
    }

    /// Captures the untrained network, as epoch -1 and step 0, with what was noted so far.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`]. Burn draws parameters where they are first used: a module
    /// that was not used yet has nothing to capture.
    pub fn capture_initial<K>(&mut self, model: &impl Recordable<B, K>) -> Result<(), RecordError> {
        let start = self.recording.begin_call();
        self.recording.check_untrained()?;
        let handles = self.handles_of_due(model)?;
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
            let sets = held_out.into_iter().chain(train);
            handles.extend(sets.map(|(samples, batches)| Handles::Activations {
                layer,
                samples,
                batches,
            }));
        }
        handles.extend(pending.outputs.map(Handles::Outputs));
        Some(Box::new(Unread::here(handles)))
    }
}

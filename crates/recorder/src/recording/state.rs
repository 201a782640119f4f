//! What training can go on from.

use burn::module::AutodiffModule;
use burn::tensor::backend::{AutodiffBackend, Backend};
use capture::{RecordError, Source, State, StateTensor, TensorKind};
use trace::CaptureId;

use super::TraceRecorder;
use super::module::LayerHandles;
use super::optimizer::{KeepsMoments, OptimizerState};
use super::unread::{Handles, Unread};

/// What training goes on from, as handles: nothing was copied or read.
#[derive(Debug)]
struct TrainState<B: Backend> {
    parameters: Vec<LayerHandles<B>>,
    optimizer: OptimizerState<B>,
}

impl<B: Backend> TrainState<B> {
    /// To be read on the stream of this thread.
    fn unread(self) -> State {
        let [first, second] = self.optimizer.moments;
        let tensors = [
            (StateTensor::Parameter, self.parameters),
            (StateTensor::Moment1, first),
            (StateTensor::Moment2, second),
        ];
        State {
            tensors: tensors.map(|(tensor, layers)| {
                let layers = layers.into_iter();
                let handles = layers.map(|layer| Handles::Parameters(TensorKind::Weights, layer));
                let source: Box<dyn Source> = Box::new(Unread::here(handles.collect()));
                (tensor, source)
            }),
            num_updates: self.optimizer.num_updates,
        }
    }
}

/// What training can go on from, of the moment `id`.
#[derive(Debug)]
pub(crate) struct HeldState<B: Backend> {
    pub(crate) id: CaptureId,
    state: TrainState<B>,
}

impl<B: Backend> TraceRecorder<B> {
    /// What training can go on from as it is now, in full, whatever is recorded of the network:
    /// handles, which are a snapshot for as long as they are held.
    ///
    /// # Errors
    /// If the module is not the one that the recorder was started with.
    pub(crate) fn train_state<A, M, O>(
        &mut self,
        id: CaptureId,
        model: &M,
        optimizer: &O,
    ) -> Result<HeldState<B>, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: KeepsMoments<M, A>,
    {
        let start = self.recording.begin_call();
        let all = vec![true; self.recording.selected().len()];
        self.layers.check(model)?;
        let state = TrainState {
            parameters: self.layers.handles(&model.valid(), &all)?,
            optimizer: self.optimizer_state(model, optimizer, &all)?,
        };
        self.spent(start.elapsed());
        Ok(HeldState { id, state })
    }

    /// Hands over what training can go on from, and retires what it could go on from before. Waits
    /// for room, whatever becomes of a capture that finds none.
    ///
    /// # Errors
    /// Why recording stopped, if it has. With [`OnError::Continue`](crate::OnError::Continue) that is no
    /// error.
    pub(crate) fn save_state(&mut self, held: HeldState<B>) -> Result<(), RecordError> {
        self.recording.save_state(held.id, held.state.unread())
    }

    /// Retires what training could go on from: there is nothing left to do.
    ///
    /// # Errors
    /// As for [`TraceRecorder::save_state`].
    pub(crate) fn retire_state(&mut self, id: CaptureId) -> Result<(), RecordError> {
        self.recording.retire_state(id)
    }
}

//! The hand-off to the capture thread: of captures, and of what training can go on from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use burn::module::AutodiffModule;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_std::stream_id::StreamId;
use crossbeam_channel::TryRecvError;
use trace::CaptureId;

use super::limits::{MAX_WAITING_METRICS, WhenFull};
use super::optimizer::{KeepsMoments, TrainState};
use super::outcome::RecordError;
use super::{Checkpoint, TraceRecorder, Work};

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
        let start = self.begin_call();
        let all = vec![true; self.selected.len()];
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
    /// Why recording stopped, if it has. With [`OnError::Continue`] that is no error.
    pub(crate) fn checkpoint(&mut self, held: HeldState<B>) -> Result<(), RecordError> {
        self.hand_over_state(held.id, Some(held.state), Instant::now())
    }

    /// Retires what training could go on from: there is nothing left to do.
    ///
    /// # Errors
    /// As for [`TraceRecorder::checkpoint`].
    pub(crate) fn retire_checkpoint(&mut self, id: CaptureId) -> Result<(), RecordError> {
        let start = self.begin_call();
        self.hand_over_state(id, None, start)
    }

    fn hand_over_state(
        &mut self,
        id: CaptureId,
        state: Option<TrainState<B>>,
        start: Instant,
    ) -> Result<(), RecordError> {
        self.check_device()?;
        if self.failure.is_some() {
            return Ok(());
        }
        let stream = StreamId::current();
        let work = Work::Checkpoint(Checkpoint { id, stream, state });
        let handed_over = self.hand_over(work, start);
        self.account(None, start, false);
        match handed_over {
            Err(error) if self.failure.is_none() => Err(error),
            _ => Ok(()),
        }
    }

    /// Says whether there was room. `start` is when the caller's thread began to work for the
    /// recorder.
    pub(super) fn hand_over(
        &mut self,
        mut work: Work<B>,
        start: Instant,
    ) -> Result<bool, RecordError> {
        let wait = Instant::now();
        let room = if self.waits_for_room(&work) {
            self.room.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            self.room.try_recv()
        };
        match room {
            Ok(()) => {}
            Err(TryRecvError::Disconnected) => return Err(self.why_ended()),
            Err(TryRecvError::Empty) => {
                self.drop_capture(work);
                return Ok(false);
            }
        }
        let stall = wait.elapsed();
        if let Work::Capture(capture) = &mut work {
            capture.waiting_metrics = std::mem::take(&mut self.waiting_metrics);
        }
        let handed_over = match &self.hand_off {
            Some(hand_off) => hand_off.send(work).is_ok(),
            None => false,
        };
        if !handed_over {
            return Err(self.why_ended());
        }
        let add = |counter: &AtomicU64, time: Duration| {
            counter.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        };
        add(&self.progress.stall_ns, stall);
        add(&self.progress.hand_off_ns, start.elapsed());
        Ok(true)
    }

    /// The network that training ended with is worth a wait, and so is what would fill the memory.
    fn waits_for_room(&self, work: &Work<B>) -> bool {
        let Work::Capture(capture) = work else {
            return true;
        };
        self.limits.when_full != WhenFull::Drop
            || (self.last_epoch == Some(capture.id.epoch) && !self.last_is_step)
            || self.waiting_metrics.len() >= MAX_WAITING_METRICS
    }

    /// Its metrics wait for the next that finds room.
    fn drop_capture(&mut self, work: Work<B>) {
        let Work::Capture(capture) = work else {
            unreachable!("a checkpoint waits for room");
        };
        let dropped = u64::from(capture.is_whole);
        let counter = &self.progress.dropped_captures;
        counter.fetch_add(dropped, Ordering::Relaxed);
        if self.recorded.metrics {
            self.waiting_metrics.push((capture.id, capture.metrics));
        }
    }
}

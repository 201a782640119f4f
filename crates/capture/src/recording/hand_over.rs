//! The hand-off to the capture thread: of captures, and of what training can go on from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::TryRecvError;
use trace::CaptureId;

use super::limits::{MAX_WAITING_METRICS, WhenFull};
use super::outcome::RecordError;
use super::source::Source;
use super::{Capture, Checkpoint, INITIAL, Recording, State, Work};

impl Recording {
    /// Hands over what was noted of the moment `id`, the end of an epoch or a step inside of it, with the
    /// network where it is captured, in the call that began at `start`. Says whether it was captured.
    ///
    /// It waits while the values of the capture before are not on the host yet, unless
    /// [`WhenFull`] says otherwise.
    ///
    /// # Errors
    /// Why recording stopped, if it has: this capture and every later one is then lost. With
    /// [`OnError::Continue`](super::OnError::Continue) that is no error, and the network is not captured
    /// any more; that the device has failed always is one.
    pub fn hand_over(
        &mut self,
        id: CaptureId,
        is_end: bool,
        network: Option<Box<dyn Source>>,
        start: Instant,
    ) -> Result<bool, RecordError> {
        self.last_is_step = !is_end;
        let metrics = std::mem::take(&mut self.metrics);
        let classifications = self.classifications.take();
        let is_whole = network.is_some();
        self.last = Some(id);
        self.tell_disk_full();
        let is_over = self.failure.is_some() || self.is_disk_full();
        if is_over || (!is_whole && !self.recorded.metrics) {
            self.account(Some(id), start, false);
            return Ok(false);
        }
        let capture = Capture {
            id,
            network,
            classifications: classifications.filter(|_| is_whole),
            waiting_metrics: Vec::new(),
            metrics,
        };
        let handed_over = self.send(Work::Capture(Box::new(capture)), start);
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

    /// As [`Recording::hand_over`], of the moment that training ended with.
    ///
    /// # Errors
    /// As for [`Recording::hand_over`].
    pub fn hand_over_last(
        &mut self,
        id: CaptureId,
        network: Option<Box<dyn Source>>,
        start: Instant,
    ) -> Result<bool, RecordError> {
        if network.is_some() {
            self.count_last();
        }
        self.hand_over(id, true, network, start)
    }

    /// Hands over what training can go on from, and retires what it could go on from before. Waits
    /// for room, whatever becomes of a capture that finds none.
    ///
    /// # Errors
    /// Why recording stopped, if it has. With [`OnError::Continue`](super::OnError::Continue) that is no error.
    pub fn checkpoint(&mut self, id: CaptureId, state: State) -> Result<(), RecordError> {
        self.hand_over_state(id, Some(state), Instant::now())
    }

    /// Retires what training could go on from: there is nothing left to do.
    ///
    /// # Errors
    /// As for [`Recording::checkpoint`].
    pub fn retire_checkpoint(&mut self, id: CaptureId) -> Result<(), RecordError> {
        let start = self.begin_call();
        self.hand_over_state(id, None, start)
    }

    fn hand_over_state(
        &mut self,
        id: CaptureId,
        state: Option<State>,
        start: Instant,
    ) -> Result<(), RecordError> {
        self.check_device()?;
        if self.failure.is_some() {
            return Ok(());
        }
        let work = Work::Checkpoint(Checkpoint { id, state });
        let handed_over = self.send(work, start);
        self.account(None, start, false);
        match handed_over {
            Err(error) if self.failure.is_none() => Err(error),
            _ => Ok(()),
        }
    }

    /// Says whether there was room. `start` is when the caller's thread began to work for the
    /// recorder.
    fn send(&mut self, mut work: Work, start: Instant) -> Result<bool, RecordError> {
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
    fn waits_for_room(&self, work: &Work) -> bool {
        let Work::Capture(capture) = work else {
            return true;
        };
        self.limits.when_full != WhenFull::Drop
            || (self.last_epoch == Some(capture.id.epoch) && !self.last_is_step)
            || self.waiting_metrics.len() >= MAX_WAITING_METRICS
    }

    /// Its metrics wait for the next that finds room.
    fn drop_capture(&mut self, work: Work) {
        let Work::Capture(capture) = work else {
            unreachable!("a checkpoint waits for room");
        };
        let dropped = u64::from(capture.network.is_some());
        let counter = &self.progress.dropped_captures;
        counter.fetch_add(dropped, Ordering::Relaxed);
        if self.recorded.metrics {
            self.waiting_metrics.push((capture.id, capture.metrics));
        }
    }
}

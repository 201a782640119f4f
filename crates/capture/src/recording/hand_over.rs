//! What is handed over to the capture thread: captures, and what training can go on from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use trace::CaptureId;

use super::hand_off::{NotTaken, Room};
use super::limits::{MAX_WAITING_METRICS, WhenFull};
use super::source::Source;
use super::{Capture, INITIAL, RecordError, Recording, State, StateToSave, Task};
use crate::evaluation::Classifications;
use crate::rows::Metric;

/// What was noted, and waits to be handed over.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Figures since the last capture.
    pub(super) metrics: Vec<Metric>,
    /// What the network said of the held-out samples since then, where that was worked out already.
    pub(super) classifications: Option<Classifications>,
    /// Metrics of earlier moments, for which there was no room.
    pub(super) waiting_metrics: Vec<(CaptureId, Vec<Metric>)>,
}

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
        self.moments.last_is_step = !is_end;
        let metrics = std::mem::take(&mut self.noted.metrics);
        let classifications = self.noted.classifications.take();
        let is_whole = network.is_some();
        self.moments.last = Some(id);
        self.confirm();
        self.tell_disk_full();
        let is_over = self.outcome.failure.is_some() || self.is_disk_full();
        if is_over || (!is_whole && !self.recorded.metrics) {
            if self.waits_for_room() {
                self.keep_metrics(id, metrics);
            }
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
        let handed_over = self.send(Task::Capture(Box::new(capture)), start);
        if let (Err(_), Some(_)) = (&handed_over, &self.outcome.failure) {
            // It was said, and training goes on.
            if is_whole {
                self.count_missed(id);
            }
            return Ok(false);
        }
        let is_captured = handed_over? && is_whole;
        // What the untrained network costs says nothing of how captures and training alternate.
        let is_trained = id != INITIAL;
        self.account(is_trained.then_some(id), start, is_captured && is_trained);
        if is_captured {
            self.outcome.num_captures += 1;
            self.moments.captured = Some(id);
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
            self.count_last(id);
        }
        self.hand_over(id, true, network, start)
    }

    /// Hands over what training can go on from, and retires what it could go on from before. Waits
    /// for room, whatever becomes of a capture that finds none.
    ///
    /// # Errors
    /// Why recording stopped, if it has. With [`OnError::Continue`](super::OnError::Continue) that is no error.
    pub fn save_state(&mut self, id: CaptureId, state: State) -> Result<(), RecordError> {
        self.hand_over_state(id, Some(state), Instant::now())
    }

    /// Retires what training could go on from: there is nothing left to do.
    ///
    /// # Errors
    /// As for [`Recording::save_state`].
    pub fn retire_state(&mut self, id: CaptureId) -> Result<(), RecordError> {
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
        if self.outcome.failure.is_some() {
            return Ok(());
        }
        let task = Task::State(StateToSave { id, state });
        let handed_over = self.send(task, start);
        self.account(None, start, false);
        match handed_over {
            Err(error) if self.outcome.failure.is_none() => Err(error),
            _ => Ok(()),
        }
    }

    /// Says whether there was room. `start` is when the caller's thread began to work for the
    /// recorder.
    fn send(&mut self, mut task: Task, start: Instant) -> Result<bool, RecordError> {
        let wait = Instant::now();
        let room = match self.waits_for(&task) {
            true => self.hand_off.wait_for_room(),
            false => self.hand_off.try_room(),
        };
        match room {
            Room::Free => {}
            Room::Ended => return Err(self.not_taken(task)),
            Room::Taken => {
                self.drop_capture(task);
                return Ok(false);
            }
        }
        let stall = wait.elapsed();
        // What waits is not risked with a capture that may find no room.
        if let (Task::Capture(capture), false) = (&mut task, self.is_trying()) {
            capture.waiting_metrics = std::mem::take(&mut self.noted.waiting_metrics);
        }
        if let Err(NotTaken(task)) = self.hand_off.hand_over(task) {
            return Err(self.not_taken(task));
        }
        let add = |counter: &AtomicU64, time: Duration| {
            counter.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        };
        add(&self.progress.stall_ns, stall);
        add(&self.progress.hand_off_ns, start.elapsed());
        Ok(true)
    }

    /// The capture thread has ended before it took a task: says why. Figures wait for another thread, if there is
    /// to be one.
    fn not_taken(&mut self, task: Task) -> RecordError {
        let error = self.why_ended();
        if let (Task::Capture(capture), true) = (task, self.waits_for_room()) {
            let Capture {
                id,
                waiting_metrics,
                metrics,
                ..
            } = *capture;
            for (id, metrics) in waiting_metrics {
                self.keep_metrics(id, metrics);
            }
            self.keep_metrics(id, metrics);
        }
        error
    }

    /// The network that training ended with is worth a wait, and so is what would fill the memory.
    fn waits_for(&self, task: &Task) -> bool {
        let Task::Capture(capture) = task else {
            return true;
        };
        self.limits.when_full != WhenFull::Drop
            || (self.last_epoch == Some(capture.id.epoch) && !self.moments.last_is_step)
            || self.noted.waiting_metrics.len() >= MAX_WAITING_METRICS
    }

    /// Its metrics wait for the next that finds room.
    fn drop_capture(&mut self, task: Task) {
        let Task::Capture(capture) = task else {
            unreachable!("a state waits for room");
        };
        let dropped = u64::from(capture.network.is_some());
        let counter = &self.progress.dropped_captures;
        counter.fetch_add(dropped, Ordering::Relaxed);
        if self.recorded.metrics {
            self.noted
                .waiting_metrics
                .push((capture.id, capture.metrics));
        }
    }
}

//! Which captures are taken, and what they cost.

use std::sync::atomic::Ordering;
use std::time::Instant;

use trace::CaptureId;

use super::interference::{Shape, Span};
use super::outcome::RecordError;
use super::{INITIAL, Recording};

/// What is to be done at a moment of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, and what was noted is kept.
    Nothing,
    /// Nothing, and what was noted of the network is not needed any more: a capture inside of an epoch
    /// was left out.
    LeftOut,
    /// The moment is handed over without the network: metrics alone are recorded of it.
    Metrics,
    /// The network is captured.
    Capture,
}

impl Recording {
    /// What is to be done at the moment `id`, the end of an epoch or a step inside of it, in the call that
    /// began at `start` ([`Recording::begin_call`]). [`Recording::hand_over`] is next where the moment is
    /// handed over.
    ///
    /// # Errors
    /// If the device has failed, or `id` does not come after the last one.
    pub fn decide(
        &mut self,
        id: CaptureId,
        is_end: bool,
        start: Instant,
    ) -> Result<Decision, RecordError> {
        self.check_device()?;
        if !is_end && !self.schedule.is_step_due(id.step) {
            return Ok(Decision::Nothing);
        }
        let is_taken = self.takes(id, is_end)?;
        if is_taken {
            return Ok(Decision::Capture);
        }
        if is_end {
            return Ok(Decision::Metrics);
        }
        // Metrics are kept for the end of the epoch, or the next capture.
        self.classifications = None;
        self.last = Some(id);
        self.last_is_step = true;
        self.account(Some(id), start, false);
        Ok(Decision::LeftOut)
    }

    /// As [`Recording::decide`], of the untrained network, which is captured in any case.
    ///
    /// # Errors
    /// If the device has failed, or something was captured before.
    pub fn check_untrained(&mut self) -> Result<(), RecordError> {
        self.check_device()?;
        self.check_order(INITIAL, true)
    }

    /// As [`Recording::decide`], of the network that training ended with, whatever the schedule says: it
    /// is waited for, and no budget leaves it out. [`Recording::hand_over_last`] is next.
    ///
    /// # Errors
    /// If something was recorded of a later moment.
    pub fn decide_last(&mut self, id: CaptureId) -> Result<Decision, RecordError> {
        // What was noted of this moment may be metrics alone.
        if let Some(last) = self.last.filter(|last| id < *last) {
            return Err(RecordError::Order { last, found: id });
        }
        self.last_epoch = Some(id.epoch);
        Ok(match self.captured == Some(id) {
            true if self.metrics.is_empty() => Decision::Nothing,
            true => Decision::Metrics,
            false => Decision::Capture,
        })
    }

    /// Counts the network that training ended with where it is not captured any more.
    pub(super) fn count_last(&mut self) {
        if self.failure.is_some() {
            self.num_missed += 1;
        } else if self.is_disk_full() {
            let counter = &self.progress.over_disk_captures;
            counter.fetch_add(1, Ordering::Relaxed);
        }
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
    pub fn begin_call(&mut self) -> Instant {
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
}

//! Which captures are taken, and what they cost.

use std::cell::Cell;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sink::SinkMeter;
use trace::{CaptureId, Step};

use super::governor::Governor;
use super::interference::{Shape, Span};
use super::outcome::RecordError;
use super::{INITIAL, Moment, Recording};

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

/// How time goes, for the governor.
#[derive(Debug)]
pub(super) struct Clock {
    /// Which of the due captures are taken; none where all are.
    pub(super) governor: Option<Governor>,
    /// Since when the caller's thread has been training, as far as the governor was told.
    pub(super) training_since: Instant,
    /// Time in it that the caller spent for the recorder.
    pub(super) spent: Duration,
    /// After which step the governor was told of training.
    pub(super) reported_step: Option<Step>,
    /// What the recorder's threads had worked by then.
    pub(super) reported_work: Duration,
    /// What they had worked when the caller's thread came into the call that it is in. What they do during
    /// calls keeps nobody from training.
    pub(super) work_at_call: Duration,
    pub(super) meter: SinkMeter,
    /// What the workers of earlier sinks had worked.
    pub(super) past_work: Duration,
    /// What [`Recording::is_due`] said last, so that the capture that follows is of one mind.
    pub(super) answer: Cell<Option<(Moment, bool)>>,
}

impl Clock {
    /// From now on the caller's thread trains.
    pub(super) fn start(governor: Option<Governor>, meter: SinkMeter) -> Self {
        Self {
            governor,
            training_since: Instant::now(),
            spent: Duration::ZERO,
            reported_step: None,
            reported_work: Duration::ZERO,
            work_at_call: Duration::ZERO,
            meter,
            past_work: Duration::ZERO,
            answer: Cell::new(None),
        }
    }
}

impl Clock {
    /// How long the sinks' workers have worked so far, all together.
    pub(super) fn workers(&self) -> Duration {
        let sink = self.meter.stats();
        self.past_work + Duration::from_secs_f64((sink.make_ms + sink.encode_ms) / 1e3)
    }

    /// Another sink records from now on.
    pub(super) fn next_meter(&mut self, meter: SinkMeter) {
        self.past_work = self.workers();
        self.meter = meter;
    }
}

/// The moments that were recorded.
#[derive(Debug)]
pub(super) struct Moments {
    /// The last one, or that was to be.
    pub(super) last: Option<CaptureId>,
    /// Whether that was inside of an epoch, or at its last step and before its end.
    pub(super) last_is_step: bool,
    /// The last capture that was handed over.
    pub(super) captured: Option<CaptureId>,
}

impl Recording {
    /// What is to be done at the moment `id`, the end of an epoch or a step inside of it.
    /// [`Recording::hand_over`] is next where the moment is handed over, [`Recording::leave_out`] where it is
    /// left out.
    ///
    /// # Errors
    /// If the device has failed, or `id` does not come after the last one.
    pub fn decide(&mut self, id: CaptureId, is_end: bool) -> Result<Decision, RecordError> {
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
        Ok(Decision::LeftOut)
    }

    /// Leaves out what [`Recording::decide`] said, in the call that began at `start`: once the recorder has
    /// let go what it had noted for it, which is recording's cost.
    pub fn leave_out(&mut self, id: CaptureId, start: Instant) {
        // Metrics are kept for the end of the epoch, or the next capture.
        self.noted.classifications = None;
        self.moments.last = Some(id);
        self.moments.last_is_step = true;
        self.account(Some(id), start, false);
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
        if let Some(last) = self.moments.last.filter(|last| id < *last) {
            return Err(RecordError::Order { last, found: id });
        }
        self.last_epoch = Some(id.epoch);
        if self.moments.captured != Some(id) {
            self.take_up_for_last(id);
        }
        Ok(match self.moments.captured == Some(id) {
            true if self.noted.metrics.is_empty() => Decision::Nothing,
            true => Decision::Metrics,
            false => Decision::Capture,
        })
    }

    /// Counts the network that training ended with where it is not captured any more.
    pub(super) fn count_last(&mut self, id: CaptureId) {
        if self.outcome.failure.is_some() {
            self.count_missed(id);
        } else if self.is_disk_full() {
            self.count_over_disk(id);
        }
    }

    /// Counts a capture that recording had failed before; that of one moment once, which may be a step's and its
    /// epoch's.
    pub(super) fn count_missed(&mut self, id: CaptureId) {
        if self.outcome.missed_last.replace(id) != Some(id) {
            self.outcome.num_missed += 1;
        }
    }

    /// Takes back that the capture of a moment was counted, where it is made after all. Says whether it was.
    pub(super) fn take_back_missed(&mut self, id: CaptureId) -> bool {
        let is_counted = self.outcome.missed_last == Some(id);
        if is_counted {
            self.outcome.missed_last = None;
            self.outcome.num_missed -= 1;
        }
        is_counted
    }

    /// Counts a capture that the run has no room for, likewise.
    fn count_over_disk(&mut self, id: CaptureId) {
        if self.outcome.over_disk_last.replace(id) != Some(id) {
            let counter = &self.progress.over_disk_captures;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An epoch may end with the step that was captured last.
    pub(super) fn check_order(&self, id: CaptureId, is_end: bool) -> Result<(), RecordError> {
        let is_same = |last: CaptureId| is_end && self.moments.last_is_step && id == last;
        match self
            .moments
            .last
            .filter(|last| id <= *last && !is_same(*last))
        {
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
        let may_be_taken = self.is_taken(moment);
        self.clock.answer.set(None);
        let waits = self.waits_for_room();
        let is_taken = may_be_taken && (!waits || self.take_up(id));
        if self.outcome.failure.is_some() {
            self.count_missed(id);
            if !may_be_taken {
                self.left_out_for_room();
            }
        } else if !is_taken && self.is_disk_full() {
            self.count_over_disk(id);
        } else if !is_taken {
            let counter = &self.progress.thinned_captures;
            counter.fetch_add(1, Ordering::Relaxed);
            if let Some(governor) = &mut self.clock.governor {
                governor.left_out();
            }
        }
        Ok(is_taken)
    }

    /// Notes that the caller's thread comes into a call that may be accounted for; gives when.
    pub fn begin_call(&mut self) -> Instant {
        if self.clock.governor.is_some() {
            self.clock.work_at_call = self.work();
        }
        Instant::now()
    }

    /// Tells the governor what the call that began at `start` cost, and how long training took before
    /// it, to the moment `id` if it is one of training's.
    pub(super) fn account(&mut self, id: Option<CaptureId>, start: Instant, is_captured: bool) {
        let spent = std::mem::take(&mut self.clock.spent);
        if self.clock.governor.is_some() {
            let since = start.saturating_duration_since(self.clock.training_since);
            let span = Span {
                time: since.saturating_sub(spent),
                worked: self
                    .clock
                    .work_at_call
                    .saturating_sub(self.clock.reported_work),
                shape: id.and_then(|id| self.shape_to(id)),
            };
            self.clock.reported_work = self.work();
            let cost = start.elapsed() + spent;
            if let Some(governor) = &mut self.clock.governor {
                governor.trained(&span);
                if is_captured {
                    governor.taken(cost);
                } else {
                    governor.spent(cost);
                }
            }
        }
        self.clock.training_since = Instant::now();
    }

    /// What the span of training to `id` is like; none of the first, in which devices and memory are made
    /// ready.
    fn shape_to(&mut self, id: CaptureId) -> Option<Shape> {
        let before = self.clock.reported_step.replace(id.step)?;
        Some(Shape {
            num_steps: id.step.0 - before.0,
            is_end: !self.moments.last_is_step,
        })
    }
}

//! Recording that has stopped for want of room, and is taken up again where there is room.
//!
//! A sink that has failed stays so, and with it go the captures that were on the way. Nothing of them is
//! tried again (ARCHITECTURE.md, invariant 7): another sink, with a staging directory, files and a
//! descriptor of its own, commits what is captured from then on. It has the writer's lock of the first, so
//! that nobody comes in between, and its records follow on those that are there.
//!
//! Nobody waits and no clock runs meanwhile: a capture that is due asks the file system how much is left.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sink::{Sink, SinkStats};
use trace::{CaptureId, Room, Step};

use super::hand_off::HandOff;
use super::thread::{CaptureThread, Ended, Line, Lost};
use super::{LOST_SEQUENCE, Moment, RecordError, Recording, Task};

/// What a commit and a staging directory take beside the captures' files.
const BESIDE_BYTES: u64 = 64 << 10;
/// What a file takes that is not a whole number of blocks, at most.
const BLOCK_BYTES: u64 = 4 << 10;
/// Files and directories likewise.
const BESIDE_FILES: u64 = 8;
/// What a file of metrics takes that waits to be written, at most.
const METRICS_BYTES: u64 = 8 << 10;
/// So many due captures are left out at most before it is tried again, where file systems say that there is
/// room and there is none, as under a quota.
const MAX_LEFT_OUT: u32 = 64;
/// Changes that wait for somebody who takes them, at most.
const MAX_CHANGES: usize = 8;

/// Recording has stopped while training goes on, or goes on itself ([`Recording::take_changes`]).
#[derive(Debug, Clone)]
pub enum Change {
    /// It has stopped.
    Stopped {
        /// Why.
        error: Arc<RecordError>,
        /// Whether it is taken up again where there is room.
        waits_for_room: bool,
    },
    /// It was taken up again.
    TakenUp {
        /// Captures that were due and were lost so far.
        lost_captures: u64,
    },
}

impl Change {
    /// Whether recording has stopped.
    pub fn is_stop(&self) -> bool {
        matches!(self, Self::Stopped { .. })
    }
}

/// Whether anything is recorded.
#[derive(Debug, Default)]
pub(super) enum Standing {
    /// It is.
    #[default]
    Recording,
    /// It is again, perhaps: nothing was committed since it was taken up.
    Trying(Attempts),
    /// It is not, until there is room.
    Waiting(Waiting),
    /// It is not any more.
    Over,
}

/// How often it was tried in vain.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Attempts {
    /// Due captures that are left out before the next one.
    left_out: u32,
    /// How many are left out after the next one.
    then: u32,
}

impl Attempts {
    /// Another one was in vain.
    fn failed(self) -> Self {
        Self {
            left_out: self.then,
            then: (2 * self.then).clamp(1, MAX_LEFT_OUT),
        }
    }
}

/// What has to be there for recording to be taken up.
#[derive(Debug)]
pub(super) struct Waiting {
    attempts: Attempts,
    needed: Needed,
    thread: Box<CaptureThread>,
}

/// What has to be left on the file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Needed {
    bytes: u64,
    files: u64,
}

impl Needed {
    /// For captures like those that were handed over, of which sinks have said what they took.
    ///
    /// What was on the way when there was no room was staged at once, and is removed: the room that it leaves
    /// would not last. So twice as much has to be there, and at least what two captures take.
    fn of(stats: &SinkStats, num_captures: u64, num_on_the_way: u64) -> Self {
        let to_fit = 2 * (num_on_the_way + 1);
        let of_captures = |all: u64| to_fit * all.div_ceil(num_captures.max(1));
        Self {
            bytes: BESIDE_BYTES + of_captures(stats.part_bytes + BLOCK_BYTES * stats.num_parts),
            // Each file may be the first of its directory.
            files: BESIDE_FILES + 2 * of_captures(stats.num_parts),
        }
    }

    /// And for so many files of metrics that wait.
    fn with_metrics(self, num_files: usize) -> Self {
        Self {
            bytes: self.bytes + METRICS_BYTES * num_files as u64,
            files: self.files + num_files as u64,
        }
    }

    fn fits(self, room: Room) -> bool {
        room.bytes >= self.bytes && room.files.is_none_or(|files| files >= self.files)
    }
}

impl Waiting {
    /// The thread that waits with it.
    pub(super) fn into_thread(self) -> Box<CaptureThread> {
        self.thread
    }
}

impl Recording {
    /// What has become of recording since this was asked last: that it has stopped while training goes on
    /// ([`OnError::Continue`](super::OnError::Continue)), and that it goes on again. Whoever has said that it
    /// reports failures asks at the end of each epoch, say; else they are logged. The summary has what came
    /// after the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.confirm();
        std::mem::take(&mut self.outcome.changes)
    }

    /// Whether recording has stopped until there is room for it.
    pub fn waits_for_room(&self) -> bool {
        matches!(self.outcome.standing, Standing::Waiting(_))
    }

    /// Whether it was taken up, and nothing was committed since.
    pub(super) fn is_trying(&self) -> bool {
        matches!(self.outcome.standing, Standing::Trying(_))
    }

    /// Counts a capture that was due, and that who drives the recording could not make: the session is not
    /// one in which everything was recorded.
    pub fn miss(&mut self) {
        self.progress.lose();
        if self.outcome.failure.is_some() {
            self.outcome.num_missed += 1;
        } else {
            let counter = &self.progress.missed_captures;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts the captures that the schedule names at the ends of epochs and after steps that nothing was recorded
    /// of, as before there was room for the run.
    pub fn miss_scheduled(&mut self, epochs: Range<i32>, steps: Range<i64>) {
        let is_step_due = |step: &i64| self.schedule.is_step_due(Step(*step));
        let num_ends = epochs.filter(|epoch| self.is_scheduled(*epoch)).count();
        let num_missed = num_ends + steps.filter(is_step_due).count();
        // Figures were not recorded either.
        self.progress.lose();
        for _ in 0..num_missed {
            self.miss();
        }
    }

    /// Captures that were due and are in no commit, where no sink has any left.
    pub(super) fn num_lost(&self) -> u64 {
        let missed = self.progress.missed_captures.load(Ordering::Relaxed);
        self.num_lost_by_stops() + missed
    }

    /// Those of them that no other row of metrics says.
    fn num_lost_by_stops(&self) -> u64 {
        match self.outcome.has_stopped {
            true => self.num_lost_on_the_way() + self.outcome.num_missed,
            false => 0,
        }
    }

    /// Captures that were handed over and are in no commit, where no sink has any left. Those that did not fit
    /// into what the run may take are not lost, but left out.
    fn num_lost_on_the_way(&self) -> u64 {
        let refused = self.progress.refused_captures.load(Ordering::Relaxed);
        self.outcome.num_captures - refused - self.outcome.sink_stats.num_captures
    }

    /// Recording has stopped for this reason, while training goes on.
    pub(super) fn stop(&mut self, error: RecordError) {
        self.confirm();
        self.outcome.has_stopped = true;
        let lost = self.num_lost_on_the_way();
        let num_on_the_way = lost - std::mem::replace(&mut self.outcome.lost_on_the_way, lost);
        let attempts = match std::mem::take(&mut self.outcome.standing) {
            Standing::Trying(attempts) => Some(attempts.failed()),
            Standing::Recording | Standing::Waiting(_) | Standing::Over => None,
        };
        let thread = self.outcome.idle.take();
        let waits_for_room = error.is_for_want_of_room() && thread.is_some();
        let error = Arc::new(error);
        self.outcome.failure = Some(Arc::clone(&error));
        self.outcome.standing = match thread {
            Some(thread) if waits_for_room => Standing::Waiting(Waiting {
                attempts: attempts.unwrap_or_default(),
                needed: Needed::of(
                    &self.outcome.sink_stats,
                    self.outcome.num_captures,
                    num_on_the_way,
                ),
                thread,
            }),
            thread => {
                self.outcome.idle = thread;
                self.noted.waiting_metrics.clear();
                if error.is_disk_in_doubt() {
                    // Nothing is added at the end, and others may record.
                    self.sink_options.taken_up = None;
                }
                Standing::Over
            }
        };
        // What was never taken up has not stopped anew.
        if attempts.is_none() || !waits_for_room {
            self.tell(Change::Stopped {
                error,
                waits_for_room,
            });
        }
    }

    /// Says that recording goes on once there is a proof of it, that is another capture.
    pub(super) fn confirm(&mut self) {
        if self.is_trying() && self.clock.meter.stats().num_captures > 0 {
            self.tell_taken_up();
        }
    }

    /// Says that recording goes on, if that was not said of it.
    pub(super) fn tell_taken_up(&mut self) {
        if let Standing::Trying(_) = self.outcome.standing {
            self.outcome.standing = Standing::Recording;
            let lost_captures = self.outcome.lost_before;
            self.tell(Change::TakenUp { lost_captures });
        }
    }

    /// Keeps a change for the owner, or logs it.
    fn tell(&mut self, change: Change) {
        if self.outcome.owner_reports {
            let changes = &mut self.outcome.changes;
            if changes.len() >= MAX_CHANGES {
                // Nobody has asked for long: what is told in pairs goes in pairs.
                changes.drain(..2);
            }
            changes.push(change);
            return;
        }
        let run = self.run.path().display();
        match change {
            Change::Stopped {
                error,
                waits_for_room: true,
            } => tracing::error!(
                %run,
                error = &*error as &dyn std::error::Error,
                "recording has stopped until there is room for it; training goes on, and what would be captured \
                 meanwhile is lost"
            ),
            Change::Stopped { error, .. } => tracing::error!(
                %run,
                error = &*error as &dyn std::error::Error,
                "recording failed; training goes on, and what would be captured from now on is lost"
            ),
            Change::TakenUp { lost_captures } => tracing::warn!(
                %run,
                lost_captures,
                "there is room again, and recording goes on"
            ),
        }
    }

    /// Whether there may be room for a capture that is due. What was said once of a moment is said again.
    pub(super) fn may_take_up(&self, waiting: &Waiting, moment: Moment) -> bool {
        if let Some((asked, answer)) = self.clock.answer.get()
            && asked == moment
        {
            return answer;
        }
        let answer = self.has_room(waiting);
        self.clock.answer.set(Some((moment, answer)));
        answer
    }

    fn has_room(&self, waiting: &Waiting) -> bool {
        let needed = waiting
            .needed
            .with_metrics(self.noted.waiting_metrics.len());
        waiting.attempts.left_out == 0
            && Room::at(self.run.path()).is_ok_and(|room| needed.fits(room))
    }

    /// A capture that is due is left out while recording waits for room.
    pub(super) fn left_out_for_room(&mut self) {
        if let Standing::Waiting(waiting) = &mut self.outcome.standing {
            waiting.attempts.left_out = waiting.attempts.left_out.saturating_sub(1);
        }
    }

    /// Takes recording up for the network that training ended with, if there is room.
    pub(super) fn take_up_for_last(&mut self, id: CaptureId) {
        if let Standing::Waiting(waiting) = &self.outcome.standing
            && self.has_room(waiting)
        {
            self.take_up(id);
        }
    }

    /// Takes recording up with the capture of `id`, by another sink and another thread. Says whether it could.
    pub(super) fn take_up(&mut self, id: CaptureId) -> bool {
        let waiting = match std::mem::take(&mut self.outcome.standing) {
            Standing::Waiting(waiting) => waiting,
            other => {
                self.outcome.standing = other;
                return false;
            }
        };
        let Waiting {
            attempts,
            needed,
            mut thread,
        } = waiting;
        let is_taken_back = self.take_back_missed(id);
        let sink = Sink::start(&self.run, self.sink_options.clone()).map_err(RecordError::from);
        match sink {
            Ok(sink) => {
                // Which saved state is there is what the commits say, whatever was on the way.
                thread.is_state_known &= !thread.saves_state;
                self.clock.next_meter(sink.meter());
                self.outcome.lost_before = self.num_lost();
                let lost = self.lost(id);
                match launch(thread, sink, lost, || {}) {
                    Ok(hand_off) => {
                        self.hand_off = hand_off;
                        self.outcome.failure = None;
                        self.outcome.standing = Standing::Trying(attempts);
                        return true;
                    }
                    Err(error) => self.stop(error),
                }
            }
            Err(error) if error.is_for_want_of_room() => {
                self.outcome.standing = Standing::Waiting(Waiting {
                    attempts: attempts.failed(),
                    needed,
                    thread,
                });
            }
            Err(error) => {
                self.outcome.idle = Some(thread);
                self.stop(error);
            }
        }
        if is_taken_back {
            self.count_missed(id);
        }
        false
    }

    /// What has to be said of lost captures that no row says, of the moment `id`.
    pub(super) fn lost(&mut self, id: CaptureId) -> Option<Lost> {
        let num_captures = self.num_lost_by_stops() - self.outcome.lost_in_rows;
        if num_captures == 0 || !self.recorded.metrics {
            return None;
        }
        let is_again = self.outcome.lost_told_of.replace(id) == Some(id);
        self.outcome.lost_in_hand = num_captures;
        Some(Lost {
            id,
            sequence: LOST_SEQUENCE + u32::from(is_again),
            num_captures,
        })
    }

    /// Notes what a sink did, once it has ended.
    pub(super) fn sink_ended(&mut self, stats: SinkStats, thread: Box<CaptureThread>) {
        let lost_in_hand = std::mem::take(&mut self.outcome.lost_in_hand);
        if stats.num_publishes > 0 {
            // What it was to say of lost captures came first.
            self.outcome.lost_in_rows += lost_in_hand;
            // The commits have the session's configuration.
            self.sink_options.session = None;
        }
        self.outcome.sink_stats = thread.past;
        self.outcome.idle = Some(thread);
    }
}

/// Starts a capture thread, which calls `first` before anything else.
pub(super) fn launch(
    thread: Box<CaptureThread>,
    sink: Sink,
    lost: Option<Lost>,
    first: impl FnOnce() + Send + 'static,
) -> Result<HandOff<Task, Ended>, RecordError> {
    let work = move |tasks| thread.run(Line { sink, tasks, lost }, first);
    HandOff::start("capture", work).map_err(RecordError::Spawn)
}

#[cfg(test)]
mod tests;

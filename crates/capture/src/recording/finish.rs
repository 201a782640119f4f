//! The end of a recording, and its failures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sink::{Closing, Part, Sink, SinkOptions};

use super::hand_off::{NotTaken, Room};
use super::limits::OnError;
use super::outcome::{RecordError, RecordSummary};
use super::take_up::Standing;
use super::thread::Ended;
use super::{Capture, Recording, Task};

impl Recording {
    /// Why nothing is recorded now, where training goes on without it ([`OnError::Continue`]): for good, or
    /// until there is room ([`Recording::waits_for_room`]).
    pub fn failure(&self) -> Option<&RecordError> {
        self.outcome.failure.as_deref()
    }

    /// Checks that no read has found the device failed.
    ///
    /// Devices run behind, and tell what went wrong with a kernel to whoever reads next. That may be the
    /// recorder, and then training would never hear of it: it would go on with what kernels that never
    /// ran have left. So such a failure is always returned, whatever
    /// [`Limits::on_error`](super::Limits::on_error) says. Every capture that is called for checks it,
    /// due or not; whoever makes many steps in between can ask here, which costs nothing.
    ///
    /// # Errors
    /// [`RecordError::Device`]; once it was returned, [`RecordError::Stopped`].
    pub fn check_device(&mut self) -> Result<(), RecordError> {
        match self.progress.has_device_failed() {
            true => Err(self.why_ended()),
            false => Ok(()),
        }
    }

    /// Whether recording has stopped because the run may take no more of the disk
    /// ([`Limits::max_disk`](super::Limits::max_disk)).
    pub fn is_disk_full(&self) -> bool {
        self.progress.is_disk_full.load(Ordering::Relaxed)
    }

    /// Says so once, where the owner does not.
    pub(super) fn tell_disk_full(&mut self) {
        if self.is_disk_full()
            && !self.outcome.owner_reports
            && !self.outcome.has_reported_disk_full
        {
            tracing::warn!(
                run = %self.run.path().display(),
                "the run may take no more of the disk; recording has stopped, training goes on"
            );
            self.outcome.has_reported_disk_full = true;
        }
    }

    /// Bytes of part files written so far.
    pub fn part_bytes(&self) -> u64 {
        self.progress.part_bytes.load(Ordering::Relaxed)
    }

    /// Waits until everything that was captured is committed (ARCHITECTURE.md, invariant 4), and ends
    /// the recording. The last commit then says that the session is finished; a recording that is dropped is
    /// not.
    ///
    /// # Errors
    /// Why recording stopped, if it has. With [`OnError::Continue`] the summary says it instead, unless
    /// the device has failed.
    pub fn finish(mut self) -> Result<RecordSummary, RecordError> {
        let start = Instant::now();
        self.progress.finish();
        if self.outcome.failure.is_none()
            && let Err(error) = self.join()
        {
            self.go_on_or_stop(error)?;
        }
        self.tell_disk_full();
        if self.outcome.failure.is_none() {
            // Everything is committed that was captured since.
            self.tell_taken_up();
        }
        let num_captures = match self.outcome.has_stopped || self.is_disk_full() {
            false => self.outcome.num_captures,
            // What else was handed over went down with a sink, or did not fit.
            true => self.outcome.sink_stats.num_captures,
        };
        let lost_captures = self.num_lost();
        self.record_rest();
        let finish = start.elapsed();
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        Ok(RecordSummary {
            num_captures,
            thinned_captures: self.progress.thinned_captures.load(Ordering::Relaxed),
            over_disk_captures: self.progress.over_disk_captures.load(Ordering::Relaxed),
            is_disk_full: self.is_disk_full(),
            dropped_captures: self.progress.dropped_captures.load(Ordering::Relaxed),
            lost_captures,
            failure: self.outcome.failure.take(),
            changes: self.take_changes(),
            sink: self.outcome.sink_stats,
            hand_off: time(&self.progress.hand_off_ns),
            stall: time(&self.progress.stall_ns),
            finish,
        })
    }

    /// Why the capture thread ended although nobody asked it to: a failure is what the next call
    /// returns (ARCHITECTURE.md, invariant 7), or says where training goes on.
    pub(super) fn why_ended(&mut self) -> RecordError {
        let error = self.join_thread().err().unwrap_or(RecordError::Stopped);
        self.go_on_or_stop(error)
            .err()
            .unwrap_or(RecordError::Stopped)
    }

    /// Where training goes on without recording, says the failure and forgets what was noted. Without
    /// a device it does not go on.
    pub(super) fn go_on_or_stop(&mut self, error: RecordError) -> Result<(), RecordError> {
        self.progress.lose();
        if self.limits.on_error == OnError::Stop || self.progress.has_device_failed() {
            return Err(error);
        }
        self.stop(error);
        Ok(())
    }

    /// Tries to leave rows that say what was lost, and the metrics that wait, by a sink that has the lock of
    /// those before: what failed may work again. Where it does not, there is nothing to add to the failure that
    /// was said. Of a disk that failed nothing is tried (ARCHITECTURE.md, invariant 7).
    fn record_rest(&mut self) {
        let is_left = match self.outcome.failure.as_deref() {
            None => !self.noted.waiting_metrics.is_empty(),
            Some(error) => !error.is_disk_in_doubt(),
        };
        let thread = match std::mem::take(&mut self.outcome.standing) {
            Standing::Waiting(waiting) => Some(waiting.into_thread()),
            _ => self.outcome.idle.take(),
        };
        // Who gave the lock up has nothing to add to what others may have recorded since.
        let lock = self.sink_options.taken_up.take();
        let (true, Some(id), Some(mut thread), Some(lock)) = (
            is_left && self.recorded.metrics,
            self.moments.last,
            thread,
            lock,
        ) else {
            return;
        };
        let waiting_metrics = std::mem::take(&mut self.noted.waiting_metrics);
        // No names that the failed sink may have used.
        let lost = self.lost(id).map(|lost| lost.part(&thread));
        let waiting = waiting_metrics.into_iter();
        let waiting = waiting.map(|(id, metrics)| thread.metrics_file(id, &metrics));
        let parts: Vec<Part> = lost.into_iter().chain(waiting).collect();
        let record = || -> Result<(), RecordError> {
            let sink_options = SinkOptions {
                num_workers: 1,
                taken_up: Some(lock),
                ..self.sink_options.clone()
            };
            let sink = Sink::start(&self.run, sink_options)?;
            for part in parts {
                let mut open = sink.begin(None);
                open.send(part)?;
                open.end()?;
            }
            // It tells of a session in which not everything was recorded.
            sink.close(Closing::BrokenOff).1?;
            Ok(())
        };
        if let Err(error) = record() {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "what was left could not be recorded"
            );
        }
    }

    /// Hands over the metrics that wait, and ends the capture thread. Where it is not known whether there is room
    /// they are not risked, and wait for [`Recording::record_rest`].
    pub(super) fn join(&mut self) -> Result<(), RecordError> {
        self.confirm();
        if !self.is_trying()
            && let Some((id, metrics)) = self.noted.waiting_metrics.pop()
            && self.hand_off.wait_for_room() == Room::Free
        {
            let waiting = Capture {
                id,
                network: None,
                classifications: None,
                waiting_metrics: std::mem::take(&mut self.noted.waiting_metrics),
                metrics,
            };
            // Where nobody takes it any more, the thread says why.
            let handed_over = self.hand_off.hand_over(Task::Capture(Box::new(waiting)));
            if let Err(NotTaken(Task::Capture(waiting))) = handed_over {
                let Capture {
                    id,
                    waiting_metrics,
                    metrics,
                    ..
                } = *waiting;
                self.noted.waiting_metrics = waiting_metrics;
                self.noted.waiting_metrics.push((id, metrics));
            }
        }
        self.join_thread()
    }

    fn join_thread(&mut self) -> Result<(), RecordError> {
        let Some(ended) = self.hand_off.join() else {
            return Err(RecordError::Stopped);
        };
        let ended = ended.map_err(|_| RecordError::Panicked)?;
        let Ended {
            stats,
            result,
            thread,
        } = ended;
        self.sink_ended(stats, thread);
        result
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.hand_off.is_joined() {
            return;
        }
        match self.join() {
            Ok(()) => {
                self.record_rest();
                tracing::warn!("a recorder was dropped before it was finished; all is published")
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a recorder was dropped before it was finished, and could not publish everything"
            ),
        }
    }
}

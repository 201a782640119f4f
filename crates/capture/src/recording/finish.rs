//! The end of a recording, and its failures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sink::{Closing, Sink, SinkOptions};

use super::limits::OnError;
use super::outcome::{RecordError, RecordSummary};
use super::place::Place;
use super::thread::Ended;
use super::{Capture, LOST_SEQUENCE, Recording, Task, cost, thread};
use crate::rows::{Metric, RowKey};

impl Recording {
    /// Why recording failed, where training goes on without it ([`OnError::Continue`]).
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
        let is_over = self.outcome.failure.is_some() || self.is_disk_full();
        let num_captures = match is_over {
            false => self.outcome.num_captures,
            // What else was handed over went down with the sink, or did not fit.
            true => self.outcome.sink_stats.num_captures,
        };
        let lost_captures = match self.outcome.failure {
            None => 0,
            Some(_) => self.outcome.num_captures - num_captures + self.outcome.num_missed,
        };
        if self.outcome.failure.is_some() && self.recorded.metrics {
            self.report_lost(lost_captures);
        }
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
        if self.limits.on_error == OnError::Stop || self.progress.has_device_failed() {
            return Err(error);
        }
        if !self.outcome.owner_reports {
            tracing::error!(
                run = %self.run.path().display(),
                error = &error as &dyn std::error::Error,
                "recording failed; training goes on, and what would be captured from now on is lost"
            );
        }
        self.noted.waiting_metrics.clear();
        self.outcome.failure = Some(Arc::new(error));
        Ok(())
    }

    /// Tries to leave a row that says what was lost: what failed may work again. Where it does not,
    /// there is nothing to add to the failure that was said.
    fn report_lost(&self, lost_captures: u64) {
        let report = || -> Result<(), RecordError> {
            let Some(id) = self.moments.last else {
                return Ok(());
            };
            let lost = Metric {
                phase: None,
                name: format!("recorder.{}", cost::LOST_CAPTURES),
                value: lost_captures as f64,
            };
            let place = Place {
                key: RowKey {
                    id,
                    rank: self.rank,
                },
                generation: self.generation,
            };
            let sink_options = SinkOptions {
                rank: self.rank,
                num_workers: 1,
                ..SinkOptions::default()
            };
            let sink = Sink::start(&self.run, sink_options)?;
            let mut open = sink.begin(None);
            // No name that the failed sink may have used.
            open.send(thread::metrics_part(place, &[lost], LOST_SEQUENCE))?;
            open.end()?;
            // It tells of a session in which not everything was recorded.
            sink.close(Closing::BrokenOff).1?;
            Ok(())
        };
        if let Err(error) = report() {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "no row says what was lost"
            );
        }
    }

    /// Hands over the metrics that wait, and ends the capture thread.
    pub(super) fn join(&mut self) -> Result<(), RecordError> {
        if let Some((id, metrics)) = self.noted.waiting_metrics.pop()
            && self.hand_off.room.recv().is_ok()
            && let Some(tasks) = &self.hand_off.tasks
        {
            let waiting = Capture {
                id,
                network: None,
                classifications: None,
                waiting_metrics: std::mem::take(&mut self.noted.waiting_metrics),
                metrics,
            };
            // Where nobody takes it any more, the thread says why.
            let _ = tasks.send(Task::Capture(Box::new(waiting)));
        }
        self.join_thread()
    }

    fn join_thread(&mut self) -> Result<(), RecordError> {
        self.hand_off.tasks = None;
        let Some(thread) = self.hand_off.thread.take() else {
            return Err(RecordError::Stopped);
        };
        let Ended { stats, result } = thread.join().map_err(|_| RecordError::Panicked)?;
        self.outcome.sink_stats = stats;
        result
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.hand_off.thread.is_none() {
            return;
        }
        match self.join() {
            Ok(_) => {
                tracing::warn!("a recorder was dropped before it was finished; all is published")
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a recorder was dropped before it was finished, and could not publish everything"
            ),
        }
    }
}

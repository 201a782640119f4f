//! The thread that publishes: whole captures, in the order in which they began, several at once.
//!
//! Invariants, by which 6 and 7 of `ARCHITECTURE.md` are kept:
//! 1. A capture is published when it has ended and all its parts are staged, never without one.
//! 2. It is published after every capture that began before it, in the same group or an earlier
//!    one; so nothing that follows a lost part is ever published.
//! 3. After a failed publish there is no other.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use trace::{CommitRecord, Group, PublishError, Publisher, StagedPart};

use crate::error::SinkError;
use crate::messages::{CaptureNumber, End, Event};
use crate::shared::Shared;
use crate::sync::channel::{Receiver, RecvTimeoutError, Sender};
use crate::sync::{Arc, Instant};

/// What is known of a capture that was not published yet.
#[derive(Default)]
struct Pending {
    /// In the order in which they were sent, whichever was encoded first.
    parts: BTreeMap<usize, StagedPart>,
    retired: Vec<String>,
    end: Option<(usize, End)>,
}

impl Pending {
    fn is_complete(&self) -> bool {
        self.end
            .is_some_and(|(num_parts, _)| num_parts == self.parts.len())
    }
}

struct GroupCommit {
    publisher: Publisher,
    shared: Arc<Shared>,
    min_interval: Duration,
    last_start: Option<Instant>,
    pending: BTreeMap<CaptureNumber, Pending>,
    /// The first capture that was not published.
    next: CaptureNumber,
    /// The first capture that is not complete.
    incomplete: CaptureNumber,
    /// Who waits for a flush, and for all captures before which number.
    flushes: Vec<(CaptureNumber, Sender<()>)>,
    /// A publish failed.
    is_broken: bool,
    /// A capture was begun that is not recorded.
    has_lost_capture: bool,
}

/// Publishes until all who could send an event are gone, then what is left, and seals the history.
pub(crate) fn run(
    publisher: Publisher,
    events: &Receiver<Event>,
    shared: &Arc<Shared>,
    min_interval: Duration,
) {
    let result = catch_unwind(AssertUnwindSafe(|| {
        let group_commit = GroupCommit {
            publisher,
            shared: Arc::clone(shared),
            min_interval,
            last_start: None,
            pending: BTreeMap::new(),
            next: 0,
            incomplete: 0,
            flushes: Vec::new(),
            is_broken: false,
            has_lost_capture: false,
        };
        group_commit.run(events);
    }));
    if let Err(payload) = result {
        shared.fail(SinkError::panicked(&*payload));
        // Nobody is kept waiting.
        for _ in events {}
    }
}

impl GroupCommit {
    fn run(mut self, events: &Receiver<Event>) {
        loop {
            let event = match self.waits_for() {
                None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(time) => events.recv_timeout(time),
            };
            match event {
                Ok(event) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Ok(event) = events.try_recv() {
                self.take(event);
            }
            if self.is_due() {
                self.publish();
            }
            self.answer_flushes();
        }
        self.publish_last();
        self.answer_flushes();
        if self.shared.failure().is_some() {
            // A disk on which something failed is not asked for more. Another sink may record on, and would delete
            // records without knowing what this publisher knows of roll-ups.
            if self.publisher.are_rollups_in_doubt() {
                let commits = self.shared.run.commits_dir();
                self.shared.fail(SinkError::RollUpInDoubt { commits });
            }
        } else if !self.is_broken
            && let Err(error) = self.publisher.seal()
        {
            // Everything is committed; opening the run takes a few files more.
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "could not roll up commits");
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Staged {
                capture,
                number,
                part,
            } => {
                let pending = self.pending.entry(capture).or_default();
                pending.parts.insert(number, part);
            }
            Event::Ended {
                capture,
                num_parts,
                retired,
                end,
            } => {
                self.has_lost_capture |= matches!(end, End::Abandoned);
                let pending = self.pending.entry(capture).or_default();
                pending.retired = retired;
                pending.end = Some((num_parts, end));
            }
            Event::Flush(answer) => {
                let has_ended = |n: &CaptureNumber| {
                    self.pending
                        .get(n)
                        .is_some_and(|pending| pending.end.is_some())
                };
                let target = (self.next..).find(|n| !has_ended(n));
                self.flushes
                    .push((target.expect("the numbers do not end"), answer));
            }
            Event::Failed => {}
        }
        if self.is_broken {
            self.pending.clear();
            return;
        }
        while self
            .pending
            .get(&self.incomplete)
            .is_some_and(Pending::is_complete)
        {
            self.incomplete += 1;
        }
    }

    /// How long until the next publish may start, if there is something to publish.
    fn waits_for(&self) -> Option<Duration> {
        (self.incomplete > self.next).then(|| {
            self.last_start.map_or(Duration::ZERO, |start| {
                self.min_interval.saturating_sub(start.elapsed())
            })
        })
    }

    fn is_due(&self) -> bool {
        let is_flushed = || {
            let target = self.flushes.iter().map(|(target, _)| *target).max();
            target.is_some_and(|target| self.incomplete >= target)
        };
        self.waits_for()
            .is_some_and(|time| time.is_zero() || is_flushed() || self.shared.failure().is_some())
    }

    /// Publishes the captures that are complete, up to the first that is not.
    fn publish(&mut self) {
        if self.is_broken || self.incomplete == self.next {
            return;
        }
        let group = self.group();
        if !group.captures.is_empty() || !group.parts.is_empty() || !group.retired.is_empty() {
            self.publish_group(group, Publisher::publish);
        }
    }

    /// Publishes what is left. If that is everything, the record says so, and that the session has ended:
    /// of one in which nothing was recorded there is none.
    fn publish_last(&mut self) {
        if self.is_broken || !self.is_everything() {
            return self.publish();
        }
        let group = self.group();
        let is_empty =
            group.captures.is_empty() && group.parts.is_empty() && group.retired.is_empty();
        if !is_empty {
            self.publish_group(group, Publisher::publish_last);
        } else if self.publisher.has_published() {
            match self.publisher.publish_last(group) {
                Ok(record) => self.shared.committed(&record),
                Err(error) => {
                    // Everything is committed; readers will take the session for one that was interrupted.
                    self.is_broken = true;
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "could not commit that the session has ended");
                }
            }
        }
    }

    /// Whether the session has ended as it should, and everything that was begun in it is committed or about
    /// to be. Who drops the sink, as a thread does that panics, has not said that there was no more.
    fn is_everything(&self) -> bool {
        let is_incomplete = self.pending.range(self.incomplete..).next().is_some();
        self.shared.is_finished()
            && self.shared.failure().is_none()
            && !self.has_lost_capture
            && !is_incomplete
    }

    /// Takes the captures that are complete, up to the first that is not.
    fn group(&mut self) -> Group {
        let mut group = Group::default();
        let rest = self.pending.split_off(&self.incomplete);
        for pending in std::mem::replace(&mut self.pending, rest).into_values() {
            if let Some((_, End::Whole(id))) = pending.end {
                group.captures.extend(id);
                group.parts.extend(pending.parts.into_values());
                group.retired.extend(pending.retired);
            }
        }
        self.next = self.incomplete;
        group
    }

    fn publish_group(
        &mut self,
        group: Group,
        publish: impl FnOnce(&mut Publisher, Group) -> Result<CommitRecord, PublishError>,
    ) {
        let (num_captures, num_files) = (group.captures.len(), group.parts.len());
        let start = Instant::now();
        self.last_start = Some(start);
        match publish(&mut self.publisher, group) {
            Ok(record) => {
                let time = start.elapsed();
                self.shared.counters.add_publish(num_captures as u64, time);
                self.shared.committed(&record);
                tracing::debug!(
                    number = record.number,
                    num_captures,
                    num_files,
                    elapsed_ms = time.as_secs_f64() * 1e3,
                    "published"
                );
            }
            Err(error) => {
                if let PublishError::NotCleanedUp { record, .. } = &error {
                    let time = start.elapsed();
                    self.shared.counters.add_publish(num_captures as u64, time);
                    self.shared.committed(record);
                }
                self.is_broken = true;
                self.pending.clear();
                self.shared
                    .fail(SinkError::publish(&self.shared.run, error));
            }
        }
    }

    /// Answers those whose captures are committed, and after a failure everybody.
    fn answer_flushes(&mut self) {
        let has_failed = self.shared.failure().is_some();
        self.flushes.retain(|(target, answer)| {
            let is_done = has_failed || self.next >= *target;
            if is_done {
                // Whoever asked may have gone away.
                let _ = answer.send(());
            }
            !is_done
        });
    }
}

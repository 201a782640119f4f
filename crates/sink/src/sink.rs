//! The sink: from rows in memory to committed captures.

use std::fmt;
use std::io;
use std::time::Duration;

use trace::{
    CaptureId, Compress, Crc32c, Group, MaxPartBytes, PartPath, PublishError, PublishStepError,
    Publisher, RUN_FILE, Rank, RunDir, WriterLock,
};

use crate::error::{SinkError, StartSinkError, explain_publish};
use crate::group_commit;
use crate::make_part::MakePart;
use crate::messages::{CaptureNumber, End, Event, Job};
use crate::on_commit::OnCommit;
use crate::shared::Shared;
use crate::stats::SinkStats;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::channel::{Sender, TrySendError, bounded};
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::{Arc, Instant};
use crate::worker;

/// Default of [`SinkOptions::channel_bytes`].
pub const DEFAULT_CHANNEL_BYTES: u64 = 256 * 1024 * 1024;

/// The most workers that are started unless told otherwise: making and encoding rows should not take the
/// cores that train.
pub const MAX_DEFAULT_WORKERS: usize = 4;

/// Default of [`SinkOptions::min_publish_interval`]. A publish flushes the file system three times:
/// four times a second that costs little, whatever the rate of captures.
pub const DEFAULT_MIN_PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

/// Captures that arrive in quick succession are published at most this far apart.
pub const MAX_PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// Parts that the channel holds at most; its budget of bytes is what should run out first
/// (`ARCHITECTURE.md`, invariant 9).
pub const CHANNEL_PARTS: usize = 1024;

/// Messages to the publisher that may wait: names of staged files, no rows. Whoever sends one more
/// waits (`ARCHITECTURE.md`, invariant 9).
const PUBLISHER_EVENTS: usize = 1024;

/// How a sink works.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// Bytes that parts hold which wait or are being made or encoded, at most
    /// ([`MakePart::most_bytes`]); a part that holds more goes alone.
    pub channel_bytes: u64,
    /// Threads that encode, at least one.
    pub num_workers: usize,
    /// This process among those that record the run.
    pub rank: Rank,
    /// The recorder's configuration, for the first commit record.
    pub session: Option<serde_json::Value>,
    /// Set where a run is gone on with, see [`SinkOptions::resume`].
    pub resume: Option<Resume>,
    /// The right to record of another sink of this process that has failed, where this one takes up its
    /// session ([`Sink::lock`], [`SinkError::is_for_want_of_room`]).
    pub taken_up: Option<Arc<WriterLock>>,
    /// Called by a worker before it writes a part file, for tests: it may wait, and what it says is the disk's
    /// answer.
    #[doc(hidden)]
    pub before_write: Option<BeforeWrite>,
    /// From the start of one publish to the start of the next, at least; captures that arrive
    /// meanwhile are published together. At most [`MAX_PUBLISH_INTERVAL`].
    pub min_publish_interval: Duration,
    /// Who is told of what was committed, if anybody.
    pub on_commit: Option<OnCommit>,
    /// Which columns are compressed, of part files and of roll-ups.
    pub compress: Compress,
    /// How much of a layer goes into one part file. The sink writes parts as they are sent: who makes them asks
    /// ([`Sink::max_part_bytes`]).
    pub max_part_bytes: MaxPartBytes,
}

impl Default for SinkOptions {
    fn default() -> Self {
        Self {
            channel_bytes: DEFAULT_CHANNEL_BYTES,
            num_workers: default_num_workers(),
            rank: Rank::default(),
            session: None,
            resume: None,
            taken_up: None,
            before_write: None,
            min_publish_interval: DEFAULT_MIN_PUBLISH_INTERVAL,
            on_commit: None,
            compress: Compress::default(),
            max_part_bytes: MaxPartBytes::default(),
        }
    }
}

/// What a worker calls before it writes the part file of a path ([`SinkOptions::before_write`]).
#[doc(hidden)]
#[derive(Clone)]
pub struct BeforeWrite(pub Arc<Hook>);

type Hook = dyn Fn(&PartPath) -> io::Result<()> + Send + Sync;

impl fmt::Debug for BeforeWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeforeWrite")
    }
}

/// How a sink goes on with a run that was recorded into before.
///
/// Before anything new is published a commit retires what the last session recorded after the
/// moment from which training resumes, and begins a session. Then those files are removed, and
/// others of the rank that no commit names: whoever reads the tables' directories sees nothing twice.
#[derive(Debug, Clone)]
pub struct Resume {
    /// The right to record, taken before anybody looked at what is to be retired.
    pub lock: Arc<WriterLock>,
    /// Paths of committed files that no longer belong to the run, below its directory.
    pub retired: Vec<String>,
}

/// What who closes a sink knows of the session ([`Sink::close`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It has ended as it should: everything that was to be recorded was sent.
    Finished,
    /// It was broken off: something was not sent. No record says that the session is finished.
    BrokenOff,
}

/// One worker for two cores; at least two, so that rows are made while another part is encoded, and at
/// most [`MAX_DEFAULT_WORKERS`].
pub fn default_num_workers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(2, MAX_DEFAULT_WORKERS)
}

/// Writes captures into a run.
///
/// # Ordering
/// Captures are committed in the order in which they began, whatever the order in which their
/// parts are encoded, and its commit names these in the order in which they were sent. One is committed
/// only with all its parts (`ARCHITECTURE.md`, invariant 6).
///
/// # Back-pressure
/// [`OpenCapture::send`] waits while the channel holds [`SinkOptions::channel_bytes`]. A part
/// counts with what it holds at most ([`MakePart::most_bytes`]) until its rows are made, and with these
/// until they are encoded. A publish that takes long slows the workers and, through them, the senders.
///
/// # Failures
/// The first failure of any thread is what every later call returns (`ARCHITECTURE.md`, invariant
/// 7). What was committed stays, captures that began before the one that failed and are whole are still committed, everything
/// else is dropped. Nobody is left waiting. Where it is for want of room
/// ([`SinkError::is_for_want_of_room`]) another sink can take up the session ([`SinkOptions::taken_up`]): with
/// files, a staging directory and a descriptor of its own, so that nothing is tried again.
///
/// # Shutdown
/// [`Sink::finish`] drains the channel, publishes, and joins the threads. If nothing failed and no capture
/// was discarded, the session's last record says that everything was recorded. [`Sink::close`] does the same
/// for who knows that it was not. Dropping the sink does as much as that, and can only log what went wrong, unless
/// a call returned it before.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    next_capture: AtomicU64,
    jobs: Option<Sender<Job>>,
    events: Option<Sender<Event>>,
    workers: Vec<JoinHandle<()>>,
    publisher: Option<JoinHandle<()>>,
    lock: Arc<WriterLock>,
    max_part_bytes: MaxPartBytes,
}

/// Tells what a sink has done so far, to another thread than the one that has it.
#[derive(Debug, Clone)]
pub struct SinkMeter(Arc<Shared>);

impl SinkMeter {
    /// What was done so far.
    pub fn stats(&self) -> SinkStats {
        let high_water = self.0.budget().high_water();
        self.0.counters.snapshot(high_water)
    }

    /// Bytes of the channel's budget that are taken, by parts that wait or are being made or encoded.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> u64 {
        self.0.budget().used.load(Ordering::SeqCst)
    }
}

/// What a sink did, from start to finish.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SinkSummary {
    /// The figures at the end.
    pub stats: SinkStats,
}

impl Sink {
    /// Starts the threads, and takes the run's writer lock until the sink is finished.
    ///
    /// # Errors
    /// If another process records into the run, or it cannot be published into.
    pub fn start(run: &RunDir, options: SinkOptions) -> Result<Self, StartSinkError> {
        let is_taken_up = options.taken_up.is_some();
        let (lock, retired) = match (options.resume, options.taken_up) {
            (Some(Resume { lock, retired }), _) => (lock, Some(retired)),
            (None, Some(lock)) => (lock, None),
            (None, None) => (Arc::new(run.lock_writer(options.rank)?), None),
        };
        let explain = |error| explain_publish(run, error);
        if is_taken_up {
            check_same_run(run).map_err(|error| explain(error.into()))?;
        }
        let publisher = Publisher::try_new(run, options.rank, options.session);
        let mut publisher = publisher.map_err(explain)?.with_compress(options.compress);
        let shared = Shared::new(run.clone(), options.channel_bytes, options.on_commit);
        let shared = Arc::new(shared);
        if let Some(retired) = retired {
            let record = publisher.publish(Group {
                retired,
                ..Group::default()
            });
            // What is committed is told, whatever comes after.
            if let Ok(record) = &record {
                shared.committed(record);
            } else if let Err(PublishError::NotCleanedUp { record, .. }) = &record {
                shared.committed(record);
            }
            record.map_err(explain)?;
            publisher.clear_leftovers().map_err(explain)?;
        }
        let staging = publisher.staging().clone();
        let (jobs, job_queue) = bounded(CHANNEL_PARTS);
        let (events, event_queue) = bounded(PUBLISHER_EVENTS);
        // From here on dropping the sink ends the threads that were started.
        let mut sink = Self {
            shared: Arc::clone(&shared),
            next_capture: AtomicU64::new(0),
            jobs: Some(jobs),
            events: Some(events),
            workers: Vec::new(),
            publisher: None,
            lock,
            max_part_bytes: options.max_part_bytes,
        };
        let min_interval = options.min_publish_interval.min(MAX_PUBLISH_INTERVAL);
        sink.publisher = Some(spawn("sink-publisher".to_owned(), {
            let shared = Arc::clone(&shared);
            move || group_commit::run(publisher, &event_queue, &shared, min_interval)
        })?);
        for index in 0..options.num_workers.max(1) {
            // Cloned from the sink's own, so that none outlives it if a thread cannot be started.
            let events = sink.events.clone().expect("taken by the shutdown alone");
            let job_queue = job_queue.clone();
            let (staging, shared) = (staging.clone(), Arc::clone(&shared));
            let before_write = options.before_write.clone();
            let compress = options.compress;
            sink.workers
                .push(spawn(format!("sink-worker-{index}"), move || {
                    worker::run(&job_queue, &events, &shared, |part| {
                        if let Some(BeforeWrite(hook)) = &before_write {
                            hook(&part.path).map_err(|source| SinkError::CreatePart {
                                path: shared.run.path().join(part.path.to_string()),
                                source: Arc::new(source),
                            })?;
                        }
                        worker::write_part(&part, &staging, &shared.run, compress)
                    });
                })?);
        }
        Ok(sink)
    }

    /// Begins a capture; `None` for rows that complete no capture, as the last metrics.
    pub fn begin(&self, capture: Option<CaptureId>) -> OpenCapture<'_> {
        OpenCapture {
            sink: self,
            id: capture,
            number: self.next_capture.fetch_add(1, Ordering::Relaxed),
            num_parts: 0,
            retired: Vec::new(),
            has_ended: false,
        }
    }

    /// The right to record, which another sink of this process may take up once this one has failed
    /// ([`SinkOptions::taken_up`]).
    pub fn lock(&self) -> Arc<WriterLock> {
        Arc::clone(&self.lock)
    }

    /// How much of a layer is to go into one part file ([`SinkOptions::max_part_bytes`]).
    pub fn max_part_bytes(&self) -> MaxPartBytes {
        self.max_part_bytes
    }

    /// What was done so far.
    pub fn stats(&self) -> SinkStats {
        self.meter().stats()
    }

    /// Tells what is done, as long as anybody asks.
    pub fn meter(&self) -> SinkMeter {
        SinkMeter(Arc::clone(&self.shared))
    }

    /// Returns once every capture that has ended is committed. Those behind a capture that is
    /// still open have to wait for it and are not waited for.
    ///
    /// # Errors
    /// If anything could not be recorded.
    pub fn flush(&self) -> Result<(), SinkError> {
        self.shared.check()?;
        let (answer, answered) = bounded(1);
        self.tell(Event::Flush(answer));
        // No answer means that the publisher is gone, and the failure says why.
        let _ = answered.recv();
        self.shared.check()
    }

    /// Commits everything that was sent, rolls up the commits, removes the staging directory and
    /// ends the threads. The last record says that the session has ended and everything was recorded, unless a
    /// capture was discarded.
    ///
    /// # Errors
    /// If anything could not be recorded.
    pub fn finish(self) -> Result<SinkSummary, SinkError> {
        let (stats, result) = self.close(Closing::Finished);
        result.map(|()| SinkSummary { stats })
    }

    /// Ends as [`Sink::finish`] does, and says what was done also where not all of it could be. If a sink failed
    /// for want of room, or of no fault of the disk, and by something worse until it had ended, that is what this
    /// returns.
    pub fn close(mut self, closing: Closing) -> (SinkStats, Result<(), SinkError>) {
        if closing == Closing::Finished {
            self.shared.finish();
        }
        self.shut_down();
        (self.stats(), self.shared.outcome())
    }

    fn tell(&self, event: Event) {
        let events = self.events.as_ref().expect("taken by the shutdown alone");
        events
            .send(event)
            .expect("the publisher receives until the shutdown");
    }

    fn submit(
        &self,
        capture: CaptureNumber,
        number: usize,
        part: Box<dyn MakePart>,
    ) -> Result<(), SinkError> {
        let num_parts = part.num_parts();
        self.shared.check()?;
        let Ok((permit, mut stalled)) = self.shared.budget().take(part.most_bytes()) else {
            return self.shared.check();
        };
        let job = Job {
            capture,
            number,
            num_parts,
            part,
            permit,
        };
        let jobs = self.jobs.as_ref().expect("taken by the shutdown alone");
        match jobs.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => {
                let start = Instant::now();
                jobs.send(job).expect("workers receive until the shutdown");
                stalled += start.elapsed();
            }
            Err(TrySendError::Disconnected(_)) => {
                unreachable!("workers receive until the shutdown")
            }
        }
        if !stalled.is_zero() {
            self.shared.counters.add_stall(stalled);
        }
        Ok(())
    }

    /// Ends the threads in the order of the data, each once it has nothing left to do.
    fn shut_down(&mut self) {
        self.jobs = None;
        for worker in self.workers.drain(..) {
            worker.join().expect("workers catch panics");
        }
        self.events = None;
        if let Some(publisher) = self.publisher.take() {
            publisher.join().expect("the publisher catches panics");
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if self.publisher.is_none() {
            return;
        }
        self.shut_down();
        // An error is said once: who had it returned says it, and then drops the sink.
        if let Some(error) = self.shared.unreturned_failure() {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "a sink was dropped without finish, and not everything was recorded"
            );
        }
    }
}

/// A capture whose parts are being sent. Dropped before [`OpenCapture::end`], it is discarded.
#[derive(Debug)]
#[must_use = "a capture that does not end is discarded"]
pub struct OpenCapture<'a> {
    sink: &'a Sink,
    id: Option<CaptureId>,
    number: CaptureNumber,
    num_parts: usize,
    retired: Vec<String>,
    has_ended: bool,
}

impl OpenCapture<'_> {
    /// Hands over one part: its rows as a [`Part`](trace::Part), or what a worker makes them of, or those of several
    /// parts; waits while the channel is full.
    ///
    /// # Errors
    /// If anything could not be recorded, be it of this part or of an earlier one.
    pub fn send(&mut self, part: impl MakePart + 'static) -> Result<(), SinkError> {
        let num_parts = part.num_parts();
        self.sink
            .submit(self.number, self.num_parts, Box::new(part))?;
        self.num_parts += num_parts;
        Ok(())
    }

    /// Bytes that the channel has room for now, without a wait; none while somebody waits for room.
    pub fn free_bytes(&self) -> u64 {
        self.sink.shared.budget().free_bytes()
    }

    /// Retires a part file that was sent before: from the commit on that holds this capture, it is
    /// no longer part of the run, and its file is removed. Its path is that below the run's
    /// directory.
    pub fn retire(&mut self, path: String) {
        self.retired.push(path);
    }

    /// Says that the capture is whole: it will be committed with all its parts.
    ///
    /// # Errors
    /// If anything could not be recorded so far.
    pub fn end(mut self) -> Result<(), SinkError> {
        self.tell_end(End::Whole(self.id));
        self.sink.shared.check()
    }

    fn tell_end(&mut self, end: End) {
        self.has_ended = true;
        self.sink.tell(Event::Ended {
            capture: self.number,
            num_parts: self.num_parts,
            retired: std::mem::take(&mut self.retired),
            end,
        });
    }
}

impl Drop for OpenCapture<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        // After a failure the caller knows already.
        if self.sink.shared.failure().is_none() {
            tracing::warn!(
                capture = ?self.id,
                num_parts = self.num_parts,
                "a capture was dropped before it ended; it is not recorded"
            );
        }
        self.tell_end(End::Abandoned);
    }
}

/// Checks that the run is still where it was: nothing is begun where it was moved away or unmounted.
fn check_same_run(run: &RunDir) -> Result<(), PublishStepError> {
    let path = run.path().join(RUN_FILE);
    let is_same = |bytes: Vec<u8>| match Crc32c::of(&bytes) == run.crc32c() {
        true => Ok(()),
        false => Err(io::Error::other("another run is there now")),
    };
    run.store()
        .read_run()
        .and_then(is_same)
        .map_err(|source| PublishStepError::Io {
            operation: "read",
            path,
            source,
        })
}

fn spawn(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, StartSinkError> {
    Builder::new()
        .name(name.clone())
        .spawn(body)
        .map_err(|source| StartSinkError::Spawn { name, source })
}

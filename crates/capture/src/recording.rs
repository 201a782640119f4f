//! A recording: from what a framework hands over to the sink, on a thread of its own.
//!
//! [`Recording::hand_over`] → one snapshot at a time → the thread `capture`: [`Source::read`] →
//! [`sink::Sink`], whose workers make rows and statistics of what was read. It is driven by a recorder of a framework, which makes a [`Source`] of what
//! a capture needs of the network, and knows no tensors itself.
//!
//! **Ordering.** Captures become part of the run in the order in which they were handed over
//! (ARCHITECTURE.md, invariant 6).
//! **Back-pressure.** The hand-off has room for one snapshot, from its capture until its values
//! are on the host: a training loop that is faster than its recorder waits in
//! [`Recording::hand_over`], and never holds a second snapshot; or the capture is dropped, where
//! [`WhenFull`] says so; and with [`Limits::max_overhead`] fewer captures are taken. The channel to the sink is
//! bounded in bytes, and blocks the capture thread, which brings no more from the device at once
//! than the channel has room for with the rows that are made of it, or one layer.
//! **Shutdown.** [`Recording::finish`] waits until everything is committed. A failure anywhere
//! is returned by the next call, or said where [`OnError`] lets training go on; what was committed
//! before stays. A failure of the device is always returned: it is training's.

mod cost;
mod decide;
mod disk;
mod diverged;
mod finish;
mod governor;
mod hand_off;
mod hand_over;
mod histograms;
mod interference;
mod layers;
mod limits;
mod outcome;
mod phases;
mod place;
mod raw_part;
mod recorded;
mod same_weights;
mod selection;
mod source;
mod take_up;
mod thread;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use sink::{Sink, SinkOptions, SinkStats};
use trace::{CaptureId, Epoch, Generation, RunDir, Step, Topology};

use crate::evaluation::Classifications;
use crate::rows::Metric;
use crate::saved_state::StateTensor;
use crate::schedule::Schedule;

pub use decide::Decision;
use decide::{Clock, Moments};
use governor::Governor;
pub use governor::{DEFAULT_MAX_OVERHEAD, MaxOverhead, ParseMaxOverheadError};
use hand_off::HandOff;
use hand_over::Noted;
pub use layers::NetworkLayers;
use limits::MAX_WAITING_METRICS;
pub use limits::{Limits, OnError, WhenFull};
use outcome::Outcome;
pub use outcome::{RecordError, RecordSummary};
pub use phases::{ParsePhasesError, Phases};
pub(crate) use recorded::in_todays_words;
pub use recorded::{
    ActivationDetail, CHANNEL_CAPTURES, DEFAULT_ACTIVATION_SAMPLES, MIN_CHANNEL_BYTES, Recorded,
    TooManyActivationsError, WeightDetail,
};
pub use selection::{LayerSelection, SelectLayersError, choose_units};
pub use source::{BoxError, PartOf, Source, TensorKind, UnreadPart, Values};
pub use take_up::Change;
use take_up::Standing;
use thread::Ended;

/// What the untrained network is captured as.
pub const INITIAL: CaptureId = CaptureId {
    epoch: Epoch(-1),
    step: Step(0),
};

/// Which file of metrics of its moment says what was lost: one more than there can be else.
const LOST_SEQUENCE: u32 = 9;

/// What the capture thread is given: only what is recorded.
struct Capture {
    id: CaptureId,
    /// What is read of the network; none where it was not captured, and there are metrics alone.
    network: Option<Box<dyn Source>>,
    classifications: Option<Classifications>,
    /// Metrics of earlier moments, for which there was no room.
    waiting_metrics: Vec<(CaptureId, Vec<Metric>)>,
    metrics: Vec<Metric>,
}

/// What training can go on from, before it is read.
pub struct State {
    /// What becomes of each tensor of the layers: values of [`TensorKind::Weights`], of every layer.
    pub tensors: [(StateTensor, Box<dyn Source>); 3],
    /// Steps that changed the parameters: Adam's time.
    pub num_updates: i64,
}

/// What training can go on from, and is to be written.
struct StateToSave {
    id: CaptureId,
    /// None where there is nothing to go on with any more: the last one is retired alone.
    state: Option<State>,
}

/// What the capture thread is handed.
enum Task {
    Capture(Box<Capture>),
    State(StateToSave),
}

/// Where a recorder begins in its run.
#[derive(Debug, Default)]
pub struct Origin {
    /// How often the run was resumed.
    pub generation: Generation,
    /// The part files of the saved state that training goes on from: the next one retires them.
    pub state_files: Vec<String>,
    /// The moment from which training goes on: what is recorded comes after it.
    pub after: Option<CaptureId>,
    /// Whether the run has a capture of that moment.
    pub is_captured: bool,
}

/// A run that is being recorded, whatever the framework: which captures are due and taken, the hand-off
/// to the capture thread, and how it ends.
///
/// Whoever drives it asks with [`Recording::decide`] whether the network is captured at a moment, makes a
/// [`Source`] if it is, and hands it over with [`Recording::hand_over`].
#[derive(Debug)]
pub struct Recording {
    run: RunDir,
    recorded: Recorded,
    layers: Arc<NetworkLayers>,
    /// Which layers are recorded.
    selected: Vec<bool>,
    /// Whether the parameters of all layers are read at a capture, for ranks to be compared.
    compares_ranks: bool,
    /// Which layers' parameters are read at a capture.
    read: Vec<bool>,
    schedule: Schedule,
    /// The last epoch, where it is known beforehand.
    last_epoch: Option<Epoch>,
    limits: Limits,
    noted: Noted,
    moments: Moments,
    clock: Clock,
    hand_off: HandOff<Task, Ended>,
    progress: Arc<Progress>,
    outcome: Outcome,
    /// For another sink, should the first one fail for want of room.
    sink_options: SinkOptions,
}

/// When a capture is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    EndOf(i32),
    After(i64),
}

/// What a recorder is to do.
#[derive(Debug)]
pub struct Plan {
    /// What of each capture is recorded.
    pub recorded: Recorded,
    /// Which layers are recorded.
    pub selected: Vec<bool>,
    /// When the network is captured.
    pub schedule: Schedule,
    /// The last epoch, where it is known beforehand.
    pub last_epoch: Option<Epoch>,
    /// Where in the run it begins.
    pub origin: Origin,
    /// What recording may take.
    pub limits: Limits,
    /// Whether the owner says what goes wrong ([`Recording::failure`]); else it is logged.
    pub owner_reports: bool,
}

/// Figures that both threads know.
#[derive(Debug, Default)]
struct Progress {
    /// Nanoseconds that the training thread spent on captures.
    hand_off_ns: AtomicU64,
    /// Nanoseconds of these for which there was no room.
    stall_ns: AtomicU64,
    /// Nanoseconds that the capture thread worked: on reading, and on what it makes of the values itself.
    work_ns: AtomicU64,
    /// Bytes of part files written so far.
    part_bytes: AtomicU64,
    /// Captures for which there was no room.
    dropped_captures: AtomicU64,
    /// Captures that the budget did not allow.
    thinned_captures: AtomicU64,
    /// Captures that might have taken more of the disk than is allowed.
    over_disk_captures: AtomicU64,
    /// Those of them that had been handed over.
    refused_captures: AtomicU64,
    /// Captures that whoever drives the recording could not make.
    missed_captures: AtomicU64,
    /// Whether there was one that might have taken more of the disk than is allowed: nothing is captured any more.
    is_disk_full: AtomicBool,
    /// Whether a read found that the device has failed: the thread ends.
    has_device_failed: AtomicBool,
    /// Whether the owner has said that nothing more comes, before the thread is told to end.
    is_finished: AtomicBool,
    /// Whether something that was to be recorded is lost: no record says that the session is finished.
    has_lost: AtomicBool,
}

impl Progress {
    fn add_work(&self, time: Duration) {
        let time = time.as_nanos() as u64;
        self.work_ns.fetch_add(time, Ordering::Relaxed);
    }

    /// A read has failed, before its error is on the way.
    fn tell_device_failed(&self) {
        self.has_device_failed.store(true, Ordering::Release);
    }

    fn has_device_failed(&self) -> bool {
        self.has_device_failed.load(Ordering::Acquire)
    }

    /// Something is lost.
    fn lose(&self) {
        self.has_lost.store(true, Ordering::Release);
    }

    fn has_lost(&self) -> bool {
        self.has_lost.load(Ordering::Acquire)
    }

    /// Nothing more comes.
    fn finish(&self) {
        self.is_finished.store(true, Ordering::Release);
    }

    fn is_finished(&self) -> bool {
        self.is_finished.load(Ordering::Acquire)
    }
}

impl Recording {
    /// Starts recording into `run`, which no other process may be writing.
    ///
    /// # Errors
    /// If the run cannot be written, or there are no threads to be had.
    pub fn start(
        run: &RunDir,
        layers: Arc<NetworkLayers>,
        plan: Plan,
        sink_options: SinkOptions,
    ) -> Result<Self, RecordError> {
        Self::start_after(run, layers, plan, sink_options, || {})
    }

    /// As [`Recording::start`], for tests of recorders: the capture thread calls `first` before anything else,
    /// so that a test can hold it up.
    ///
    /// # Errors
    /// As for [`Recording::start`].
    #[doc(hidden)]
    pub fn start_after(
        run: &RunDir,
        layers: Arc<NetworkLayers>,
        plan: Plan,
        sink_options: SinkOptions,
        first: impl FnOnce() + Send + 'static,
    ) -> Result<Self, RecordError> {
        let rank = sink_options.rank;
        let max_disk = plan.limits.max_disk;
        let sink = Sink::start(run, sink_options.clone())?;
        // For another sink, should this one fail for want of room.
        let sink_options = SinkOptions {
            // Of a run that is gone on with, the first commit is there already.
            session: sink_options
                .session
                .filter(|_| sink_options.resume.is_none()),
            resume: None,
            taken_up: (plan.limits.on_error == OnError::Continue).then(|| sink.lock()),
            ..sink_options
        };
        let meter = sink.meter();
        let disk = max_disk.map(|max| disk::DiskBudget::new(run.path(), max));
        let disk = disk.transpose()?;
        let progress = Arc::new(Progress::default());
        let compares_ranks = run.info().world_size > 1 && plan.recorded.metrics;
        let thread = thread::CaptureThread {
            run: run.clone(),
            layers: Arc::clone(&layers),
            recorded: plan.recorded,
            compares_ranks,
            rank,
            generation: plan.origin.generation,
            state_files: plan.origin.state_files,
            is_state_known: true,
            saves_state: false,
            disk,
            past: SinkStats::default(),
            progress: Arc::clone(&progress),
            reported: cost::Reported::default(),
            metrics_files: thread::MetricsFiles::default(),
            diverged: diverged::Diverged::default(),
        };
        let hand_off = take_up::launch(Box::new(thread), sink, None, first)?;
        Ok(Self {
            run: run.clone(),
            recorded: plan.recorded,
            noted: Noted::default(),
            layers,
            compares_ranks,
            read: plan
                .selected
                .iter()
                .map(|is_recorded| *is_recorded || compares_ranks)
                .collect(),
            selected: plan.selected,
            schedule: plan.schedule,
            last_epoch: plan.last_epoch,
            limits: plan.limits,
            moments: Moments {
                last: plan.origin.after,
                last_is_step: false,
                captured: plan.origin.after.filter(|_| plan.origin.is_captured),
            },
            clock: Clock::start(plan.limits.overhead().map(Governor::new), meter),
            hand_off,
            progress,
            outcome: Outcome::new(plan.owner_reports),
            sink_options,
        })
    }

    /// The run's directory.
    pub fn run_path(&self) -> &Path {
        self.run.path()
    }

    /// The network's layers, as they are recorded.
    pub fn topology(&self) -> &Topology {
        self.layers.topology()
    }

    /// Whether the network will be captured at the end of `epoch`: whoever asks first can spare a forward
    /// pass that is made for the recorder alone.
    ///
    /// Where the last step of the epoch is due by its number, or was captured already, that counts
    /// as well.
    pub fn is_due(&self, epoch: i32) -> bool {
        self.is_scheduled(epoch) && self.is_taken(Moment::EndOf(epoch))
    }

    /// Whether the network will be captured after `step`.
    pub fn is_step_due(&self, step: i64) -> bool {
        self.schedule.is_step_due(Step(step)) && self.is_taken(Moment::After(step))
    }

    /// Whether the network will be captured at the end of `id`'s epoch, whose last step is its step.
    pub fn is_end_due(&self, id: CaptureId) -> bool {
        let moment = self.moment(id, true);
        moment.is_some_and(|moment| self.is_taken(moment))
    }

    /// Whether the last capture is that of `id`.
    pub fn is_end_captured(&self, id: CaptureId) -> bool {
        self.moments.captured == Some(id)
    }

    /// What of each capture is recorded.
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// Which layers are recorded, by layer.
    pub fn selected(&self) -> &[bool] {
        &self.selected
    }

    /// Which layers' parameters a capture needs, by layer: also those that are only compared with other
    /// ranks'.
    pub fn read(&self) -> &[bool] {
        &self.read
    }

    /// As what the parameters of a layer go into a capture; none if they do not.
    pub fn parameters_of(&self, layer: usize) -> Option<TensorKind> {
        match self.recorded.weights.is_some() && self.selected[layer] {
            true => Some(TensorKind::Weights),
            false => self.compares_ranks.then_some(TensorKind::Checked),
        }
    }

    /// Notes a figure for the next moment that is handed over: [`PHASE_TRAIN`](crate::rows::PHASE_TRAIN),
    /// [`PHASE_EVAL`](crate::rows::PHASE_EVAL), or none where it is neither's.
    pub fn metric(&mut self, phase: Option<&'static str>, name: &str, value: f64) {
        if self.recorded.metrics {
            self.noted.metrics.push(Metric {
                phase,
                name: name.to_owned(),
                value,
            });
        }
    }

    /// Notes what the network said of all held-out samples, for the next capture.
    pub fn classified(&mut self, rows: Classifications) {
        if self.recorded.classifications {
            self.noted.classifications = Some(rows);
        }
    }

    /// Notes figures of an epoch that has ended with `id`, where they are known only later: they are
    /// that epoch's, however far training has come. They are recorded with the next capture, or when
    /// the recording is finished.
    pub fn late_metrics(&mut self, id: CaptureId, metrics: Vec<Metric>) {
        self.keep_metrics(id, metrics);
    }

    /// Keeps metrics of a moment until there is a capture that takes them along, unless nothing does any more.
    fn keep_metrics(&mut self, id: CaptureId, metrics: Vec<Metric>) {
        let waiting = &mut self.noted.waiting_metrics;
        let has_room = match &self.outcome.standing {
            Standing::Recording | Standing::Trying(_) => true,
            Standing::Waiting(_) => waiting.len() < MAX_WAITING_METRICS,
            Standing::Over => false,
        };
        if self.recorded.metrics && has_room && !self.progress.is_disk_full.load(Ordering::Relaxed)
        {
            waiting.push((id, metrics));
        }
    }

    /// Counts time that the caller's thread spent for the recorder alone since the last capture, as
    /// on a forward pass that a capture needs and training does not: it is recording's cost, and
    /// within [`Limits::max_overhead`].
    pub fn spent(&mut self, time: Duration) {
        self.clock.spent += time;
        let counter = &self.progress.hand_off_ns;
        counter.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// By what the schedule names a moment, if it does and it was not captured yet.
    fn moment(&self, id: CaptureId, is_end: bool) -> Option<Moment> {
        if is_end && self.is_scheduled(id.epoch.0) {
            (self.moments.captured != Some(id)).then_some(Moment::EndOf(id.epoch.0))
        } else if self.moments.last != Some(id) && self.schedule.is_step_due(id.step) {
            Some(Moment::After(id.step.0))
        } else {
            None
        }
    }

    /// The step of the last capture, or of the one after which the run is gone on with; 0 before any.
    pub fn last_step(&self) -> i64 {
        self.moments.last.map_or(0, |last| last.step.0.max(0))
    }

    /// Whether a capture that is due is taken. What was said once is said again.
    fn is_taken(&self, moment: Moment) -> bool {
        if self.is_disk_full() {
            return false;
        }
        match &self.outcome.standing {
            Standing::Recording | Standing::Trying(_) => {}
            Standing::Waiting(waiting) => return self.may_take_up(waiting, moment),
            Standing::Over => return false,
        }
        let Some(governor) = &self.clock.governor else {
            return true;
        };
        // The network that training ended with.
        if self.last_epoch.map(|last| Moment::EndOf(last.0)) == Some(moment) {
            return true;
        }
        if let Some((asked, answer)) = self.clock.answer.get()
            && asked == moment
        {
            return answer;
        }
        let trained = self
            .clock
            .training_since
            .elapsed()
            .saturating_sub(self.clock.spent);
        let answer = governor.takes(
            trained,
            self.work().saturating_sub(self.clock.reported_work),
        );
        self.clock.answer.set(Some((moment, answer)));
        answer
    }

    /// How long the recorder's threads have worked, all together. What they wait for the disk is no work:
    /// it takes nothing from training.
    fn work(&self) -> Duration {
        let capture_thread = self.progress.work_ns.load(Ordering::Relaxed);
        Duration::from_nanos(capture_thread) + self.clock.workers()
    }

    fn is_scheduled(&self, epoch: i32) -> bool {
        let last = self.last_epoch.unwrap_or(Epoch(i32::MAX));
        self.schedule.is_due(Epoch(epoch), last)
    }
}

#[cfg(test)]
mod tests;

//! Recording: from the training loop's tensor handles to the sink, on a thread of its own.
//!
//! `TraceRecorder::capture` → one snapshot at a time → the thread `capture`: device to host, rows,
//! statistics → [`sink::Sink`].
//!
//! **Ordering.** Captures become part of the run in the order in which they were handed over
//! (ARCHITECTURE.md, invariant 6).
//! **Back-pressure.** The hand-off has room for one snapshot, from its capture until its values
//! are on the host: a training loop that is faster than its recorder waits in
//! [`TraceRecorder::capture`], and never holds a second snapshot; or the capture is dropped, where
//! [`WhenFull`] says so; and with [`Limits::max_overhead`] fewer captures are taken. The channel to the sink is
//! bounded in bytes, and blocks the capture thread, which brings no more from the device at once
//! than the channel has room for, or one layer.
//! **Shutdown.** [`TraceRecorder::finish`] waits until everything is committed. A failure anywhere
//! is returned by the next call, or said where [`OnError`] lets training go on; what was committed
//! before stays.

mod builder;
mod cost;
mod disk;
mod governor;
mod handle;
mod in_flight;
mod limits;
mod module;
mod optimizer;
mod outcome;
mod outputs;
mod phases;
mod recorded;
mod selection;
mod thread;
mod unread;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use burn::module::{AutodiffModule, Module};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn_std::stream_id::StreamId;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use sink::{Sink, SinkOptions, SinkStats};
use trace::{CaptureId, Epoch, Generation, Rank, RunDir, Step, Topology};

use crate::dataset::Targets;
use crate::evaluation::Classifications;
use crate::model::Loss;
use crate::rows::{Metric, PHASE_EVAL, PHASE_TRAIN, RowKey, SampleSet};
use crate::schedule::Schedule;

pub use builder::{StartError, TraceRecorderBuilder};
use governor::Governor;
pub use governor::{DEFAULT_MAX_OVERHEAD, MaxOverhead, ParseMaxOverheadError};
use handle::{BatchHandle, UnitAxis};
use limits::MAX_WAITING_METRICS;
pub use limits::{Limits, OnError, WhenFull};
use module::LayerHandles;
pub(crate) use module::ModuleLayers;
pub use module::{ModuleError, OtherModuleError};
use optimizer::{AdamMoment, Gradients, OptimizerState, TrainState};
pub use optimizer::{AdamMoments, KeepsMoments};
pub use outcome::{RecordError, RecordSummary};
use outputs::Outputs;
pub use phases::{ParsePhasesError, Phases};
pub use recorded::{
    ActivationDetail, CHANNEL_CAPTURES, DEFAULT_ACTIVATION_SAMPLES, MIN_CHANNEL_BYTES, Recorded,
    TooManyActivationsError, WeightDetail,
};
pub(crate) use selection::choose_units;
pub use selection::{LayerSelection, SelectLayersError};
use thread::Ended;
use unread::{Handles, TensorKind};

/// What the untrained network is captured as.
const INITIAL: CaptureId = CaptureId {
    epoch: Epoch(-1),
    step: Step(0),
};

fn capture_id(epoch: i32, step: i64) -> CaptureId {
    CaptureId {
        epoch: Epoch(epoch),
        step: Step(step),
    }
}

/// Which file of metrics of its moment says what was lost: one more than there can be else.
const LOST_SEQUENCE: u32 = 9;

/// What the capture thread is given: only what is recorded, and on which stream it was computed.
#[derive(Debug)]
struct Capture<B: Backend> {
    id: CaptureId,
    /// Whether the network was captured; without it there are metrics alone.
    is_whole: bool,
    stream: StreamId,
    /// What becomes one part file each, in the order in which it is read.
    handles: Vec<Handles<B>>,
    classifications: Option<Classifications>,
    /// Metrics of earlier moments, for which there was no room.
    waiting_metrics: Vec<(CaptureId, Vec<Metric>)>,
    metrics: Vec<Metric>,
}

/// What training can go on from, and is to be written.
#[derive(Debug)]
struct Checkpoint<B: Backend> {
    id: CaptureId,
    stream: StreamId,
    /// None where there is nothing to go on with any more: the last one is retired alone.
    state: Option<TrainState<B>>,
}

/// What the capture thread is handed.
#[derive(Debug)]
enum Work<B: Backend> {
    Capture(Box<Capture<B>>),
    Checkpoint(Checkpoint<B>),
}

/// Where a recorder begins in its run.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// How often the run was resumed.
    pub(crate) generation: Generation,
    /// The part files of the checkpoint that training goes on from: the next one retires them.
    pub(crate) checkpoint: Vec<String>,
}

/// What was handed over since the last capture, and waits for the next.
#[derive(Debug)]
struct Pending<B: Backend> {
    /// Held-out batches, by layer.
    activations: Vec<Vec<BatchHandle<B>>>,
    /// Training batches by their number, by layer.
    train_activations: Vec<BTreeMap<i32, Vec<BatchHandle<B>>>>,
    /// Gradients and moments, by layer.
    optimizer: Vec<(TensorKind, LayerHandles<B>)>,
    outputs: Option<Outputs<B>>,
    classifications: Option<Classifications>,
    metrics: Vec<Metric>,
}

impl<B: Backend> Pending<B> {
    fn new(num_layers: usize) -> Self {
        Self {
            activations: (0..num_layers).map(|_| Vec::new()).collect(),
            train_activations: (0..num_layers).map(|_| BTreeMap::new()).collect(),
            optimizer: Vec::new(),
            outputs: None,
            classifications: None,
            metrics: Vec::new(),
        }
    }
}

/// Records a network while it trains.
///
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn::nn::LinearConfig;
/// use recorder::TraceRecorder;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let traces = directory.path().join("linear");
/// let model = LinearConfig::new(4, 3).init::<Autodiff<Flex>>(&Default::default());
/// # let inputs = burn::tensor::Tensor::<_, 2>::zeros([1, 4], &Default::default());
/// # let _ = model.forward(inputs);
/// let mut recorder = TraceRecorder::builder(traces).start(&model)?;
/// for epoch in 0..3 {
///     // ... the training loop, as it is ...
///     recorder.capture(&model, epoch, 100 * (i64::from(epoch) + 1))?;
/// }
/// let summary = recorder.finish()?;
/// assert_eq!(summary.num_captures, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TraceRecorder<B: Backend> {
    run: RunDir,
    recorded: Recorded,
    layers: Arc<ModuleLayers>,
    /// Which layers are recorded.
    selected: Vec<bool>,
    schedule: Schedule,
    /// The last epoch, where it is known beforehand.
    last_epoch: Option<Epoch>,
    limits: Limits,
    pending: Pending<B>,
    /// Metrics of earlier moments, for which there was no room.
    waiting_metrics: Vec<(CaptureId, Vec<Metric>)>,
    /// The last moment that was recorded, or was to be.
    last: Option<CaptureId>,
    /// Whether that was inside of an epoch, or at its last step and before its end.
    last_is_step: bool,
    /// The last capture that was handed over.
    captured: Option<CaptureId>,
    /// Which of the due captures are taken; none where all are.
    governor: Option<Governor>,
    /// Since when the caller's thread has been training, as far as the governor was told.
    training_since: Instant,
    /// Time in it that the caller spent for the recorder.
    spent: Duration,
    /// What [`TraceRecorder::is_due`] said last, so that the capture that follows is of one mind.
    answer: Cell<Option<(Moment, bool)>>,
    /// None once finished.
    hand_off: Option<Sender<Work<B>>>,
    /// A token for every snapshot that may be held.
    room: Receiver<()>,
    thread: Option<JoinHandle<Ended>>,
    progress: Arc<Progress>,
    /// Captures that were handed over.
    num_captures: u64,
    /// Captures that were due after recording had failed.
    num_missed: u64,
    /// Why recording failed, where training goes on without it.
    failure: Option<Arc<RecordError>>,
    /// Whether the owner says what goes wrong; else it is logged.
    owner_tells: bool,
    has_told_disk_full: bool,
    rank: Rank,
    generation: Generation,
    /// What the sink did, once it has ended.
    sink_stats: SinkStats,
}

/// When a capture is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    EndOf(i32),
    After(i64),
}

/// What a recorder is to do.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) recorded: Recorded,
    pub(crate) layers: ModuleLayers,
    /// Which layers are recorded.
    pub(crate) selected: Vec<bool>,
    pub(crate) schedule: Schedule,
    /// The last epoch, where it is known beforehand.
    pub(crate) last_epoch: Option<Epoch>,
    /// Where in the run it begins.
    pub(crate) origin: Origin,
    pub(crate) limits: Limits,
    /// Whether the owner says what goes wrong ([`TraceRecorder::failure`]); else it is logged.
    pub(crate) owner_tells: bool,
}

/// Figures that both threads know.
#[derive(Debug, Default)]
struct Progress {
    /// Nanoseconds that the training thread spent on captures.
    hand_off_ns: AtomicU64,
    /// Nanoseconds of these for which there was no room.
    stall_ns: AtomicU64,
    /// Bytes of part files written so far.
    part_bytes: AtomicU64,
    /// Captures for which there was no room.
    dropped_captures: AtomicU64,
    /// Captures that the budget did not allow.
    thinned_captures: AtomicU64,
    /// Captures that might have taken more of the disk than is allowed.
    over_disk_captures: AtomicU64,
    /// Whether there was one: nothing is captured any more.
    is_disk_full: AtomicBool,
}

impl<B: Backend> TraceRecorder<B> {
    /// Begins to say what is recorded, into the directory `run`, which must not exist or be empty.
    pub fn builder(run: impl Into<PathBuf>) -> TraceRecorderBuilder<B> {
        TraceRecorderBuilder::new(run.into())
    }

    /// Starts recording into `run`, which no other process may be writing.
    ///
    /// # Errors
    /// If the run cannot be written, or there are no threads to be had.
    pub(crate) fn start(
        run: &RunDir,
        plan: Plan,
        sink_options: SinkOptions,
    ) -> Result<Self, RecordError> {
        Self::start_after(run, plan, sink_options, || {})
    }

    /// Starts as [`TraceRecorder::start`] does; the capture thread calls `first` before anything
    /// else, so that a test can hold it up.
    fn start_after(
        run: &RunDir,
        plan: Plan,
        sink_options: SinkOptions,
        first: impl FnOnce() + Send + 'static,
    ) -> Result<Self, RecordError> {
        let rank = sink_options.rank;
        let channel_bytes = sink_options.channel_bytes;
        let max_disk = plan.limits.max_disk;
        let sink = Sink::start(run, sink_options)?;
        let disk = max_disk.map(|max| disk::DiskBudget::new(run.path(), max));
        let disk = disk.transpose()?;
        // A token and a snapshot travel in a circle: neither channel is ever full, and there is
        // never a second snapshot (ARCHITECTURE.md, invariant 9).
        let (hand_off, captures) = bounded(1);
        let (give_back, room) = bounded(1);
        give_back.send(()).expect("both ends are here");
        let progress = Arc::new(Progress::default());
        let layers = Arc::new(plan.layers);
        let worker = thread::CaptureThread {
            layers: Arc::clone(&layers),
            recorded: plan.recorded,
            rank,
            generation: plan.origin.generation,
            checkpoint: plan.origin.checkpoint,
            in_flight: in_flight::InFlight::new(channel_bytes),
            disk,
            sink,
            captures,
            give_back,
            progress: Arc::clone(&progress),
            reported: cost::Reported::default(),
            metrics_files: thread::MetricsFiles::default(),
        };
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || worker.run(first))
            .map_err(RecordError::Spawn)?;
        Ok(Self {
            run: run.clone(),
            recorded: plan.recorded,
            pending: Pending::new(layers.topology().layers().len()),
            layers,
            selected: plan.selected,
            schedule: plan.schedule,
            last_epoch: plan.last_epoch,
            limits: plan.limits,
            waiting_metrics: Vec::new(),
            last: None,
            last_is_step: false,
            captured: None,
            governor: plan.limits.overhead().map(Governor::new),
            training_since: Instant::now(),
            spent: Duration::ZERO,
            answer: Cell::new(None),
            hand_off: Some(hand_off),
            room,
            thread: Some(thread),
            progress,
            num_captures: 0,
            num_missed: 0,
            failure: None,
            owner_tells: plan.owner_tells,
            has_told_disk_full: false,
            rank,
            generation: plan.origin.generation,
            sink_stats: SinkStats::default(),
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

    /// Whether [`TraceRecorder::capture`] will capture the network at the end of `epoch`: whoever
    /// asks first can spare a forward pass that is made for the recorder alone.
    ///
    /// Where the last step of the epoch is due by its number, or was captured already, that counts
    /// as well: see [`TraceRecorder::capture`].
    pub fn is_due(&self, epoch: i32) -> bool {
        self.is_scheduled(epoch) && self.is_taken(Moment::EndOf(epoch))
    }

    /// Whether [`TraceRecorder::capture_step`] will capture the network after `step`.
    pub fn is_step_due(&self, step: i64) -> bool {
        self.schedule.is_step_due(Step(step)) && self.is_taken(Moment::After(step))
    }

    /// Whether [`TraceRecorder::capture`] will capture the network at the end of `epoch`, whose last
    /// step is `step`.
    pub(crate) fn is_end_due(&self, epoch: i32, step: i64) -> bool {
        let moment = self.moment(capture_id(epoch, step), true);
        moment.is_some_and(|moment| self.is_taken(moment))
    }

    /// Whether the last capture is that of `id`.
    pub(crate) fn is_end_captured(&self, id: CaptureId) -> bool {
        self.captured == Some(id)
    }

    /// Whether anything that held-out samples say is recorded.
    pub(crate) fn records_evaluation(&self) -> bool {
        self.recorded.classifications
            || (self.recorded.activations.is_some() && self.recorded.phases.eval)
    }

    /// Counts time that the caller's thread spent for the recorder alone since the last capture, as
    /// on a forward pass that a capture needs and training does not: it is recording's cost, and
    /// within [`Limits::max_overhead`].
    pub fn spent(&mut self, time: Duration) {
        self.spent += time;
        let counter = &self.progress.hand_off_ns;
        counter.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// By what the schedule names a moment, if it does and it was not captured yet.
    fn moment(&self, id: CaptureId, is_end: bool) -> Option<Moment> {
        if is_end && self.is_scheduled(id.epoch.0) {
            (self.captured != Some(id)).then_some(Moment::EndOf(id.epoch.0))
        } else if self.last != Some(id) && self.schedule.is_step_due(id.step) {
            Some(Moment::After(id.step.0))
        } else {
            None
        }
    }

    /// Whether a capture that is due is taken. What was said once is said again.
    fn is_taken(&self, moment: Moment) -> bool {
        if self.failure.is_some() || self.is_disk_full() {
            return false;
        }
        let Some(governor) = &self.governor else {
            return true;
        };
        // The network that training ended with.
        if self.last_epoch.map(|last| Moment::EndOf(last.0)) == Some(moment) {
            return true;
        }
        if let Some((asked, answer)) = self.answer.get()
            && asked == moment
        {
            return answer;
        }
        let trained = self.training_since.elapsed().saturating_sub(self.spent);
        let answer = governor.takes(trained);
        self.answer.set(Some((moment, answer)));
        answer
    }

    fn is_scheduled(&self, epoch: i32) -> bool {
        let last = self.last_epoch.unwrap_or(Epoch(i32::MAX));
        self.schedule.is_due(Epoch(epoch), last)
    }

    /// Notes what a batch of held-out samples made of a layer, for the next capture: the value
    /// after the layer's non-linearity, of the output layer its logits.
    ///
    /// `activations` is `[num_samples, num_units]`. Further axes are averaged: of a layer whose
    /// units lie on axis 1 (convolutions and what normalises them) those behind it, of any other
    /// those between the first and the last. Batches of one layer follow each other.
    ///
    /// Nothing is copied or read. Without activations among what is recorded, or of a layer that is
    /// not, it does nothing.
    ///
    /// # Errors
    /// If there is no such layer, or it has another number of units.
    pub fn activations<const D: usize>(
        &mut self,
        label: &str,
        activations: Tensor<B, D>,
    ) -> Result<(), RecordError> {
        let is_asked_for = self.recorded.phases.eval;
        let Some((layer, batch)) = self.batch(label, activations, is_asked_for)? else {
            return Ok(());
        };
        self.check_batches(layer, &self.pending.activations[layer], &batch)?;
        self.pending.activations[layer].push(batch);
        Ok(())
    }

    /// As [`TraceRecorder::activations`], of a batch of training samples, which has the number
    /// `batch` in its epoch: rows with the phase `train`.
    ///
    /// Rows carry the step of the capture, so the values should be those of the network that is
    /// captured: of a pass over the batch after the optimizer's step. Tensors of one batch and
    /// layer follow each other. Without [`Phases::train`] among what is recorded, it does nothing.
    ///
    /// # Errors
    /// As for [`TraceRecorder::activations`].
    pub fn train_activations<const D: usize>(
        &mut self,
        label: &str,
        batch: i32,
        activations: Tensor<B, D>,
    ) -> Result<(), RecordError> {
        let is_asked_for = self.recorded.phases.train;
        let Some((layer, handle)) = self.batch(label, activations, is_asked_for)? else {
            return Ok(());
        };
        let before = self.pending.train_activations[layer].get(&batch);
        let before = before.map_or(&[][..], Vec::as_slice);
        self.check_batches(layer, before, &handle)?;
        let batches = &mut self.pending.train_activations[layer];
        batches.entry(batch).or_default().push(handle);
        Ok(())
    }

    /// The layer and the handle of its activations; none where they are not recorded.
    fn batch<const D: usize>(
        &self,
        label: &str,
        activations: Tensor<B, D>,
        is_asked_for: bool,
    ) -> Result<Option<(usize, BatchHandle<B>)>, RecordError> {
        let layer = self.layer(label)?;
        let is_recorded = self.recorded.activations.is_some() && self.selected[layer];
        if !is_recorded || !is_asked_for {
            return Ok(None);
        }
        let axis = self.layers.unit_axis(layer);
        let num_units = self.topology().layers()[layer].num_units;
        let batch = BatchHandle::new(activations, axis, num_units as usize);
        let batch = batch.map_err(|found| RecordError::ActivationShape {
            label: label.to_owned(),
            num_units,
            is_first: axis == UnitAxis::First,
            found,
        })?;
        Ok(Some((layer, batch)))
    }

    fn check_batches(
        &self,
        layer: usize,
        before: &[BatchHandle<B>],
        batch: &BatchHandle<B>,
    ) -> Result<(), TooManyActivationsError> {
        let num_samples = before.iter().map(|b| b.num_samples).sum::<usize>() + batch.num_samples;
        let layer = &self.topology().layers()[layer];
        self.recorded.check_layer(layer, num_samples)
    }

    /// Whether [`TraceRecorder::train_activations`] would note anything for a capture.
    pub(crate) fn wants_train_activations(&self) -> bool {
        self.recorded.activations.is_some() && self.recorded.phases.train
    }

    fn layer(&self, label: &str) -> Result<usize, RecordError> {
        let layers = self.topology().layers();
        let found = layers
            .iter()
            .position(|layer| layer.layer.as_str() == label);
        found.ok_or_else(|| RecordError::NoSuchLayer {
            label: label.to_owned(),
            layers: layers.iter().map(|l| l.layer.as_str().to_owned()).collect(),
        })
    }

    /// Notes what the network said of a batch of held-out samples, for the next capture.
    ///
    /// `logits` is `[num_samples, num_outputs]`, `targets` as many, and `loss` says what the logits
    /// mean. Batches follow each other. Nothing is copied or read; without classifications among
    /// what is recorded, it does nothing.
    ///
    /// # Errors
    /// If there are not as many targets as logits, or not of the loss's kind.
    pub fn classifications(
        &mut self,
        loss: Loss,
        logits: Tensor<B, 2>,
        targets: Targets,
    ) -> Result<(), RecordError> {
        if !self.recorded.classifications {
            return Ok(());
        }
        let batch = Outputs::new(loss, logits, targets).map_err(RecordError::Outputs)?;
        match &mut self.pending.outputs {
            None => self.pending.outputs = Some(batch),
            Some(outputs) => outputs.append(batch).map_err(RecordError::Outputs)?,
        }
        Ok(())
    }

    /// Notes the gradients of a step, for the next capture: call it between the backward pass and
    /// the optimizer's step. Of several steps before a capture the last counts.
    ///
    /// Rows carry the capture's step, as all of a capture do: the gradients are those of the step that
    /// led to its weights, so they were computed with the weights of one step before. A parameter without a gradient has no rows. Nothing is copied or read; without
    /// gradients among what is recorded, it does nothing.
    ///
    /// # Errors
    /// If the module is not the one that the recorder was started with.
    pub fn gradients<A, M>(
        &mut self,
        model: &M,
        gradients: &GradientsParams,
    ) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        if !self.recorded.gradients {
            return Ok(());
        }
        let lookup = Gradients(gradients);
        let handles = self.layers.handles_of(model, &lookup, &self.selected)?;
        self.note_tensors(TensorKind::Gradients, handles);
        Ok(())
    }

    /// Notes what the optimizer keeps of the gradients, for the next capture: call it after the
    /// optimizer's step.
    ///
    /// Nothing is copied or read; without moments among what is recorded, it does nothing.
    ///
    /// # Errors
    /// If the module is not the one that the recorder was started with.
    pub fn moments<A, M, O>(&mut self, model: &M, optimizer: &O) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: KeepsMoments<M, A>,
    {
        if !self.recorded.moments {
            return Ok(());
        }
        let [first, second] = self
            .optimizer_state(model, optimizer, &self.selected)?
            .moments;
        self.note_tensors(TensorKind::Moment1, first);
        self.note_tensors(TensorKind::Moment2, second);
        Ok(())
    }

    /// What the optimizer keeps of the selected layers.
    fn optimizer_state<A, M, O>(
        &self,
        model: &M,
        optimizer: &O,
        selected: &[bool],
    ) -> Result<OptimizerState<B>, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: KeepsMoments<M, A>,
    {
        let record = optimizer.to_record();
        let mut lookup = AdamMoment::<O, M, A> {
            record: &record,
            is_second: false,
            num_updates: Cell::default(),
        };
        let first = self.layers.handles_of(model, &lookup, selected)?;
        lookup.is_second = true;
        let second = self.layers.handles_of(model, &lookup, selected)?;
        Ok(OptimizerState {
            moments: [first, second],
            num_updates: lookup.num_updates.get() as i64,
        })
    }

    fn note_tensors(&mut self, kind: TensorKind, handles: Vec<LayerHandles<B>>) {
        let noted = &mut self.pending.optimizer;
        noted.retain(|(other, _)| *other != kind);
        noted.extend(handles.into_iter().map(|layer| (kind, layer)));
    }

    /// Notes what the network said of all held-out samples, where that was worked out already.
    pub(crate) fn classified(&mut self, rows: Classifications) {
        if self.recorded.classifications {
            self.pending.classifications = Some(rows);
        }
    }

    /// Notes a figure of the epoch that is neither of training nor of held-out samples, as
    /// `learning_rate`.
    pub fn metric(&mut self, name: &str, value: f64) {
        self.note(None, name, value);
    }

    /// Notes a figure of the samples trained on, as `loss`.
    pub fn train_metric(&mut self, name: &str, value: f64) {
        self.note(Some(PHASE_TRAIN), name, value);
    }

    /// Notes a figure of the held-out samples, as `accuracy`.
    pub fn eval_metric(&mut self, name: &str, value: f64) {
        self.note(Some(PHASE_EVAL), name, value);
    }

    fn note(&mut self, phase: Option<&'static str>, name: &str, value: f64) {
        if self.recorded.metrics {
            self.pending.metrics.push(Metric {
                phase,
                name: name.to_owned(),
                value,
            });
        }
    }

    /// Notes figures of an epoch that has ended, where they are known only later. They are recorded
    /// with the next capture, or when the recorder is finished.
    #[cfg(feature = "burn-train")]
    pub(crate) fn late_metrics(&mut self, epoch: i32, metrics: Vec<Metric>) {
        if self.recorded.metrics {
            // Files of metrics are told apart by epoch, step, and their order in a row: the last
            // capture's step comes after every file that the epoch has.
            let step = self.last.map_or(0, |last| last.step.0);
            self.waiting_metrics
                .push((capture_id(epoch, step), metrics));
        }
    }

    /// Ends an epoch. Captures the network if the schedule says so, by its epoch or by its step,
    /// with what was noted since the last capture; if not, or if [`TraceRecorder::capture_step`] has
    /// captured it at this step, only metrics are recorded. Says whether it was captured.
    ///
    /// `step` is how many optimizer steps are done since training began. The caller's thread only
    /// moves handles (ARCHITECTURE.md, invariant 2), and nothing here changes what they stand for
    /// (invariant 1). It waits while the values of the capture before are not on the host yet,
    /// unless [`WhenFull`] says otherwise.
    ///
    /// # Errors
    /// Why recording stopped, if it has: this capture and every later one is then lost. With
    /// [`OnError::Continue`] that is no error, and the network is not captured any more. If the
    /// module is not the one that the recorder was started with.
    pub fn capture<A, M>(&mut self, model: &M, epoch: i32, step: i64) -> Result<bool, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        let id = capture_id(epoch, step);
        self.capture_with(id, true, |recorder| recorder.trained_handles(model))
    }

    /// As [`TraceRecorder::capture`], of a module without autodiff.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`].
    pub fn capture_inner<M: Module<B>>(
        &mut self,
        model: &M,
        epoch: i32,
        step: i64,
    ) -> Result<bool, RecordError> {
        let id = capture_id(epoch, step);
        self.capture_with(id, true, |recorder| recorder.handles(model))
    }

    /// Captures the network after an optimizer step inside of `epoch`, with what was noted since
    /// the last capture, if the schedule names `step`; if not, it does nothing. Says whether it was
    /// captured.
    ///
    /// `step` is how many optimizer steps are done since training began. Called after every step,
    /// it leaves the end of an epoch to [`TraceRecorder::capture`], which then records metrics alone
    /// if the last step was captured here.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`].
    pub fn capture_step<A, M>(
        &mut self,
        model: &M,
        epoch: i32,
        step: i64,
    ) -> Result<bool, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        let id = capture_id(epoch, step);
        self.capture_with(id, false, |recorder| recorder.trained_handles(model))
    }

    /// As [`TraceRecorder::capture_step`], of a module without autodiff.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`].
    pub fn capture_step_inner<M: Module<B>>(
        &mut self,
        model: &M,
        epoch: i32,
        step: i64,
    ) -> Result<bool, RecordError> {
        let id = capture_id(epoch, step);
        self.capture_with(id, false, |recorder| recorder.handles(model))
    }

    /// Captures what `handles` gives if that is due, at the end of an epoch or inside of it.
    fn capture_with(
        &mut self,
        id: CaptureId,
        is_end: bool,
        handles: impl FnOnce(&Self) -> Result<Vec<LayerHandles<B>>, RecordError>,
    ) -> Result<bool, RecordError> {
        let start = Instant::now();
        if !is_end && !self.schedule.is_step_due(id.step) {
            return Ok(false);
        }
        let is_taken = self.takes(id, is_end)?;
        if !is_end && !is_taken {
            // Metrics are kept for the end of the epoch, or the next capture.
            let metrics = std::mem::take(&mut self.pending.metrics);
            self.pending = Pending::new(self.pending.activations.len());
            self.pending.metrics = metrics;
            self.last = Some(id);
            self.last_is_step = true;
            return Ok(false);
        }
        let handles = match is_taken {
            true => Some(handles(self)?),
            false => None,
        };
        self.last_is_step = !is_end;
        self.hand_over_noted(id, handles, start)
    }

    /// Handles of the network without the graph; of running means and variances up to date, which a
    /// visit of the module itself would find one update behind.
    fn trained_handles<A, M>(&self, model: &M) -> Result<Vec<LayerHandles<B>>, RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        // Before `valid`, which would draw values where there are none.
        self.layers.check(model)?;
        Ok(self.layers.handles(&model.valid(), &self.selected)?)
    }

    fn handles<M: Module<B>>(&self, model: &M) -> Result<Vec<LayerHandles<B>>, RecordError> {
        self.layers.check(model)?;
        Ok(self.layers.handles(model, &self.selected)?)
    }

    /// Captures the untrained network, as epoch -1 and step 0, with what was noted so far.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture`]. Burn draws parameters where they are first used: a module
    /// that was not used yet has nothing to capture.
    pub fn capture_initial<A, M>(&mut self, model: &M) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        let start = Instant::now();
        let handles = self.trained_handles(model)?;
        self.capture_untrained(handles, start)
    }

    /// As [`TraceRecorder::capture_initial`], of a module without autodiff.
    ///
    /// # Errors
    /// As for [`TraceRecorder::capture_initial`].
    pub fn capture_initial_inner<M: Module<B>>(&mut self, model: &M) -> Result<(), RecordError> {
        let start = Instant::now();
        let handles = self.handles(model)?;
        self.capture_untrained(handles, start)
    }

    fn capture_untrained(
        &mut self,
        handles: Vec<LayerHandles<B>>,
        start: Instant,
    ) -> Result<(), RecordError> {
        self.check_order(INITIAL, true)?;
        self.hand_over_noted(INITIAL, Some(handles), start)?;
        Ok(())
    }

    /// An epoch may end with the step that was captured last.
    fn check_order(&self, id: CaptureId, is_end: bool) -> Result<(), RecordError> {
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

    /// Tells the governor what the call that began at `start` cost, and how long training took
    /// before it.
    fn account(&mut self, start: Instant, is_captured: bool) {
        let spent = std::mem::take(&mut self.spent);
        if let Some(governor) = &mut self.governor {
            let since = start.saturating_duration_since(self.training_since);
            governor.trained(since.saturating_sub(spent));
            let cost = start.elapsed() + spent;
            if is_captured {
                governor.taken(cost);
            } else {
                governor.spent(cost);
            }
        }
        self.training_since = Instant::now();
    }

    /// Hands over what was noted, with the network where it is captured.
    fn hand_over_noted(
        &mut self,
        id: CaptureId,
        network: Option<Vec<LayerHandles<B>>>,
        start: Instant,
    ) -> Result<bool, RecordError> {
        let num_layers = self.pending.activations.len();
        let pending = std::mem::replace(&mut self.pending, Pending::new(num_layers));
        let is_whole = network.is_some();
        self.last = Some(id);
        self.tell_disk_full();
        let is_over = self.failure.is_some() || self.is_disk_full();
        if is_over || (!is_whole && !self.recorded.metrics) {
            return Ok(false);
        }
        let mut handles = Vec::new();
        let mut classifications = None;
        if let Some(network) = network {
            if self.recorded.weights.is_some() {
                let weights = network.into_iter();
                handles.extend(weights.map(|w| Handles::Parameters(TensorKind::Weights, w)));
            }
            let optimizer = pending.optimizer.into_iter();
            handles.extend(optimizer.map(|(kind, layer)| Handles::Parameters(kind, layer)));
            let of_train = pending.train_activations;
            let of_layers = pending.activations.into_iter().zip(of_train).enumerate();
            for (layer, (held_out, train)) in of_layers {
                let held_out = (!held_out.is_empty()).then_some((SampleSet::HELD_OUT, held_out));
                let train = train
                    .into_iter()
                    .map(|(batch, batches)| (SampleSet::train(batch), batches));
                let sets = held_out.into_iter().chain(train).enumerate();
                handles.extend(sets.map(|(nth, (samples, batches))| Handles::Activations {
                    layer,
                    samples,
                    sequence: nth as u32,
                    batches,
                }));
            }
            handles.extend(pending.outputs.map(Handles::Outputs));
            classifications = pending.classifications;
        }
        let capture = Capture {
            id,
            is_whole,
            stream: StreamId::current(),
            handles,
            classifications,
            waiting_metrics: Vec::new(),
            metrics: pending.metrics,
        };
        let handed_over = self.hand_over(Work::Capture(Box::new(capture)), start);
        if let (Err(_), Some(_)) = (&handed_over, &self.failure) {
            // It was said, and training goes on.
            self.num_missed += u64::from(is_whole);
            return Ok(false);
        }
        let is_captured = handed_over? && is_whole;
        // What the untrained network costs says nothing of how captures and training alternate.
        self.account(start, is_captured && id != INITIAL);
        if is_captured {
            self.num_captures += 1;
            self.captured = Some(id);
        }
        Ok(is_captured)
    }

    /// Hands over what training can go on from, in full, whatever is recorded of the network, and
    /// retires what it could go on from before. Waits for room, whatever becomes of a capture that
    /// finds none.
    ///
    /// # Errors
    /// Why recording stopped, if it has. With [`OnError::Continue`] that is no error.
    pub(crate) fn checkpoint<A, M, O>(
        &mut self,
        id: CaptureId,
        model: &M,
        optimizer: &O,
    ) -> Result<(), RecordError>
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
        O: KeepsMoments<M, A>,
    {
        let start = Instant::now();
        let all = vec![true; self.selected.len()];
        self.layers.check(model)?;
        let parameters = self.layers.handles(&model.valid(), &all)?;
        let state = TrainState {
            parameters,
            optimizer: self.optimizer_state(model, optimizer, &all)?,
        };
        self.hand_over_state(id, Some(state), start)
    }

    /// Retires what training could go on from: there is nothing left to do.
    ///
    /// # Errors
    /// As for [`TraceRecorder::checkpoint`].
    pub(crate) fn retire_checkpoint(&mut self, id: CaptureId) -> Result<(), RecordError> {
        self.hand_over_state(id, None, Instant::now())
    }

    fn hand_over_state(
        &mut self,
        id: CaptureId,
        state: Option<TrainState<B>>,
        start: Instant,
    ) -> Result<(), RecordError> {
        if self.failure.is_some() {
            return Ok(());
        }
        let stream = StreamId::current();
        let work = Work::Checkpoint(Checkpoint { id, stream, state });
        let handed_over = self.hand_over(work, start);
        self.account(start, false);
        match handed_over {
            Err(error) if self.failure.is_none() => Err(error),
            _ => Ok(()),
        }
    }

    /// Says whether there was room. `start` is when the caller's thread began to work for the
    /// recorder.
    fn hand_over(&mut self, mut work: Work<B>, start: Instant) -> Result<bool, RecordError> {
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
    fn waits_for_room(&self, work: &Work<B>) -> bool {
        let Work::Capture(capture) = work else {
            return true;
        };
        self.limits.when_full != WhenFull::Drop
            || (self.last_epoch == Some(capture.id.epoch) && !self.last_is_step)
            || self.waiting_metrics.len() >= MAX_WAITING_METRICS
    }

    /// Its metrics wait for the next that finds room.
    fn drop_capture(&mut self, work: Work<B>) {
        let Work::Capture(capture) = work else {
            unreachable!("a checkpoint waits for room");
        };
        let dropped = u64::from(capture.is_whole);
        let counter = &self.progress.dropped_captures;
        counter.fetch_add(dropped, Ordering::Relaxed);
        if self.recorded.metrics {
            self.waiting_metrics.push((capture.id, capture.metrics));
        }
    }

    /// Why recording failed, where training goes on without it ([`OnError::Continue`]).
    pub fn failure(&self) -> Option<&RecordError> {
        self.failure.as_deref()
    }

    /// Whether recording has stopped because the run may take no more of the disk
    /// ([`Limits::max_disk`]).
    pub fn is_disk_full(&self) -> bool {
        self.progress.is_disk_full.load(Ordering::Relaxed)
    }

    /// Says so once, where the owner does not.
    fn tell_disk_full(&mut self) {
        if self.is_disk_full() && !self.owner_tells && !self.has_told_disk_full {
            tracing::warn!(
                run = %self.run.path().display(),
                "the run may take no more of the disk; recording has stopped, training goes on"
            );
            self.has_told_disk_full = true;
        }
    }

    /// Bytes of part files written so far.
    pub fn part_bytes(&self) -> u64 {
        self.progress.part_bytes.load(Ordering::Relaxed)
    }

    /// Waits until everything that was captured is committed (ARCHITECTURE.md, invariant 4), and ends
    /// the recording.
    ///
    /// # Errors
    /// Why recording stopped, if it has. With [`OnError::Continue`] the summary says it instead.
    pub fn finish(mut self) -> Result<RecordSummary, RecordError> {
        let start = Instant::now();
        if self.failure.is_none()
            && let Err(error) = self.join()
        {
            self.go_on_or_stop(error)?;
        }
        self.tell_disk_full();
        let is_over = self.failure.is_some() || self.is_disk_full();
        let num_captures = match is_over {
            false => self.num_captures,
            // What else was handed over went down with the sink, or did not fit.
            true => self.sink_stats.num_captures,
        };
        let lost_captures = match self.failure {
            None => 0,
            Some(_) => self.num_captures - num_captures + self.num_missed,
        };
        if self.failure.is_some() && self.recorded.metrics {
            self.report_lost(lost_captures);
        }
        let finish = start.elapsed();
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        Ok(RecordSummary {
            num_captures,
            thinned_captures: self.progress.thinned_captures.load(Ordering::Relaxed),
            over_disk_captures: self.progress.over_disk_captures.load(Ordering::Relaxed),
            dropped_captures: self.progress.dropped_captures.load(Ordering::Relaxed),
            lost_captures,
            failure: self.failure.take(),
            sink: self.sink_stats,
            hand_off: time(&self.progress.hand_off_ns),
            stall: time(&self.progress.stall_ns),
            finish,
        })
    }

    /// Why the capture thread ended although nobody asked it to: a failure is what the next call
    /// returns (ARCHITECTURE.md, invariant 7), or says where training goes on.
    fn why_ended(&mut self) -> RecordError {
        let error = self.join_thread().err().unwrap_or(RecordError::Stopped);
        self.go_on_or_stop(error)
            .err()
            .unwrap_or(RecordError::Stopped)
    }

    /// Where training goes on without recording, says the failure and forgets what was noted.
    fn go_on_or_stop(&mut self, error: RecordError) -> Result<(), RecordError> {
        if self.limits.on_error == OnError::Stop {
            return Err(error);
        }
        if !self.owner_tells {
            tracing::error!(
                run = %self.run.path().display(),
                error = &error as &dyn std::error::Error,
                "recording failed; training goes on, and what would be captured from now on is lost"
            );
        }
        self.waiting_metrics.clear();
        self.failure = Some(Arc::new(error));
        Ok(())
    }

    /// Tries to leave a row that says what was lost: what failed may work again. Where it does not,
    /// there is nothing to add to the failure that was said.
    fn report_lost(&self, lost_captures: u64) {
        let report = || -> Result<(), RecordError> {
            let Some(id) = self.last else { return Ok(()) };
            let lost = Metric {
                phase: None,
                name: format!("recorder.{}", cost::LOST_CAPTURES),
                value: lost_captures as f64,
            };
            let key = RowKey {
                id,
                rank: self.rank,
            };
            let sink_options = SinkOptions {
                rank: self.rank,
                num_workers: 1,
                ..SinkOptions::default()
            };
            let sink = Sink::start(&self.run, sink_options)?;
            let mut open = sink.begin(None);
            // No name that the failed sink may have used.
            let mut part = thread::metrics_part(key, &[lost], LOST_SEQUENCE);
            part.path.generation = self.generation;
            open.send(part)?;
            open.end()?;
            sink.finish()?;
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
    fn join(&mut self) -> Result<(), RecordError> {
        if let Some((id, metrics)) = self.waiting_metrics.pop()
            && self.room.recv().is_ok()
            && let Some(hand_off) = &self.hand_off
        {
            let waiting = Capture {
                id,
                is_whole: false,
                stream: StreamId::current(),
                handles: Vec::new(),
                classifications: None,
                waiting_metrics: std::mem::take(&mut self.waiting_metrics),
                metrics,
            };
            // Where nobody takes it any more, the thread says why.
            let _ = hand_off.send(Work::Capture(Box::new(waiting)));
        }
        self.join_thread()
    }

    fn join_thread(&mut self) -> Result<(), RecordError> {
        self.hand_off = None;
        let Some(thread) = self.thread.take() else {
            return Err(RecordError::Stopped);
        };
        let Ended { stats, result } = thread.join().map_err(|_| RecordError::Panicked)?;
        self.sink_stats = stats;
        result
    }
}

impl<B: Backend> Drop for TraceRecorder<B> {
    fn drop(&mut self) {
        if self.thread.is_none() {
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

#[cfg(test)]
mod tests;

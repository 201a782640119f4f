//! One training run from its options to its summary: what `recorder train` does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, Backend};
use capture::{
    Cadence, CancelToken, CheckpointEvery, Classifications, JOIN_TIMEOUT, LayerSelection, Limits,
    Loss, Origin, Plan, RecordError, RecordSummary, Recorded, ResumeError, Schedule, Score,
    SelectLayersError, TooManyActivationsError, UnreachableEpochError, choose_units,
};
use serde::Deserialize as _;
use sink::SinkOptions;
use trace::{
    CaptureId, CreateRunError, Epoch, FORMAT_VERSION, Nonce, Rank, RunDir, RunInfo, Step, Topology,
};

use crate::dataset::{DATA_RULES, Dataset, DatasetError, DatasetSpec};
use crate::device::{DeviceChoice, DeviceError, Resolution, on_device};
use crate::evaluation::{DEFAULT_EVALUATION_BATCH_SIZE, HeldOut};
use crate::model::{LayerOutput, Network, NetworkConfig};
use crate::recording::{HeldState, ModuleLayers, TraceRecorder};
use crate::training::{EpochOutcome, EpochReport, TrainConfig, TrainError, Trainer};

/// Where runs go that were not given a directory: named after their data set, and `-2`, `-3`, ...
/// where that is taken.
pub const DEFAULT_ROOT: &str = "traces";

/// How many names are tried.
const MAX_DEFAULT_RUNS: u32 = 10_000;

/// What to train, on what, and what to record of it.
#[derive(Debug, Clone)]
pub struct SessionOptions {
    /// The run's directory; none for one below [`DEFAULT_ROOT`].
    pub out: Option<PathBuf>,
    /// The data.
    pub dataset: DatasetSpec,
    /// The network and how it is trained.
    pub train: TrainConfig,
    /// The device.
    pub device: DeviceChoice,
    /// What is recorded; `None` trains and evaluates and writes nothing.
    pub recorded: Option<Recorded>,
    /// When the network is captured.
    pub schedule: Schedule,
    /// Whether the network is captured as epoch -1 before it is trained.
    pub record_initial: bool,
    /// Of which layers weights and activations are recorded.
    pub layers: LayerSelection,
    /// Budget of the channel to the sink; none for [`Recorded::default_channel_bytes`].
    pub channel_bytes: Option<u64>,
    /// How often what training can go on from is written; also at the end, and where the session is
    /// cancelled, unless it is never.
    pub checkpoint_every: CheckpointEvery,
    /// Whether to go on with the run in [`SessionOptions::out`], which may have been interrupted, or
    /// be finished and is now to be trained for more epochs.
    pub resume: bool,
    /// This process among those that record the run.
    pub rank: Rank,
    /// How many processes record the run, each as a rank from 0 on. Each trains the same network
    /// and records its share of the layers; rank 0 records the classifications and the figures of
    /// training, too.
    pub world_size: u32,
    /// What recording may take, and what happens where it cannot keep up or fails.
    pub limits: Limits,
}

/// Told how a session goes on.
pub trait SessionObserver {
    /// The data was read. What is odd about it is logged unless something else is done with it.
    fn loaded(&mut self, dataset: &Dataset) {
        for note in dataset.notes() {
            tracing::warn!("data: {note}");
        }
    }
    /// A run is gone on with, from the beginning of an epoch; so many captures that were committed
    /// are recorded anew.
    fn resumed(&mut self, _epoch: Epoch, _num_retired: usize) {}
    /// Training begins: on which device and why, and where the run is, if there is one.
    fn started(&mut self, device: &Resolution, run: Option<&Path>);
    /// An epoch was trained, evaluated, and handed over to be recorded.
    fn epoch_done(&mut self, progress: &EpochProgress);
    /// The run takes what it may of the disk ([`Limits::max_disk`]): recording has stopped, and
    /// training goes on. Said once; logged unless something else is done with it.
    fn disk_full(&mut self, run: &Path) {
        tracing::warn!(run = %run.display(), "the run takes what it may, recording has stopped");
    }
    /// Recording into `run` has failed, and training goes on without it ([`OnError::Continue`]).
    /// Said once; logged unless something else is done with it.
    ///
    /// [`OnError::Continue`]: crate::OnError::Continue
    fn recording_failed(&mut self, run: &Path, error: &RecordError) {
        tracing::error!(
            run = %run.display(),
            error = error as &dyn std::error::Error,
            "recording failed, and training goes on without it"
        );
    }
}

/// An epoch that is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochProgress {
    /// What training was like.
    pub train: EpochReport,
    /// Mean loss over the held-out samples.
    pub eval_loss: f64,
    /// How well the held-out samples were predicted.
    pub eval_score: Score,
    /// Bytes of part files written so far.
    pub part_bytes: u64,
}

/// How a session ended.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// The last epoch that is whole; none if the first was interrupted.
    pub last_epoch: Option<EpochProgress>,
    /// Whether the session was cancelled before its end: epochs may be missing, what was captured
    /// is committed.
    pub interrupted: bool,
    /// The epoch that training would go on with if the run were resumed; none where it would begin
    /// anew, nothing is left to train, or nothing is recorded.
    pub resumes_with: Option<Epoch>,
    /// From the first step to the end of the last, with evaluation, and until everything that was
    /// recorded is committed.
    pub elapsed: Duration,
    /// The run and what was recorded into it.
    pub recorded: Option<(PathBuf, RecordSummary)>,
}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The data cannot be had.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Training cannot begin or go on.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A trace cannot hold what is to be recorded.
    #[error(transparent)]
    TooManyActivations(#[from] TooManyActivationsError),
    /// The layers to record make no sense.
    #[error(transparent)]
    Layers(#[from] SelectLayersError),
    /// The schedule names an epoch that there is not.
    #[error(transparent)]
    Schedule(#[from] UnreachableEpochError),
    /// The run cannot be created.
    #[error(transparent)]
    CreateRun(#[from] CreateRunError),
    /// Training failed while it was recorded. The recording was ended: what was captured before is
    /// committed, unless that failed as well.
    #[error("training failed while it was recorded into {}{}", run.display(), why_not_kept(recording))]
    TrainRecorded {
        /// The run.
        run: PathBuf,
        /// Why training cannot go on.
        source: TrainError,
        /// Why not everything that was captured is committed, where that is so.
        recording: Option<Arc<RecordError>>,
    },
    /// The run cannot be gone on with, or joined.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// A run that is gone on with, or that several processes record, has no directory.
    #[error("name the run's directory: there is no default for one that is resumed or shared")]
    NoDirectory,
    /// The operating system has no randomness for the run's name.
    #[error("cannot draw a name for the run")]
    Nonce(#[source] std::io::Error),
    /// Recording failed, and training was stopped.
    #[error("recording into {} failed, training was stopped", run.display())]
    Record {
        /// The run.
        run: PathBuf,
        /// What went wrong.
        source: RecordError,
    },
}

/// The failure of a recording, with its causes, as a part of another error's message.
fn why_not_kept(recording: &Option<Arc<RecordError>>) -> String {
    let Some(error) = recording else {
        return String::new();
    };
    format!(
        ", and not all of it could be kept ({})",
        error.with_causes()
    )
}

impl SessionError {
    /// The run that was being recorded, of which a part may be safe on disk.
    pub fn run(&self) -> Option<&Path> {
        match self {
            Self::Record { run, .. } | Self::TrainRecorded { run, .. } => Some(run),
            _ => None,
        }
    }
}

/// Trains a network, and records it.
///
/// `cancel` ends the session at the next step; what was captured before is committed.
///
/// # Errors
/// If anything cannot be had or done. What was committed by then stays.
pub fn train(
    options: &SessionOptions,
    cancel: &CancelToken,
    observer: &mut dyn SessionObserver,
) -> Result<SessionSummary, SessionError> {
    options.train.validate().map_err(TrainError::from)?;
    options.schedule.check(options.train.last_epoch())?;
    let resolution = options.device.resolve()?;
    on_device!(
        resolution.device,
        train_on(options, &resolution, cancel, observer)
    )
}

fn train_on<B: Backend>(
    device: &B::Device,
    options: &SessionOptions,
    resolution: &Resolution,
    cancel: &CancelToken,
    observer: &mut dyn SessionObserver,
) -> Result<SessionSummary, SessionError> {
    Session::<Autodiff<B>>::try_new(options, resolution, device.clone(), cancel)?.run(observer)
}

struct Session<'a, B: AutodiffBackend> {
    options: &'a SessionOptions,
    resolution: &'a Resolution,
    cancel: &'a CancelToken,
    dataset: Arc<Dataset>,
    trainer: Trainer<B>,
    held_out: HeldOut<B::InnerBackend>,
    /// Whether the observer knows that recording failed.
    has_told_failure: bool,
    /// Whether the observer knows that the run takes what it may.
    has_told_disk_full: bool,
}

impl<'a, B: AutodiffBackend> Session<'a, B> {
    fn try_new(
        options: &'a SessionOptions,
        resolution: &'a Resolution,
        device: B::Device,
        cancel: &'a CancelToken,
    ) -> Result<Self, SessionError> {
        let TrainConfig {
            seed, batch_size, ..
        } = options.train;
        let dataset = Arc::new(Dataset::open(&options.dataset, seed, batch_size)?);
        let held_out = HeldOut::new(dataset.held_out(), DEFAULT_EVALUATION_BATCH_SIZE, &device);
        let trainer = Trainer::try_new(
            options.train.clone(),
            Arc::clone(&dataset),
            device,
            cancel.clone(),
        )?;
        Ok(Self {
            options,
            resolution,
            cancel,
            dataset,
            trainer,
            held_out,
            has_told_failure: false,
            has_told_disk_full: false,
        })
    }

    fn run(&mut self, observer: &mut dyn SessionObserver) -> Result<SessionSummary, SessionError> {
        let takes_gradients = |recorded: Recorded| recorded.gradients || recorded.gradients_applied;
        if self.options.recorded.is_some_and(takes_gradients) {
            self.trainer.keep_gradients();
        }
        let mut first = Epoch(0);
        let mut kept = None;
        let mut recording = match self.options.recorded {
            Some(recorded) if self.options.resume => {
                let (recording, after) = self.resume_recording(recorded, observer)?;
                first = after;
                kept = Some(after).filter(|after| after.0 > 0);
                Some(recording)
            }
            Some(recorded) => Some(self.start_recording(recorded)?),
            None => None,
        };
        let run = recording.as_ref().map(|(run, _)| run.path());
        observer.loaded(&self.dataset);
        observer.started(self.resolution, run);

        let start = Instant::now();
        let trained = self.run_epochs(first, &mut kept, recording.as_mut(), observer);
        let (last_epoch, recorded) = finish_recording(trained, recording)?;
        let is_whole = |summary: &RecordSummary| summary.failure.is_none() && !summary.is_disk_full;
        let last = self.options.train.last_epoch();
        kept = kept.filter(|next| {
            *next <= last
                && recorded
                    .as_ref()
                    .is_some_and(|(_, summary)| is_whole(summary))
        });
        if let (false, Some((run, summary))) = (self.has_told_failure, &recorded)
            && let Some(error) = &summary.failure
        {
            observer.recording_failed(run, error);
        }
        if let (false, Some((run, summary))) = (self.has_told_disk_full, &recorded)
            && summary.is_disk_full
        {
            observer.disk_full(run);
        }
        Ok(SessionSummary {
            last_epoch,
            // Also while the last epoch was evaluated or published: whoever cancelled was told
            // that the session stops.
            interrupted: self.cancel.is_cancelled(),
            resumes_with: kept,
            elapsed: start.elapsed(),
            recorded,
        })
    }

    /// Trains from an epoch to the last one or until cancelled; gives the last that is whole. `kept`
    /// is the epoch with which the run's checkpoint goes on, and is kept up to date.
    fn run_epochs(
        &mut self,
        first: Epoch,
        kept: &mut Option<Epoch>,
        mut recording: Option<&mut Recording<B::InnerBackend>>,
        observer: &mut dyn SessionObserver,
    ) -> Result<Option<EpochProgress>, SessionError> {
        let is_untrained = self.options.record_initial && first == Epoch(0);
        if let (true, Some(recording)) = (is_untrained, recording.as_deref_mut()) {
            self.capture_initial(recording)?;
            self.tell_failure(recording, observer);
        }
        let mut last_epoch = None;
        let mut checkpoints = Checkpoints {
            cadence: Cadence::new(self.options.checkpoint_every),
            unwritten: None,
            kept,
        };
        for epoch in first.0..=self.options.train.last_epoch().0 {
            let epoch = Epoch(epoch);
            if self.cancel.is_cancelled() {
                break;
            }
            let Self {
                trainer, held_out, ..
            } = self;
            let outcome =
                trainer.run_epoch_with(epoch, |trainer| match recording.as_deref_mut() {
                    Some(recording) => capture_step(trainer, held_out, epoch, recording),
                    None => Ok(()),
                })?;
            match outcome {
                EpochOutcome::Interrupted => break,
                EpochOutcome::Completed(report) => {
                    let progress = self.end_epoch(report, recording.as_deref_mut())?;
                    if let Some(recording) = recording.as_deref_mut() {
                        self.checkpoint(report, &mut checkpoints, recording)?;
                        self.tell_failure(recording, observer);
                    }
                    observer.epoch_done(&progress);
                    last_epoch = Some(progress);
                }
            }
        }
        if let Some(recording) = recording {
            checkpoints.write_last(recording)?;
        }
        Ok(last_epoch)
    }

    /// Says once that recording failed, where training goes on without it.
    fn tell_failure(
        &mut self,
        (run, recorder): &Recording<B::InnerBackend>,
        observer: &mut dyn SessionObserver,
    ) {
        if let (false, Some(error)) = (self.has_told_failure, recorder.failure()) {
            observer.recording_failed(run.path(), error);
            self.has_told_failure = true;
        }
        if !self.has_told_disk_full && recorder.is_disk_full() {
            observer.disk_full(run.path());
            self.has_told_disk_full = true;
        }
    }

    /// Evaluates, which is done whether anything is recorded or not, and hands over.
    fn end_epoch(
        &mut self,
        train: EpochReport,
        mut recording: Option<&mut Recording<B::InnerBackend>>,
    ) -> Result<EpochProgress, SessionError> {
        let model = self.trainer.model();
        let loss = self.trainer.model_config().loss;
        let is_due = recording
            .as_ref()
            .is_some_and(|(_, recorder)| recorder.is_end_due(train.epoch.0, train.step.0));
        let to_record = recording.as_deref_mut().filter(|_| is_due);
        let (classifications, noting) = evaluate(&self.held_out, &model, loss, to_record)?;
        let mut progress = EpochProgress {
            train,
            eval_loss: classifications.mean_loss(),
            eval_score: classifications.score(loss),
            part_bytes: 0,
        };
        if let Some((run, recorder)) = recording {
            // The ranks train the same network: one of them says how it goes.
            if self.options.rank == Rank::default() {
                recorder.train_metric("loss", train.train_loss);
                recorder.train_metric(train.train_score.name(), train.train_score.value());
                recorder.eval_metric("loss", progress.eval_loss);
                recorder.eval_metric(progress.eval_score.name(), progress.eval_score.value());
                recorder.metric("learning_rate", self.options.train.learning_rate);
            }
            let hand_over = || {
                if is_due {
                    recorder.spent(noting);
                    recorder.classified(classifications);
                    note_first_batch(recorder, &self.trainer, train.epoch)?;
                    let start = Instant::now();
                    note_optimizer(recorder, &self.trainer)?;
                    recorder.spent(start.elapsed());
                }
                recorder.capture_inner(&model, train.epoch.0, train.step.0)
            };
            hand_over().map_err(|source| record_error(run, source))?;
            progress.part_bytes = recorder.part_bytes();
        }
        Ok(progress)
    }

    /// Hands over what training can go on from, if that is due: at the end always, so that the run can
    /// be extended. What is not due is held until the end of the next epoch, in case that the session
    /// is cancelled before.
    ///
    /// Where a run keeps no checkpoints, the last one goes at the end, and none is written; but where
    /// nothing of the last epoch is recorded, a checkpoint is what tells that training came to it.
    fn checkpoint(
        &self,
        train: EpochReport,
        checkpoints: &mut Checkpoints<'_, B::InnerBackend>,
        recording: &mut Recording<B::InnerBackend>,
    ) -> Result<(), SessionError> {
        let (run, recorder) = &mut *recording;
        let is_last = train.epoch == self.options.train.last_epoch();
        let keeps_any = self.options.checkpoint_every != CheckpointEvery::Never;
        let id = CaptureId {
            epoch: train.epoch,
            step: train.step,
        };
        if !keeps_any && !is_last {
            return Ok(());
        }
        let is_recorded = || {
            let records_metrics = self.options.recorded.is_some_and(|r| r.metrics);
            !recorder.is_disk_full() && (records_metrics || recorder.is_end_captured(id))
        };
        if !keeps_any && is_recorded() {
            let retired = recorder.retire_checkpoint(id);
            *checkpoints.kept = None;
            return retired.map_err(|source| record_error(run, source));
        }
        if recorder.failure().is_some() {
            return Ok(());
        }
        let (model, optimizer) = (self.trainer.trained(), self.trainer.optimizer());
        let state = recorder.train_state(id, model, optimizer);
        checkpoints.unwritten = Some(state.map_err(|source| record_error(run, source))?);
        match is_last || checkpoints.cadence.is_due(train.epoch) {
            true => checkpoints.write_last(recording),
            false => Ok(()),
        }
    }

    /// Captures the network as it is before its first step, and what it makes of the held-out set.
    fn capture_initial(
        &self,
        recording: &mut Recording<B::InnerBackend>,
    ) -> Result<(), SessionError> {
        let model = self.trainer.model();
        let loss = self.trainer.model_config().loss;
        let (classifications, _) = evaluate(&self.held_out, &model, loss, Some(recording))?;
        let (run, recorder) = recording;
        let score = classifications.score(loss);
        if self.options.rank == Rank::default() {
            recorder.eval_metric("loss", classifications.mean_loss());
            recorder.eval_metric(score.name(), score.value());
        }
        let hand_over = || {
            recorder.classified(classifications);
            note_first_batch(recorder, &self.trainer, Epoch(0))?;
            recorder.capture_initial_inner(&model)
        };
        hand_over().map_err(|source| record_error(run, source))
    }

    fn start_recording(
        &self,
        recorded: Recorded,
    ) -> Result<Recording<B::InnerBackend>, SessionError> {
        let (info, layers, plan, sink_options) = self.prepare(recorded)?;
        let SessionOptions {
            rank, world_size, ..
        } = *self.options;
        let run = match &self.options.out {
            Some(path) if rank == Rank::default() => RunDir::create(path, info)?,
            Some(path) => capture::join(path, &info, rank, DATA_RULES, self.cancel, JOIN_TIMEOUT)?,
            None if world_size > 1 => return Err(SessionError::NoDirectory),
            None => create_default(&self.options.dataset, info)?,
        };
        let recorder = TraceRecorder::start(&run, layers, plan, sink_options)
            .map_err(|source| record_error(&run, source))?;
        Ok((run, recorder))
    }

    /// Goes back to the newest checkpoint of the run; gives the epoch that comes next.
    fn resume_recording(
        &mut self,
        recorded: Recorded,
        observer: &mut dyn SessionObserver,
    ) -> Result<(Recording<B::InnerBackend>, Epoch), SessionError> {
        let (info, layers, mut plan, mut sink_options) = self.prepare(recorded)?;
        let path = self.options.out.as_ref().ok_or(SessionError::NoDirectory)?;
        let epochs = self.options.train.epochs as i64;
        let steps_per_epoch = self.dataset.num_steps(self.options.train.batch_size) as i64;
        let last = CaptureId {
            epoch: self.options.train.last_epoch(),
            step: Step(epochs * steps_per_epoch),
        };
        let rank = self.options.rank;
        let mut resumption = capture::resume(path, &info, rank, last, DATA_RULES)?;
        let first = match resumption.state.take() {
            None => Epoch(0),
            Some(state) => {
                let next = Epoch(state.epoch.0 + 1);
                self.trainer.restore(state)?;
                next
            }
        };
        observer.resumed(first, resumption.num_retired);
        plan.origin = resumption.take_origin();
        sink_options.resume = Some(resumption.sink);
        let run = resumption.run;
        let recorder = TraceRecorder::start(&run, layers, plan, sink_options)
            .map_err(|source| record_error(&run, source))?;
        Ok(((run, recorder), first))
    }

    /// What the run is if it is begun now, what this rank records of it, and how.
    fn prepare(
        &self,
        recorded: Recorded,
    ) -> Result<(RunInfo, ModuleLayers, Plan, SinkOptions), SessionError> {
        let topology = self.trainer.model_config().topology();
        let topology = topology.map_err(TrainError::from)?;
        let topology = choose_units(topology, recorded.units, self.options.train.seed);
        let info = self.run_info(recorded, topology)?;
        let mut selected = self.options.layers.select(&info.layers)?;
        let rank = self.options.rank;
        // Every so many layers are a rank's, so that each is recorded once.
        for (selected, index) in selected.iter_mut().zip(0..) {
            *selected &= index % self.options.world_size == rank.0.cast_unsigned();
        }
        let layers = ModuleLayers::of(&self.trainer.model(), false, &Default::default())
            .and_then(|layers| layers.with_topology(info.layers.clone()))
            .expect("the network's topology is its own");
        let num_held_out = self.dataset.held_out().len();
        recorded.check(&info.layers, num_held_out)?;
        let by_default = || recorded.default_channel_bytes(&info.layers, num_held_out);
        let sink_options = SinkOptions {
            channel_bytes: self.options.channel_bytes.unwrap_or_else(by_default),
            rank,
            session: Some(info.config.clone()),
            ..SinkOptions::default()
        };
        let plan = Plan {
            recorded: Recorded {
                classifications: recorded.classifications && rank == Rank::default(),
                ..recorded
            },
            selected,
            schedule: self.options.schedule.clone(),
            last_epoch: Some(self.options.train.last_epoch()),
            origin: Origin::default(),
            limits: self.options.limits,
            owner_tells: true,
        };
        Ok((info, layers, plan, sink_options))
    }

    fn run_info(&self, recorded: Recorded, layers: Topology) -> Result<RunInfo, SessionError> {
        let model = self.trainer.model_config();
        Ok(RunInfo {
            format: FORMAT_VERSION,
            run_id: Nonce::draw().map_err(SessionError::Nonce)?,
            created: trace::now(),
            created_by: crate::CREATED_BY.to_owned(),
            seed: Some(self.options.train.seed),
            device: self.resolution.device.to_string(),
            world_size: self.options.world_size,
            model: model_json(model),
            dataset: Some(self.dataset.info().clone()),
            evaluation_batch_size: Some(DEFAULT_EVALUATION_BATCH_SIZE as u64),
            class_names: self.dataset.class_names().to_vec(),
            layers,
            config: serde_json::json!({
                "dataset": self.options.dataset.source().to_string(),
                "data": self.options.dataset.file(),
                "device": self.options.device.to_string(),
                "train": self.options.train,
                "record": recorded,
                "every": self.options.schedule.to_string(),
                "record_initial": self.options.record_initial,
                "layers": self.options.layers,
                "channel_bytes": self.options.channel_bytes,
                "checkpoint_every": self.options.checkpoint_every.to_string(),
                "limits": self.options.limits,
            }),
        })
    }
}

/// A run and who records into it.
type Recording<B> = (RunDir, TraceRecorder<B>);

/// What a session keeps for training to go on from.
struct Checkpoints<'a, B: Backend> {
    cadence: Cadence,
    /// The end of the last whole epoch, where it was not due.
    unwritten: Option<HeldState<B>>,
    /// The epoch with which the newest one that was handed over goes on.
    kept: &'a mut Option<Epoch>,
}

impl<B: Backend> Checkpoints<'_, B> {
    /// Writes the end of the last whole epoch, if it was not.
    fn write_last(&mut self, (run, recorder): &mut Recording<B>) -> Result<(), SessionError> {
        let Some(state) = self.unwritten.take() else {
            return Ok(());
        };
        let next = Epoch(state.id.epoch.0 + 1);
        let handed_over = recorder.checkpoint(state);
        handed_over.map_err(|source| record_error(run, source))?;
        *self.kept = Some(next);
        Ok(())
    }
}

/// Ends the recording, however training ended: what was captured is committed either way.
fn finish_recording<T, B: Backend>(
    trained: Result<T, SessionError>,
    recording: Option<Recording<B>>,
) -> Result<(T, Option<(PathBuf, RecordSummary)>), SessionError> {
    let Some((run, recorder)) = recording else {
        return Ok((trained?, None));
    };
    let finished = recorder.finish();
    match trained {
        Ok(trained) => {
            let summary = finished.map_err(|source| record_error(&run, source))?;
            Ok((trained, Some((run.path().to_owned(), summary))))
        }
        Err(SessionError::Train(source)) => Err(SessionError::TrainRecorded {
            run: run.path().to_owned(),
            source,
            recording: match finished {
                Ok(summary) => summary.failure,
                Err(error) => Some(Arc::new(error)),
            },
        }),
        // It was the recording that failed, and it has said why.
        Err(error) => Err(error),
    }
}

/// The words for the built-in networks in `run.json`: without convolutions, and with them.
const MODEL_KINDS: [&str; 2] = ["mlp", "cnn"];

#[derive(serde::Serialize, serde::Deserialize)]
struct ModelJson<'a> {
    kind: std::borrow::Cow<'a, str>,
    #[serde(flatten)]
    config: std::borrow::Cow<'a, NetworkConfig>,
}

fn model_json(config: &NetworkConfig) -> serde_json::Value {
    serde_json::to_value(ModelJson {
        kind: MODEL_KINDS[usize::from(config.convolutions.is_some())].into(),
        config: std::borrow::Cow::Borrowed(config),
    })
    .expect("plain fields")
}

/// The network that `run.json` describes; an error says what is wrong with the description.
pub(crate) fn model_from_json(model: &serde_json::Value) -> Result<NetworkConfig, String> {
    let json = ModelJson::deserialize(model).map_err(|e| e.to_string())?;
    if MODEL_KINDS.contains(&&*json.kind) {
        Ok(json.config.into_owned())
    } else {
        let [mlp, cnn] = MODEL_KINDS;
        Err(format!(
            "it is of kind {:?}, only {mlp:?} and {cnn:?} can be rebuilt",
            json.kind
        ))
    }
}

fn record_error(run: &RunDir, source: RecordError) -> SessionError {
    SessionError::Record {
        run: run.path().to_owned(),
        source,
    }
}

/// Creates the first of `traces/digits`, `traces/digits-2`, ... that is not taken.
fn create_default(dataset: &DatasetSpec, info: RunInfo) -> Result<RunDir, CreateRunError> {
    let dataset = dataset.run_name();
    let mut number = 1;
    loop {
        let name = match number {
            1 => dataset.clone(),
            _ => format!("{dataset}-{number}"),
        };
        match RunDir::create(&Path::new(DEFAULT_ROOT).join(name), info.clone()) {
            Err(CreateRunError::NotEmpty { .. }) if number < MAX_DEFAULT_RUNS => number += 1,
            result => return result,
        }
    }
}

/// Captures the network after a step inside of an epoch if that is due: an evaluation is made for it
/// alone.
fn capture_step<B: AutodiffBackend>(
    trainer: &Trainer<B>,
    held_out: &HeldOut<B::InnerBackend>,
    epoch: Epoch,
    recording: &mut Recording<B::InnerBackend>,
) -> Result<(), SessionError> {
    let step = trainer.step();
    let (run, recorder) = &mut *recording;
    let checked = recorder.check_device();
    checked.map_err(|source| record_error(run, source))?;
    if !recorder.is_step_due(step.0) {
        return Ok(());
    }
    let start = Instant::now();
    let model = trainer.model();
    let classifications = match recorder.records_evaluation() {
        true => {
            let loss = trainer.model_config().loss;
            Some(evaluate(held_out, &model, loss, Some(recording))?.0)
        }
        false => None,
    };
    let (run, recorder) = recording;
    let hand_over = || {
        if let Some(classifications) = classifications {
            recorder.classified(classifications);
        }
        recorder.spent(start.elapsed());
        note_first_batch(recorder, trainer, epoch)?;
        let start = Instant::now();
        note_optimizer(recorder, trainer)?;
        recorder.spent(start.elapsed());
        recorder.capture_step_inner(&model, epoch.0, step.0)
    };
    hand_over().map_err(|source| record_error(run, source))?;
    Ok(())
}

/// Runs the network over the held-out samples. What its layers make of a batch is noted for the next
/// capture of `recording`, if there is one, and kept only as it is recorded; the time that took is
/// given back, too.
fn evaluate<B: Backend>(
    held_out: &HeldOut<B>,
    model: &Network<B>,
    loss: Loss,
    recording: Option<&mut Recording<B>>,
) -> Result<(Classifications, Duration), SessionError> {
    let mut noting = Duration::ZERO;
    let Some((run, recorder)) = recording.filter(|(_, recorder)| recorder.wants_activations())
    else {
        let classifications = held_out.evaluate(model, loss).map_err(TrainError::from)?;
        return Ok((classifications, noting));
    };
    let labels = labels(recorder.topology());
    let mut noted = Ok(());
    let classifications = held_out.evaluate_traced(model, loss, |layer, output| {
        let start = Instant::now();
        if noted.is_ok() {
            noted = match output {
                LayerOutput::Image(batch) => recorder.activations(&labels[layer], batch),
                LayerOutput::Flat(batch) => recorder.activations(&labels[layer], batch),
            };
        }
        noting += start.elapsed();
    });
    let classifications = classifications.map_err(TrainError::from)?;
    noted.map_err(|source| record_error(run, source))?;
    Ok((classifications, noting))
}

/// Notes what the network makes of the first training batch of an epoch, for the next capture. The
/// pass is made to be recorded, and counts as recording.
fn note_first_batch<B: AutodiffBackend>(
    recorder: &mut TraceRecorder<B::InnerBackend>,
    trainer: &Trainer<B>,
    epoch: Epoch,
) -> Result<(), RecordError> {
    if !recorder.wants_train_activations() {
        return Ok(());
    }
    let start = Instant::now();
    let traced = trainer.trace_first_batch(epoch);
    for (label, output) in labels(recorder.topology()).iter().zip(traced) {
        match output {
            LayerOutput::Image(output) => recorder.train_activations(label, 0, output)?,
            LayerOutput::Flat(output) => recorder.train_activations(label, 0, output)?,
        }
    }
    recorder.spent(start.elapsed());
    Ok(())
}

/// Notes gradients of the last step and what the optimizer keeps of them, for the next capture.
fn note_optimizer<B: AutodiffBackend>(
    recorder: &mut TraceRecorder<B::InnerBackend>,
    trainer: &Trainer<B>,
) -> Result<(), RecordError> {
    let model = trainer.trained();
    if let Some(gradients) = trainer.gradients() {
        recorder.gradients(model, gradients)?;
        recorder.gradients_applied(model, trainer.optimizer(), gradients)?;
    }
    recorder.moments(model, trainer.optimizer())
}

fn labels(topology: &Topology) -> Vec<String> {
    let layers = topology.layers().iter();
    layers.map(|l| l.layer.as_str().to_owned()).collect()
}

#[cfg(test)]
mod resumed;
#[cfg(test)]
mod tests;

//! How a recording begins: a run is created, joined, or gone on with.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capture::{
    DEFAULT_ACTIVATION_SAMPLES, DataRules, JOIN_TIMEOUT, LayerSelection, Limits, NetworkLayers,
    Origin, Plan, Recorded, Recording, Schedule, choose_units,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use sink::{Compress, MaxPartBytes, OnCommit, PatientWriter, READER_PATIENCE, SinkOptions};
use trace::{
    CaptureId, Epoch, FORMAT_VERSION, Layer, Nonce, Rank, RunDir, RunInfo, Step, Topology,
};

use super::layers;
use super::settings::Settings;
use crate::error::{RecordingError, create_error, record_error, recording as recording_error};

/// Runs that Python records say nothing of the places of their data.
const DATA_RULES: DataRules = DataRules {
    is_files: |_| false,
    without_places: Clone::clone,
};

pub(super) fn parse(settings: &str) -> PyResult<Settings> {
    serde_json::from_str(settings).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// What the options mean.
struct Understood {
    recorded: Recorded,
    schedule: Schedule,
    limits: Limits,
    selection: LayerSelection,
    channel_bytes: Option<u64>,
    /// None where it is not said.
    compress: Option<Compress>,
    /// Likewise.
    max_part_bytes: Option<MaxPartBytes>,
}

impl Understood {
    /// # Errors
    /// If an option says what there is not, or options do not go together.
    fn of(settings: &Settings) -> PyResult<Self> {
        let understood = Self {
            recorded: settings.recorded()?,
            schedule: settings.schedule()?,
            limits: settings.limits()?,
            selection: settings.selection()?,
            channel_bytes: settings.channel_bytes()?,
            compress: settings.compress()?,
            max_part_bytes: settings.max_part_bytes()?,
        };
        if let Some(num_epochs) = settings.num_epochs {
            let last = Epoch(num_epochs - 1);
            understood.schedule.check(last).map_err(|error| {
                let words = crate::error::words(&error);
                PyValueError::new_err(format!("every, of epochs={num_epochs}: {words}"))
            })?;
        }
        Ok(understood)
    }

    /// What becomes the run's configuration.
    fn config(&self, settings: &Settings, channel_bytes: u64) -> serde_json::Value {
        serde_json::json!({
            "record": self.recorded,
            "every": self.schedule.to_string(),
            "record_initial": settings.record_initial,
            "layers": self.selection,
            "channel_bytes": channel_bytes,
            "compress": self.compress.unwrap_or_default(),
            "limits": self.limits,
            "max_part_bytes": self.max_part_bytes.unwrap_or_default().0,
            "held_out": settings.held_out,
            "training": settings.config,
        })
    }
}

/// The run, if it were begun now.
fn info(settings: &Settings, topology: Topology, config: serde_json::Value) -> PyResult<RunInfo> {
    Ok(RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw().map_err(recording_error)?,
        created: trace::now(),
        created_by: settings.created_by.clone(),
        seed: settings.seed,
        device: settings.device.clone(),
        world_size: settings.world_size,
        model: serde_json::Value::Null,
        dataset: None,
        evaluation_batch_size: None,
        class_names: settings.class_names.clone(),
        layers: topology,
        config,
    })
}

/// Checks settings before anything is captured: options that say what there is not, or do not go together; of a
/// network that is known already, whether a run can be gone on with as it.
#[pyfunction]
pub(super) fn check(settings: &str) -> PyResult<()> {
    let mut settings = parse(settings)?;
    let understood = Understood::of(&settings)?;
    let described = std::mem::take(&mut settings.network);
    if described.is_empty() {
        return Ok(());
    }
    let network = layers::network(described)?;
    if settings.resume.is_some() {
        check_resumed(&settings, &understood, network.topology())?;
    }
    Ok(())
}

/// Whether a directory is there that is empty, or has only what an interrupted creation of a run left: a run is
/// begun in it.
#[pyfunction]
pub(super) fn is_unborn(path: PathBuf) -> bool {
    RunDir::is_unborn(&path)
}

/// Whether a run can be gone on with, as far as that is known before its network was run: in which order
/// its layers come is not.
fn check_resumed(
    settings: &Settings,
    understood: &Understood,
    topology: &Topology,
) -> PyResult<()> {
    let run = RunDir::open(&settings.path).map_err(recording_error)?;
    let then = &run.info().layers;
    let of = |topology: &Topology, label: &str| {
        let layer = topology.layer(label)?;
        Some((layer.num_units, layer.fan_in))
    };
    // What is tapped is not known yet.
    let is_of_modules = |layer: &&Layer| layer.kind != capture::TAP;
    let those_before = then.layers().iter().filter(is_of_modules);
    for layer in those_before.chain(topology.layers()) {
        let label = layer.layer.as_str();
        let (before, now) = (of(then, label), of(topology, label));
        if before != now {
            let told = |layer: Option<(u32, u32)>| match layer {
                None => "is not".to_owned(),
                Some((num_units, fan_in)) => {
                    format!("has {num_units} units with {fan_in} weights each")
                }
            };
            return Err(RecordingError::new_err(format!(
                "{} was begun with another network: layer {label} {} there, and {} here; give the network that it \
                 was begun with, or name another directory",
                run.path().display(),
                told(before),
                told(now),
            )));
        }
    }
    let config = understood.config(settings, 0);
    let now = info(settings, then.clone(), config)?;
    capture::check_resumable(&run, &now, DATA_RULES).map_err(recording_error)
}

/// A recording that was started, and what it is of.
pub(super) struct Started {
    pub(super) recording: Recording,
    pub(super) layers: Arc<NetworkLayers>,
    pub(super) recorded: Recorded,
    pub(super) schedule: Schedule,
    pub(super) run: RunDir,
}

/// Runs that this process has created, where there was no room to begin recording: another try goes on with them.
static CREATED: Mutex<Vec<RunDir>> = Mutex::new(Vec::new());

fn lock_created() -> MutexGuard<'static, Vec<RunDir>> {
    CREATED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The run of the same network that was created at `path` and could not be begun, if it is there still.
fn take_created(path: &Path, info: &RunInfo) -> Option<RunDir> {
    let mut created = lock_created();
    let at = created.iter().position(|run| run.path() == path)?;
    let run = created.swap_remove(at);
    let found = RunDir::open(path).ok()?;
    let is_same = found.info().run_id == run.info().run_id && found.info().layers == info.layers;
    is_same.then_some(run)
}

/// Creates the run, or goes on with it, and starts the recorder's threads.
///
/// # Errors
/// If the options are wrong, or the run cannot be created or gone on with.
pub(super) fn start(mut settings: Settings) -> PyResult<Started> {
    let understood = Understood::of(&settings)?;
    let rank = Rank(settings.rank);
    let network = layers::network(std::mem::take(&mut settings.network))?;
    let recorded = understood.recorded;
    let topology = choose_units(
        network.topology().clone(),
        recorded.units,
        settings.seed.unwrap_or(0),
    );
    let layers = Arc::new(NetworkLayers::new(topology, network.into_rows()));
    let topology = layers.topology();
    let mut selected = understood
        .selection
        .select_leniently(topology)
        .map_err(recording_error)?;
    // Every so many layers are a rank's, so that each is recorded once; the running means are those of
    // rank 0, whose network is the one that is kept.
    for (selected, layer) in selected.iter_mut().zip(topology.layers()) {
        let owner = match layer.is_buffer() {
            true => 0,
            false => layer.layer_index % settings.world_size,
        };
        *selected &= owner == rank.0.cast_unsigned();
    }
    let num_held_out = settings.num_held_out.unwrap_or(DEFAULT_ACTIVATION_SAMPLES);
    recorded
        .check(topology, num_held_out)
        .map_err(recording_error)?;
    let by_default = || recorded.default_channel_bytes(topology, num_held_out);
    let channel_bytes = understood.channel_bytes.unwrap_or_else(by_default);
    let mut config = understood.config(&settings, channel_bytes);
    let mut compress = understood.compress.unwrap_or_default();
    let mut max_part_bytes = understood.max_part_bytes.unwrap_or_default();
    let info = info(&settings, topology.clone(), config.clone())?;
    let on_commit = settings.commits.as_deref().map(tell_commits);
    let on_commit = on_commit.transpose()?.flatten();
    let path = &settings.path;
    let (run, origin, resume) = match settings.resume {
        None => {
            let run = match rank == Rank::default() {
                true => match take_created(path, &info) {
                    Some(run) => run,
                    None => RunDir::create(path, info).map_err(create_error)?,
                },
                false => {
                    let cancel = capture::CancelToken::default();
                    capture::join(path, &info, rank, DATA_RULES, &cancel, JOIN_TIMEOUT)
                        .map_err(recording_error)?
                }
            };
            if let Some(warning) = trace::partition_warning(run.path()) {
                tracing::warn!("{warning}");
            }
            (run, Origin::default(), None)
        }
        Some((epoch, step)) => {
            let after = CaptureId {
                epoch: Epoch(epoch),
                step: Step(step),
            };
            let mut resumed = capture::resume_after(path, &info, rank, after, DATA_RULES)
                .map_err(recording_error)?;
            let origin = resumed.take_origin();
            compress = resumed.choose_compress(understood.compress, &mut config);
            let asked = understood.max_part_bytes;
            max_part_bytes = resumed.choose_max_part_bytes(asked, &mut config);
            (resumed.run, origin, Some(resumed.sink))
        }
    };
    let recorded = Recorded {
        classifications: recorded.classifications && rank == Rank::default(),
        ..recorded
    };
    let plan = Plan {
        recorded,
        selected,
        schedule: understood.schedule.clone(),
        last_epoch: settings.num_epochs.map(|num_epochs| Epoch(num_epochs - 1)),
        origin,
        limits: understood.limits,
        owner_reports: true,
    };
    let sink_options = SinkOptions {
        channel_bytes,
        rank,
        session: Some(config),
        resume,
        on_commit,
        compress,
        max_part_bytes,
        ..SinkOptions::default()
    };
    let recording = Recording::start(&run, Arc::clone(&layers), plan, sink_options);
    let is_own = settings.resume.is_none() && rank == Rank::default();
    let recording = recording.inspect_err(|error| {
        if is_own && error.is_for_want_of_room() {
            lock_created().push(run.clone());
        }
    });
    Ok(Started {
        recording: recording.map_err(record_error)?,
        layers,
        recorded,
        schedule: understood.schedule,
        run,
    })
}

/// Who is told of commits: the end of a file. A pipe that nobody opens or reads is given up after a while, whatever else
/// goes on: Ctrl-C does not reach a training that waits for the recorder, so that nobody could end it otherwise.
fn tell_commits(to: &Path) -> PyResult<Option<OnCommit>> {
    let wrong = |error| {
        let to = to.display();
        RecordingError::new_err(format!(
            "cannot write to {to}, where commits= is to tell what is committed: {error}"
        ))
    };
    // A disk may take its time.
    if fs::metadata(to).map_or(true, |told| told.is_file() || told.is_dir()) {
        return OnCommit::append_to(to).map(Some).map_err(wrong);
    }
    let path = to.to_owned();
    let open = move || File::options().append(true).open(path);
    match PatientWriter::try_open(open, READER_PATIENCE, || true) {
        Ok(lines) => Ok(Some(OnCommit::lines(lines))),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let to = to.display();
            tracing::warn!("commits are not told, recording goes on without: {to}: {error}");
            Ok(None)
        }
        Err(error) => Err(wrong(error)),
    }
}

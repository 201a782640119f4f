//! A series of checkpoints becomes a run.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use sink::{OpenCapture, Part, Sink, SinkError, SinkOptions, SinkStats, StartSinkError};
use trace::{
    CaptureId, Catalog, CreateRunError, Epoch, FORMAT_VERSION, Generation, Layer, Nonce, PartPath,
    Rank, RunDir, RunInfo, Step, Table, Topology,
};

use crate::CREATED_BY;
use crate::precision::Precision;
use crate::rows::{self, RowKey};
use crate::training::CancelToken;

use super::checkpoint::{Checkpoint, CheckpointError, ValueReader};
use super::layers::{ImportedTopologyError, topology};
use super::pattern::{NamePattern, Numbers, guess, is_shard};
use super::values::{always_fits, is_supported};

/// Memory for rows that wait to be written, at least. There is room for [`CHANNEL_LAYERS`] of the
/// largest layers, within this and [`MAX_CHANNEL_BYTES`]; a larger layer goes alone.
const MIN_CHANNEL_BYTES: u64 = 1 << 20;
/// Memory for rows that wait to be written, at most.
const MAX_CHANNEL_BYTES: u64 = 64 << 20;
/// For how many of the largest layers the channel has room.
const CHANNEL_LAYERS: u64 = 2;

/// What to import, and what it means.
#[derive(Debug, Clone)]
pub struct ImportOptions {
    /// Safetensors files, indices of sharded checkpoints (`*.safetensors.index.json`), or globs of
    /// them; in any order.
    pub checkpoints: Vec<PathBuf>,
    /// The run's directory, which must not exist or be empty.
    pub out: PathBuf,
    /// Where names say epoch or step; without it the words epoch and step before a number tell, or
    /// else the last number is the epoch.
    pub pattern: Option<NamePattern>,
    /// Optimizer steps in an epoch, by which an epoch tells the step and a step the epoch. Without
    /// it epoch n ends with step n + 1, and checkpoints that tell a step alone are epochs 0, 1, ...
    /// in their order; step 0 is the untrained network, epoch -1.
    pub steps_per_epoch: Option<NonZeroU64>,
    /// Whether values that a 32-bit float does not hold are rounded; they are an error else.
    pub lossy: bool,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// The capture that was handed over last.
    pub capture: CaptureId,
    /// Checkpoints handed over.
    pub num_done: usize,
    /// Checkpoints that there are.
    pub num_checkpoints: usize,
    /// Bytes of part files written so far.
    pub part_bytes: u64,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportSummary {
    /// The run.
    pub run: PathBuf,
    /// Its network.
    pub topology: Topology,
    /// Checkpoints that there are; fewer captures than that are committed if it was interrupted.
    pub num_checkpoints: usize,
    /// The captures that are committed, by epoch and step.
    pub captures: Vec<CaptureId>,
    /// What the sink did.
    pub sink: SinkStats,
}

impl ImportSummary {
    /// Whether it was cancelled before the last checkpoint.
    pub fn is_interrupted(&self) -> bool {
        self.captures.len() < self.num_checkpoints
    }
}

/// Why checkpoints cannot be imported. Nothing is created before all of them were looked at.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No checkpoint was named.
    #[error("there is nothing to import: name checkpoints")]
    NoCheckpoints,
    /// A glob that nothing matches, or that is none.
    #[error("{} matches no file", glob.display())]
    NothingMatches {
        /// The glob.
        glob: PathBuf,
    },
    /// A part of a checkpoint was named.
    #[error("{} is one of several shards: name the index that lies beside them, *.safetensors.index.json", path.display())]
    Shard {
        /// The file.
        path: PathBuf,
    },
    /// The name says neither epoch nor step.
    #[error("{} does not say which epoch or step it is{}", path.display(), no_number(pattern))]
    NoNumber {
        /// The file.
        path: PathBuf,
        /// The pattern that it does not fit, where there is one.
        pattern: Option<String>,
    },
    /// Some names say the epoch, some the step.
    #[error("{} tells {of_first}, {} tells {of_other}: say with --pattern which number counts", first.display(), other.display())]
    Mixed {
        /// A file.
        first: PathBuf,
        /// What its name tells.
        of_first: &'static str,
        /// A file whose name tells something else.
        other: PathBuf,
        /// What its name tells.
        of_other: &'static str,
    },
    /// An epoch or step that a trace cannot number.
    #[error("{}: a trace cannot number such an epoch or step", path.display())]
    NumberTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Two files are the same capture.
    #[error("{} and {} are both epoch {}, step {}", first.display(), second.display(), id.epoch, id.step)]
    Duplicate {
        /// A file.
        first: PathBuf,
        /// A file that is the same.
        second: PathBuf,
        /// What both are.
        id: CaptureId,
    },
    /// A checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A checkpoint is not of the same network as the first.
    #[error("{} is of another network than {}: tensor {tensor} {problem}", path.display(), first.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// The file that it was compared with.
        first: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is different.
        problem: String,
    },
    /// A trace cannot describe the network.
    #[error("{} cannot be recorded", path.display())]
    Topology {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ImportedTopologyError,
    },
    /// The run cannot be created.
    #[error(transparent)]
    CreateRun(#[from] CreateRunError),
    /// There is an import already.
    #[error(
        "{} holds an import already, {num_committed} of its {num_checkpoints} checkpoints are committed: nothing is ever overwritten, remove it or name another directory", run.display()
    )]
    Exists {
        /// The run.
        run: PathBuf,
        /// Captures that are committed.
        num_committed: usize,
        /// Checkpoints that it was to hold.
        num_checkpoints: usize,
    },
    /// The operating system has no randomness for the run's name.
    #[error("cannot draw a name for the run")]
    Nonce(#[source] std::io::Error),
    /// The run cannot be written to.
    #[error(transparent)]
    Start(#[from] StartSinkError),
    /// The import ended before the last checkpoint. What is committed is whole.
    #[error(
        "the import into {} is not whole, {num_committed} of {num_checkpoints} checkpoints are committed", run.display()
    )]
    Incomplete {
        /// The run.
        run: PathBuf,
        /// Captures that are committed.
        num_committed: usize,
        /// Checkpoints that there are.
        num_checkpoints: usize,
        /// Why.
        source: Box<CopyError>,
    },
}

/// Why a checkpoint did not become a capture.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// It cannot be recorded.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

fn no_number(pattern: &Option<String>) -> String {
    match pattern {
        Some(pattern) => format!(": it does not fit the pattern {pattern}"),
        None => ": say where, as --pattern 'model-{epoch}.safetensors' or \
                 'checkpoint-{step}/model.safetensors'"
            .to_owned(),
    }
}

/// Makes a run of checkpoints, one capture each, in the order of their epochs and steps.
///
/// All headers are looked at before anything is created; then one tensor at a time is in memory,
/// and what waits to be written. `cancel` ends the import after the checkpoint in hand.
///
/// # Errors
/// If anything about the checkpoints is not as it should be, or the run cannot be written. From
/// [`ImportError::Incomplete`] on there is a run, whose captures are whole.
pub fn import(
    options: &ImportOptions,
    cancel: &CancelToken,
    observer: &mut dyn FnMut(&ImportProgress),
) -> Result<ImportSummary, ImportError> {
    let files = expand(&options.checkpoints)?;
    let series = series(files, options)?;
    let topology = same_network(&series, options.lossy)?;
    let run = create(options, &series, topology)?;
    let topology = &run.info().layers;
    let sink_options = SinkOptions {
        channel_bytes: channel_bytes(topology),
        session: Some(run.info().config.clone()),
        ..SinkOptions::default()
    };
    let sink = Sink::start(&run, sink_options)?;
    let mut copied = Ok(());
    for (index, (path, id)) in series.iter().enumerate() {
        if cancel.is_cancelled() {
            break;
        }
        copied = copy(path, *id, topology, options.lossy, &sink);
        if copied.is_err() {
            break;
        }
        observer(&ImportProgress {
            capture: *id,
            num_done: index + 1,
            num_checkpoints: series.len(),
            part_bytes: sink.stats().part_bytes,
        });
    }
    // What was handed over is committed, however the import ended.
    let finished = sink.finish();
    let committed = committed(&run);
    let incomplete = |source| ImportError::Incomplete {
        run: run.path().to_owned(),
        num_committed: committed.len(),
        num_checkpoints: series.len(),
        source: Box::new(source),
    };
    copied.map_err(incomplete)?;
    let sink = finished.map_err(|error| incomplete(error.into()))?.stats;
    Ok(ImportSummary {
        run: run.path().to_owned(),
        topology: topology.clone(),
        num_checkpoints: series.len(),
        captures: committed,
        sink,
    })
}

/// The files that were named, and those that globs match.
fn expand(named: &[PathBuf]) -> Result<Vec<PathBuf>, ImportError> {
    let mut files = Vec::new();
    for path in named {
        let text = path.to_string_lossy();
        if path.exists() || !text.contains(['*', '?', '[']) {
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        files.extend(glob::glob(&text).into_iter().flatten().flatten());
        if files.len() == before {
            return Err(ImportError::NothingMatches { glob: path.clone() });
        }
    }
    match files.is_empty() {
        true => Err(ImportError::NoCheckpoints),
        false => Ok(files),
    }
}

/// What every file is, in order.
fn series(
    files: Vec<PathBuf>,
    options: &ImportOptions,
) -> Result<Vec<(PathBuf, CaptureId)>, ImportError> {
    let mut named = Vec::new();
    for path in files {
        let numbers = match &options.pattern {
            Some(pattern) => pattern.numbers(&path),
            None if is_shard(&path) => return Err(ImportError::Shard { path }),
            None => guess(&path),
        };
        match numbers {
            Some(numbers) => named.push((path, numbers)),
            None => {
                return Err(ImportError::NoNumber {
                    path,
                    pattern: options.pattern.as_ref().map(NamePattern::to_string),
                });
            }
        }
    }
    let (first, rest) = named.split_first().expect("there are files");
    for other in rest {
        if what(&first.1) != what(&other.1) {
            return Err(ImportError::Mixed {
                first: first.0.clone(),
                of_first: what(&first.1),
                other: other.0.clone(),
                of_other: what(&other.1),
            });
        }
    }
    named.sort_by_key(|(_, numbers)| (numbers.epoch, numbers.step));
    let mut series: Vec<(PathBuf, CaptureId)> = Vec::new();
    let mut untrained = 0;
    for (index, (path, numbers)) in named.into_iter().enumerate() {
        untrained += usize::from(numbers.step == Some(0));
        let position = index as i64 - untrained as i64;
        let Some(id) = capture_id(numbers, options.steps_per_epoch, position) else {
            return Err(ImportError::NumberTooLarge { path });
        };
        series.push((path, id));
    }
    series.sort_by_key(|(_, id)| (id.epoch, id.step));
    let mut seen = HashMap::new();
    for (path, id) in &series {
        if let Some(first) = seen.insert((id.epoch, id.step), path) {
            return Err(ImportError::Duplicate {
                first: first.clone(),
                second: path.clone(),
                id: *id,
            });
        }
    }
    Ok(series)
}

/// What a name tells, in words.
fn what(numbers: &Numbers) -> &'static str {
    match (numbers.epoch, numbers.step) {
        (Some(_), Some(_)) => "an epoch and a step",
        (Some(_), None) => "an epoch",
        _ => "a step",
    }
}

/// Epoch and step of a checkpoint that is at `position` among those that are trained; none if they
/// are out of range. As [`ImportOptions::steps_per_epoch`] says.
fn capture_id(
    numbers: Numbers,
    steps_per_epoch: Option<NonZeroU64>,
    position: i64,
) -> Option<CaptureId> {
    let (epoch, step) = match (numbers.epoch, numbers.step) {
        (Some(epoch), Some(step)) => (i64::try_from(epoch).ok()?, step),
        (Some(epoch), None) => {
            let steps = steps_per_epoch.map_or(1, NonZeroU64::get);
            let step = epoch.checked_add(1)?.checked_mul(steps)?;
            (i64::try_from(epoch).ok()?, step)
        }
        (None, step) => {
            let step = step?;
            let epoch = match steps_per_epoch {
                _ if step == 0 => Epoch::INITIAL.0.into(),
                Some(steps) => i64::try_from((step - 1) / steps).ok()?,
                None => position,
            };
            (epoch, step)
        }
    };
    Some(CaptureId {
        epoch: Epoch(i32::try_from(epoch).ok()?),
        step: Step(i64::try_from(step).ok()?),
    })
}

/// The topology of checkpoints that are all of one network, in one and the same types. Whether values
/// fit is looked at in the first, so that 64-bit floats are not found out halfway.
fn same_network(series: &[(PathBuf, CaptureId)], lossy: bool) -> Result<Topology, ImportError> {
    let (first_path, _) = series.first().expect("there are files");
    let first = Checkpoint::open(first_path)?;
    for (name, tensor) in first.tensors() {
        if !is_supported(tensor.dtype) {
            return Err(CheckpointError::Unsupported {
                path: first.file_of(name).unwrap_or(first_path).to_owned(),
                tensor: name.to_owned(),
                dtype: tensor.dtype.to_string(),
            }
            .into());
        }
    }
    let topology = topology(first.tensors()).map_err(|source| ImportError::Topology {
        path: first_path.clone(),
        source,
    })?;
    let mut values = first.values(lossy);
    for (name, _) in first
        .tensors()
        .filter(|(_, t)| !lossy && !always_fits(t.dtype))
    {
        values.read(name)?;
    }
    for (path, _) in &series[1..] {
        let other = Checkpoint::open(path)?;
        let differs = |tensor: &str, problem| ImportError::Differs {
            path: path.clone(),
            first: first_path.clone(),
            tensor: tensor.to_owned(),
            problem,
        };
        for (name, expected) in first.tensors() {
            match other.tensor(name) {
                None => return Err(differs(name, "is missing".to_owned())),
                Some(found) if found == expected => {}
                Some(found) => {
                    let problem = format!(
                        "is {} {:?}, and {} {:?} there",
                        found.dtype, found.shape, expected.dtype, expected.shape
                    );
                    return Err(differs(name, problem));
                }
            }
        }
        if let Some((name, _)) = other
            .tensors()
            .find(|(name, _)| first.tensor(name).is_none())
        {
            return Err(differs(name, "is not there".to_owned()));
        }
    }
    Ok(topology)
}

fn create(
    options: &ImportOptions,
    series: &[(PathBuf, CaptureId)],
    topology: Topology,
) -> Result<RunDir, ImportError> {
    let checkpoints = series.iter().map(|(path, id)| {
        serde_json::json!({
            "file": path.to_string_lossy(),
            "epoch": id.epoch,
            "step": id.step,
        })
    });
    let info = RunInfo {
        format: FORMAT_VERSION,
        run_id: Nonce::draw().map_err(ImportError::Nonce)?,
        created: trace::now(),
        created_by: CREATED_BY.to_owned(),
        seed: None,
        device: "unknown".to_owned(),
        model: serde_json::Value::Null,
        dataset: None,
        evaluation_batch_size: None,
        class_names: Vec::new(),
        layers: topology,
        world_size: 1,
        config: serde_json::json!({
            "import": {
                "pattern": options.pattern.as_ref().map(NamePattern::to_string),
                "steps_per_epoch": options.steps_per_epoch,
                "lossy": options.lossy,
                "checkpoints": checkpoints.collect::<Vec<_>>(),
            },
        }),
    };
    RunDir::create(&options.out, info).map_err(|error| match &error {
        CreateRunError::NotEmpty { path } => existing_import(path).unwrap_or(error.into()),
        _ => error.into(),
    })
}

/// What to say of a directory that holds an import already.
fn existing_import(path: &Path) -> Option<ImportError> {
    let run = RunDir::open(path).ok()?;
    let checkpoints = run.info().config.pointer("/import/checkpoints")?;
    Some(ImportError::Exists {
        run: path.to_owned(),
        num_committed: committed(&run).len(),
        num_checkpoints: checkpoints.as_array()?.len(),
    })
}

/// The captures of a run that are committed; none if that cannot be read.
fn committed(run: &RunDir) -> Vec<CaptureId> {
    Catalog::load(run).map_or(Vec::new(), |catalog| {
        catalog.captures().iter().map(|c| c.id).collect()
    })
}

fn channel_bytes(topology: &Topology) -> u64 {
    let values_of = |layer: &Layer| u64::from(layer.num_units) * u64::from(layer.fan_in);
    let largest = topology.layers().iter().map(values_of).max().unwrap_or(0);
    let bytes = CHANNEL_LAYERS * largest * size_of::<f32>() as u64;
    bytes.clamp(MIN_CHANNEL_BYTES, MAX_CHANNEL_BYTES)
}

/// Hands one checkpoint over as a capture.
fn copy(
    path: &Path,
    id: CaptureId,
    topology: &Topology,
    lossy: bool,
    sink: &Sink,
) -> Result<(), CopyError> {
    let checkpoint = Checkpoint::open(path)?;
    let mut values = checkpoint.values(lossy);
    let mut capture = sink.begin(Some(id));
    for layer in topology.layers() {
        copy_layer(layer, id, &mut values, &mut capture)?;
    }
    Ok(capture.end()?)
}

fn copy_layer(
    layer: &Layer,
    id: CaptureId,
    values: &mut ValueReader<'_>,
    capture: &mut OpenCapture<'_>,
) -> Result<(), CopyError> {
    if layer.num_units == 0 {
        return Ok(());
    }
    let mut tensors = layer.tensors.iter();
    let mut read = || tensors.next().map(|tensor| values.read(&tensor.name));
    let weights = read().expect("every layer is of a tensor")?;
    let bias = read().transpose()?;
    let rank = Rank::default();
    let rows = rows::weights(
        RowKey { id, rank },
        layer,
        weights,
        bias,
        Some(Precision::F32),
    );
    let path = PartPath {
        table: Table::Weights,
        epoch: id.epoch,
        layer: Some(layer.layer.clone()),
        step: id.step,
        rank,
        generation: Generation::default(),
        sequence: 0,
        nonce: None,
    };
    Ok(capture.send(Part { path, rows })?)
}

#[cfg(test)]
mod tests;

//! A series of checkpoints becomes a run.

mod error;
mod numbers;
mod plan;
mod series;

use std::collections::HashSet;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sink::{Closing, OpenCapture, Part, Resume, Sink, SinkOptions, SinkStats, StartSinkError};
use trace::{
    CaptureId, Catalog, Compress, CreateRunError, Epoch, FORMAT_VERSION, Generation, Layer,
    MaxPartBytes, Nonce, PartPath, Rank, RunDir, RunInfo, Step, Table, Topology,
};

use crate::cancel::CancelToken;
use crate::layout::transpose;
use crate::precision::Precision;
use crate::rows::{self, RowKey};

use super::checkpoint::{Checkpoint, CheckpointError, CheckpointLibrary, ValueReader};
use super::pattern::NamePattern;
use super::units::TransposeGlobs;

pub use error::{CopyError, ImportError};
pub use plan::{ImportNote, ImportPlan};
pub use series::Odd;

use plan::committed_import;

/// The program and version in the `run.json` of an imported run.
const CREATED_BY: &str = concat!("stratigraph recorder ", env!("CARGO_PKG_VERSION"));

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
    /// Safetensors files, those that [`ImportOptions::library`] reads, indices of sharded checkpoints
    /// (`*.safetensors.index.json`), or globs of them; in any order.
    pub checkpoints: Vec<PathBuf>,
    /// The run's directory, which must not exist or be empty.
    pub out: PathBuf,
    /// Reads the files that are of another format, as PyTorch those of `torch.save`.
    pub library: Option<Arc<dyn CheckpointLibrary>>,
    /// Where names say epoch or step; without it the words epoch and step beside a number tell, or else
    /// the only number is the epoch. What names leave open a library's files may tell themselves.
    pub pattern: Option<NamePattern>,
    /// Optimizer steps in an epoch, by which an epoch tells the step and a step the epoch. Without
    /// it epoch n ends with step n + 1, and checkpoints that tell a step alone are epochs 0, 1, ...
    /// in their order; step 0 is the untrained network, epoch -1.
    pub steps_per_epoch: Option<NonZeroU64>,
    /// Whether values that a 32-bit float does not hold are rounded; they are an error else.
    pub lossy: bool,
    /// What is known of tensors' layouts that they do not tell themselves.
    pub transpose: TransposeGlobs,
    /// What is taken off tensors' names, one after the other, where they begin with it.
    pub strip_prefix: Vec<String>,
    /// Which columns are compressed; none for [`Compress::Auto`], or for what the last session compressed where an
    /// import is gone on with.
    pub compress: Option<Compress>,
    /// How much of a layer goes into one part file; none for the default, or for what the last session put into one
    /// where an import is gone on with.
    pub max_part_bytes: Option<MaxPartBytes>,
    /// Whether to go on with the import in [`ImportOptions::out`] that did not come to its end.
    pub resume: bool,
}

impl ImportOptions {
    /// Opens a checkpoint, whose tensors have the names that they are saved under.
    fn open_as_saved(&self, path: &Path) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open(path, self.library.as_deref())
    }

    /// Opens a checkpoint.
    fn open(&self, path: &Path) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::open_without(path, &self.strip_prefix, self.library.as_deref())
    }
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

/// Makes a run of checkpoints, one capture each, in the order of their epochs and steps.
///
/// All of them are looked at before anything is created ([`ImportPlan::try_new`]); then one tensor at a time
/// is in memory, and what waits to be written. `cancel` ends the import after the checkpoint in hand.
///
/// # Errors
/// If anything about the checkpoints is not as it should be, or the run cannot be written. From
/// [`ImportError::Incomplete`] on there is a run, whose captures are whole.
pub fn import(
    options: &ImportOptions,
    cancel: &CancelToken,
    observer: &mut dyn FnMut(&ImportProgress),
) -> Result<ImportSummary, ImportError> {
    ImportPlan::try_new(options, cancel)?.run(cancel, observer)
}

/// A run to import into.
struct Target {
    run: RunDir,
    /// Set where it is gone on with.
    resume: Option<Resume>,
    generation: Generation,
    /// What is committed already.
    done: HashSet<(Epoch, Step)>,
    compress: Compress,
    max_part_bytes: MaxPartBytes,
}

impl ImportPlan {
    /// Makes the run, as [`import`] does.
    ///
    /// # Errors
    /// If the run cannot be created, gone on with or written. From [`ImportError::Incomplete`] on there
    /// is a run, whose captures are whole.
    pub fn run(
        &self,
        cancel: &CancelToken,
        observer: &mut dyn FnMut(&ImportProgress),
    ) -> Result<ImportSummary, ImportError> {
        let target = match self.options.resume {
            true => self.reopen()?,
            false => self.create()?,
        };
        let run = target.run;
        let topology = &run.info().layers;
        let mut session = run.info().config.clone();
        target.compress.say_in(&mut session);
        target.max_part_bytes.say_in(&mut session);
        let sink_options = SinkOptions {
            channel_bytes: channel_bytes(topology),
            session: Some(session),
            resume: target.resume,
            compress: target.compress,
            max_part_bytes: target.max_part_bytes,
            ..SinkOptions::default()
        };
        let sink = Sink::start(&run, sink_options)?;
        let mut copied = Ok(());
        for (index, (path, id)) in self.series.iter().enumerate() {
            if target.done.contains(&(id.epoch, id.step)) {
                continue;
            }
            if cancel.is_cancelled() {
                break;
            }
            copied = copy(path, *id, &self.options, topology, target.generation, &sink);
            if copied.is_err() {
                break;
            }
            observer(&ImportProgress {
                capture: *id,
                num_done: index + 1,
                num_checkpoints: self.series.len(),
                part_bytes: sink.stats().part_bytes,
            });
        }
        // What was handed over is committed, however the import ended.
        let closing = match copied.is_ok() {
            true => Closing::Finished,
            false => Closing::BrokenOff,
        };
        let (sink, finished) = sink.close(closing);
        let committed = committed(&run);
        let incomplete = |source| ImportError::Incomplete {
            run: run.path().to_owned(),
            num_committed: committed.len(),
            num_checkpoints: self.series.len(),
            source: Box::new(source),
        };
        copied.map_err(incomplete)?;
        finished.map_err(|error| incomplete(error.into()))?;
        Ok(ImportSummary {
            run: run.path().to_owned(),
            topology: topology.clone(),
            num_checkpoints: self.series.len(),
            captures: committed,
            sink,
        })
    }

    /// How the checkpoints are read and their rows written, for `run.json`.
    fn config(&self) -> serde_json::Value {
        let options = &self.options;
        let checkpoints = self.series.iter().map(|(path, id)| {
            serde_json::json!({
                "file": path.to_string_lossy(),
                "epoch": id.epoch,
                "step": id.step,
            })
        });
        let mut config = serde_json::json!({
            "import": {
                "pattern": options.pattern.as_ref().map(NamePattern::to_string),
                "steps_per_epoch": options.steps_per_epoch,
                "lossy": options.lossy,
                "transpose": options.transpose.texts(),
                "strip_prefix": options.strip_prefix,
                "key": options.library.as_ref().and_then(|library| library.key()),
                "checkpoints": checkpoints.collect::<Vec<_>>(),
            },
            "compress": self.options.compress.unwrap_or_default(),
        });
        let max_part_bytes = self.options.max_part_bytes.unwrap_or_default();
        max_part_bytes.say_in(&mut config);
        config
    }

    fn create(&self) -> Result<Target, ImportError> {
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
            layers: self.topology.clone(),
            world_size: 1,
            config: self.config(),
        };
        let out = &self.options.out;
        let run = RunDir::create(out, info).map_err(|error| match &error {
            CreateRunError::NotEmpty { path } => existing_import(path).unwrap_or(error.into()),
            _ => error.into(),
        })?;
        Ok(Target {
            run,
            resume: None,
            generation: Generation::default(),
            done: HashSet::new(),
            compress: self.options.compress.unwrap_or_default(),
            max_part_bytes: self.options.max_part_bytes.unwrap_or_default(),
        })
    }

    /// Opens the run of an import that did not come to its end; creates it, if that one did not come so
    /// far.
    fn reopen(&self) -> Result<Target, ImportError> {
        let out = &self.options.out;
        if is_unborn(out) {
            return self.create();
        }
        let run = RunDir::open(out)?;
        self.check_unchanged(&run)?;
        let lock = Arc::new(
            run.lock_writer(Rank::default())
                .map_err(StartSinkError::from)?,
        );
        let catalog = Catalog::load(&run)?;
        let done: HashSet<(Epoch, Step)> = catalog
            .captures()
            .iter()
            .map(|capture| (capture.id.epoch, capture.id.step))
            .collect();
        let num_sessions = catalog.sessions().len();
        let before = catalog.last_compress(run.info(), None);
        let max_part_bytes = catalog.last_max_part_bytes(run.info(), None);
        let max_part_bytes = self.options.max_part_bytes.or(max_part_bytes);
        if self
            .series
            .iter()
            .all(|(_, id)| done.contains(&(id.epoch, id.step)))
        {
            return Err(ImportError::Finished {
                run: out.clone(),
                num_checkpoints: self.series.len(),
            });
        }
        Ok(Target {
            run,
            resume: Some(Resume {
                lock,
                retired: Vec::new(),
            }),
            generation: Generation(u32::try_from(num_sessions).unwrap_or(u32::MAX)),
            done,
            compress: self.options.compress.or(before).unwrap_or_default(),
            max_part_bytes: max_part_bytes.unwrap_or_default(),
        })
    }

    /// Checks that the run is of the same checkpoints, read in the same way. Files may lie elsewhere.
    fn check_unchanged(&self, run: &RunDir) -> Result<(), ImportError> {
        let then = run.info().config.get("import");
        let then = then.ok_or_else(|| ImportError::NoImport {
            run: run.path().to_owned(),
        })?;
        let now = &self.config()["import"];
        let changed = |key: &str, then: serde_json::Value, now: serde_json::Value| {
            Err(ImportError::Changed {
                run: run.path().to_owned(),
                key: key.to_owned(),
                then,
                now,
            })
        };
        for (key, now) in now.as_object().into_iter().flatten() {
            let then = match then.get(key) {
                Some(then) => then.clone(),
                // Earlier versions had no such options.
                None if key == "key" => serde_json::Value::Null,
                None => serde_json::json!([]),
            };
            if key != "checkpoints" && then != *now {
                return changed(key, then, now.clone());
            }
        }
        let captures = |import: &serde_json::Value| -> Vec<serde_json::Value> {
            let checkpoints = import["checkpoints"].as_array();
            let checkpoints = checkpoints.into_iter().flatten().map(|checkpoint| {
                let file = checkpoint["file"].as_str().map(Path::new);
                let name = file.and_then(Path::file_name).unwrap_or_default();
                let name = name.to_string_lossy();
                serde_json::json!([name, checkpoint["epoch"], checkpoint["step"]])
            });
            checkpoints.collect()
        };
        let (before, after) = (captures(then), captures(now));
        if before.len() != after.len() {
            let key = "the number of checkpoints";
            return changed(key, before.len().into(), after.len().into());
        }
        for (before, after) in before.into_iter().zip(after) {
            if before != after {
                return changed("a checkpoint (name, epoch, step)", before, after);
            }
        }
        for (then, now) in run
            .info()
            .layers
            .layers()
            .iter()
            .zip(self.topology.layers())
        {
            if then != now {
                let json = |layer: &Layer| serde_json::json!(layer);
                return changed("a layer", json(then), json(now));
            }
        }
        match run.info().layers == self.topology {
            true => Ok(()),
            false => {
                let number = |topology: &Topology| topology.layers().len().into();
                let (then, now) = (number(&run.info().layers), number(&self.topology));
                changed("the number of layers", then, now)
            }
        }
    }
}

/// Whether an import was ended before its run was there.
fn is_unborn(out: &Path) -> bool {
    match std::fs::exists(out) {
        Ok(exists) => !exists || RunDir::is_unborn(out),
        Err(_) => false,
    }
}

/// What to say of a directory that holds an import already.
fn existing_import(path: &Path) -> Option<ImportError> {
    let (run, num_checkpoints) = committed_import(path)?;
    Some(ImportError::Exists {
        run: path.to_owned(),
        num_committed: committed(&run).len(),
        num_checkpoints,
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
    options: &ImportOptions,
    topology: &Topology,
    generation: Generation,
    sink: &Sink,
) -> Result<(), CopyError> {
    let checkpoint = options.open(path)?;
    for tensor in topology.layers().iter().flat_map(|layer| &layer.tensors) {
        let found = checkpoint.tensor(&tensor.name);
        if found.is_none_or(|found| found.shape != tensor.shape) {
            return Err(CheckpointError::Changed {
                path: path.to_owned(),
            }
            .into());
        }
    }
    let mut values = checkpoint.values(options.lossy);
    let mut capture = sink.begin(Some(id));
    for layer in topology.layers() {
        let max_part_bytes = sink.max_part_bytes();
        copy_layer(
            layer,
            id,
            (generation, max_part_bytes),
            &mut values,
            &mut capture,
        )?;
    }
    Ok(capture.end()?)
}

fn copy_layer(
    layer: &Layer,
    id: CaptureId,
    (generation, max_part_bytes): (Generation, MaxPartBytes),
    values: &mut ValueReader<'_>,
    capture: &mut OpenCapture<'_>,
) -> Result<(), CopyError> {
    if layer.num_units == 0 {
        return Ok(());
    }
    let mut tensors = layer.tensors.iter();
    let mut read = || tensors.next().map(|tensor| values.read(&tensor.name));
    let mut weights = read().expect("every layer is of a tensor")?;
    if layer
        .tensors
        .first()
        .is_some_and(|tensor| tensor.transposed)
    {
        weights = transpose(&weights, layer.fan_in as usize, layer.num_units as usize);
    }
    let bias = read().transpose()?;
    let rank = Rank::default();
    let key = RowKey { id, rank };
    let path = |sequence| PartPath {
        table: Table::Weights,
        epoch: id.epoch,
        layer: Some(layer.layer.clone()),
        step: id.step,
        rank,
        generation,
        sequence,
        nonce: None,
    };
    let lists = Some(Precision::F32);
    let rows_per_part = max_part_bytes.rows_per_part(layer.num_units, layer.fan_in.into());
    if rows_per_part >= layer.num_units {
        let rows = rows::weights(key, layer, weights, bias, lists);
        return Ok(capture.send(Part {
            path: path(0),
            rows,
        })?);
    }
    let fan_in = layer.fan_in as usize;
    let starts = (0..layer.num_units).step_by(rows_per_part as usize);
    for (sequence, start) in (0..).zip(starts) {
        let units = start..layer.num_units.min(start.saturating_add(rows_per_part));
        let places = units.start as usize..units.end as usize;
        let of_units = weights[places.start * fan_in..places.end * fan_in].to_vec();
        let bias = bias.as_ref().map(|bias| bias[places].to_vec());
        let units: Vec<u32> = units.collect();
        let table = (Table::Weights, None);
        let rows = rows::parameters(key, table, layer, &units, of_units, bias, lists);
        let path = path(sequence);
        capture.send(Part { path, rows })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;

//! Real runs to measure with: trained here, and read back into memory capture by capture.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use recorder::{
    ActivationDetail, CancelToken, DEFAULT_ACTIVATION_SAMPLES, DatasetKind, DeviceChoice,
    EpochProgress, LayerSelection, Limits, Recorded, Resolution, SaveEvery, Schedule,
    SessionObserver, SessionOptions, SessionSummary, TrainConfig,
};
use sink::Part;
use trace::{CaptureId, Catalog, Epoch, Rank, RunDir, Step};

/// Raw activations, as `recorder train` keeps them by default.
pub const RAW: ActivationDetail = ActivationDetail::Raw {
    samples: DEFAULT_ACTIVATION_SAMPLES,
};

/// All tables.
pub fn everything(activations: ActivationDetail) -> Recorded {
    Recorded {
        activations: Some(activations),
        ..Recorded::DEFAULT
    }
}

struct Silent;

impl SessionObserver for Silent {
    fn started(&mut self, _device: &Resolution, _run: Option<&Path>) {}

    fn epoch_done(&mut self, _progress: &EpochProgress) {}
}

/// Trains on the digits on the CPU, with what is not given as `recorder train` has it.
pub fn train_digits(
    run: &Path,
    hidden: &[usize],
    epochs: usize,
    recorded: Option<Recorded>,
) -> Result<SessionSummary> {
    train_digits_on(DeviceChoice::Cpu, run, hidden, epochs, recorded)
}

/// As [`train_digits`], on a device.
pub fn train_digits_on(
    device: DeviceChoice,
    run: &Path,
    hidden: &[usize],
    epochs: usize,
    recorded: Option<Recorded>,
) -> Result<SessionSummary> {
    let options = SessionOptions {
        out: Some(run.to_owned()),
        dataset: DatasetKind::Digits.into(),
        train: TrainConfig {
            hidden: hidden.to_owned(),
            epochs,
            ..TrainConfig::default_for(DatasetKind::Digits)
        },
        device,
        recorded,
        schedule: Schedule::default(),
        record_initial: false,
        layers: LayerSelection::default(),
        channel_bytes: None,
        compress: None,
        max_part_bytes: None,
        save_every: SaveEvery::default(),
        resume: false,
        rank: Rank::default(),
        world_size: 1,
        limits: Limits::default(),
        on_commit: None,
    };
    Ok(recorder::train(
        &options,
        &CancelToken::default(),
        &mut Silent,
    )?)
}

/// What was recorded at one step.
#[derive(Debug, Clone)]
pub struct Capture {
    /// None for rows that complete no capture.
    pub id: Option<CaptureId>,
    /// Its part files' rows.
    pub parts: Vec<Part>,
}

/// A run's captures, in the order in which they were committed.
pub fn read_captures(run: &RunDir) -> Result<Vec<Capture>> {
    let catalog = Catalog::load(run)?;
    let mut captures: Vec<Capture> = Vec::new();
    let mut last = None;
    for file in catalog.files() {
        let step = file.step().context("a part file's name tells its step")?;
        let id = CaptureId {
            epoch: Epoch(file.epoch),
            step: Step(step),
        };
        if last.replace(id) != Some(id) {
            let is_whole = catalog.captures().iter().any(|capture| capture.id == id);
            captures.push(Capture {
                id: is_whole.then_some(id),
                parts: Vec::new(),
            });
        }
        let capture = captures.last_mut().context("one was pushed")?;
        capture.parts.push(read_part(run, file.path)?);
    }
    Ok(captures)
}

fn read_part(run: &RunDir, path: &str) -> Result<Part> {
    let file = File::open(run.path().join(path)).with_context(|| path.to_owned())?;
    let batches = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    let batches = batches.collect::<Result<Vec<RecordBatch>, _>>()?;
    let path: trace::PartPath = path.parse()?;
    let schema = path.table.schema();
    let rows = match batches.first() {
        None => RecordBatch::new_empty(schema),
        Some(first) => {
            let rows = concat_batches(first.schema_ref(), &batches)?;
            RecordBatch::try_new(schema, rows.columns().to_vec())?
        }
    };
    Ok(Part { path, rows })
}

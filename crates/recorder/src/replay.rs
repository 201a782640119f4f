//! Rebuilds a network from its trace alone, runs the held-out set, and compares.

use arrow::array::{Array as _, RecordBatch};
use burn::tensor::backend::Backend;
use trace::{CaptureId, OpenRunError, Rank, RunDir, Table};

use crate::dataset::DataPlace;
use crate::device::{DeviceChoice, DeviceError, ParseDeviceError, on_device};
use crate::evaluation::HeldOut;
use crate::model::Network;
use crate::rebuild::{RebuildError, Rebuilt};
use crate::training::TrainError;
use capture::Precision;
use capture::Score;
use capture::rows::{self, RowKey};
use capture::{CaptureChoice, CaptureFiles, ReadCaptureError};

/// What a replay showed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayReport {
    /// The capture that was rebuilt.
    pub capture: CaptureId,
    /// The device, which is the one that was recorded on.
    pub device: String,
    /// In what precision the weights were recorded: of rounded ones the network is not quite the one
    /// that was trained.
    pub precision: Precision,
    /// Held-out samples compared.
    pub num_samples: usize,
    /// Samples of which any column differs in any bit, in order.
    pub different: Vec<Difference>,
    /// How well the rebuilt network predicts the samples.
    pub score: Score,
}

/// A sample whose row is not the recorded one.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Index in the held-out set.
    pub sample: usize,
    /// The columns that differ.
    pub columns: Vec<String>,
}

/// Why an epoch cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no such run.
    #[error(transparent)]
    Open(#[from] OpenRunError),
    /// The network cannot be rebuilt.
    #[error(transparent)]
    Rebuild(RebuildError),
    /// The capture lacks what a replay needs.
    #[error("{0}: a replay needs weights and classifications")]
    NotRecorded(ReadCaptureError),
    /// It names no device.
    #[error(transparent)]
    ParseDevice(#[from] ParseDeviceError),
    /// The device that was recorded on is not here.
    #[error("the run was recorded on {device}, and is reproduced exactly only there")]
    Device {
        /// The device.
        device: String,
        /// Why it cannot be used.
        source: DeviceError,
    },
    /// The device failed.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl From<RebuildError> for ReplayError {
    fn from(error: RebuildError) -> Self {
        match error {
            RebuildError::Capture(
                error @ (ReadCaptureError::NotRecorded { .. }
                | ReadCaptureError::StatisticsOnly { .. }),
            ) => Self::NotRecorded(error),
            _ => Self::Rebuild(error),
        }
    }
}

/// Rebuilds the network of a capture from weights and topology in the trace, evaluates
/// it, split and batched as it was recorded, and compares every column of `classifications` bit
/// for bit.
///
/// # Errors
/// If something that is needed was not recorded, or cannot be read or had.
pub fn replay(run: &RunDir, choice: CaptureChoice) -> Result<ReplayReport, ReplayError> {
    replay_with_data(run, choice, &DataPlace::default())
}

/// Replays a capture, as [`replay`] does, with the run's data read from `place`.
///
/// # Errors
/// As those of [`replay`], and where the data there is not the run's.
pub fn replay_with_data(
    run: &RunDir,
    choice: CaptureChoice,
    place: &DataPlace,
) -> Result<ReplayReport, ReplayError> {
    let capture = CaptureFiles::find(run, choice);
    let capture = capture.map_err(RebuildError::from)?;
    let rebuilt = Rebuilt::read(run, &capture, place)?;
    let recorded = capture.read(Table::Classifications, None);
    let recorded = recorded.map_err(RebuildError::from)?;
    let info = run.info();
    let choice: DeviceChoice = info.device.parse()?;
    let resolution = choice.resolve().map_err(|source| ReplayError::Device {
        device: info.device.clone(),
        source,
    })?;
    let key = RowKey {
        id: capture.id(),
        rank: Rank::default(),
    };
    let (computed, score) = on_device!(resolution.device, evaluate(&rebuilt, key))?;
    Ok(ReplayReport {
        capture: capture.id(),
        device: resolution.device.to_string(),
        precision: rebuilt.precision,
        num_samples: computed.num_rows(),
        different: differences(&recorded, &computed),
        score,
    })
}

/// The rows of `classifications`, and how good they are.
fn evaluate<B: Backend>(
    device: &B::Device,
    rebuilt: &Rebuilt,
    key: RowKey,
) -> Result<(RecordBatch, Score), ReplayError> {
    let model = Network::<B>::from_parameters(&rebuilt.config, &rebuilt.parameters, device)
        .map_err(RebuildError::from)?;
    let held_out = HeldOut::new(rebuilt.dataset.held_out(), rebuilt.batch_size, device);
    let classifications = held_out
        .evaluate(&model, rebuilt.config.loss)
        .map_err(TrainError::from)?;
    let score = classifications.score(rebuilt.config.loss);
    Ok((rows::classifications(key, classifications), score))
}

/// Compares row by row; a row that only one side has differs in every column.
fn differences(recorded: &RecordBatch, computed: &RecordBatch) -> Vec<Difference> {
    let schema = computed.schema();
    let num_rows = recorded.num_rows().max(computed.num_rows());
    (0..num_rows)
        .filter_map(|sample| {
            let columns: Vec<String> = schema
                .fields()
                .iter()
                .map(|field| field.name())
                .filter(|name| !same_value(recorded, computed, name, sample))
                .cloned()
                .collect();
            (!columns.is_empty()).then_some(Difference { sample, columns })
        })
        .collect()
}

fn same_value(recorded: &RecordBatch, computed: &RecordBatch, column: &str, row: usize) -> bool {
    if row >= recorded.num_rows() || row >= computed.num_rows() {
        return false;
    }
    match (
        recorded.column_by_name(column),
        computed.column_by_name(column),
    ) {
        // Compares the values' bytes: NaN equals itself, and 0 does not equal -0.
        (Some(a), Some(b)) => a.slice(row, 1).to_data() == b.slice(row, 1).to_data(),
        _ => false,
    }
}

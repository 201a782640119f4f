//! Rebuilds a network from its trace alone, runs the held-out set, and compares.

use arrow::array::{Array as _, RecordBatch};
use burn::tensor::backend::Backend;
use trace::{CaptureId, Epoch, OpenRunError, Rank, RunDir, Table};

use crate::capture_files::{CaptureChoice, CaptureFiles, ReadCaptureError};
use crate::dataset::{Dataset, DatasetError};
use crate::device::{DeviceChoice, DeviceError, ParseDeviceError, on_device};
use crate::evaluation::{Evaluation, HeldOut, Score};
use crate::model::{LayerParameters, ModelError, Network, NetworkConfig, NetworkParameters};
use crate::precision::Precision;
use crate::rows::{self, RowKey};
use crate::session::model_from_json;
use crate::training::TrainError;

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
    /// The capture cannot be read.
    #[error(transparent)]
    Capture(ReadCaptureError),
    /// The capture lacks what a replay needs.
    #[error("{0}: a replay needs weights and classifications")]
    NotRecorded(ReadCaptureError),
    /// `run.json` describes a network or device that cannot be rebuilt here.
    #[error("the network cannot be rebuilt: {0}")]
    Unknown(String),
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
    /// The data set is not what it was.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The weights are not those of the network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The device failed.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl From<ReadCaptureError> for ReplayError {
    fn from(error: ReadCaptureError) -> Self {
        match error {
            ReadCaptureError::NotRecorded { .. } | ReadCaptureError::StatisticsOnly { .. } => {
                Self::NotRecorded(error)
            }
            _ => Self::Capture(error),
        }
    }
}

/// Rebuilds the network of an epoch's capture from weights and topology in the trace, evaluates
/// it, split and batched as it was recorded, and compares every column of `classifications` bit
/// for bit.
///
/// # Errors
/// If something that is needed was not recorded, or cannot be read or had.
pub fn replay(run: &RunDir, epoch: Epoch) -> Result<ReplayReport, ReplayError> {
    let capture = CaptureFiles::find(run, CaptureChoice::epoch(epoch))?;
    let info = run.info();
    let not_said = |what: &str| ReplayError::Unknown(format!("its run.json does not say {what}"));
    if info.model.is_null() {
        return Err(not_said("what it is made of, as that of an imported one"));
    }
    let config = model_from_json(&info.model).map_err(ReplayError::Unknown)?;
    let parameters = parameters(run, &capture)?;
    let recorded = capture.read(Table::Classifications, None)?;
    let samples = info.dataset.as_ref();
    let samples = samples.ok_or_else(|| not_said("where its samples come from"))?;
    let seed = info.seed.ok_or_else(|| not_said("its seed"))?;
    let dataset = Dataset::from_info(samples, seed)?;

    let choice: DeviceChoice = info.device.parse()?;
    let resolution = choice.resolve().map_err(|source| ReplayError::Device {
        device: info.device.clone(),
        source,
    })?;
    let rebuilt = Rebuilt {
        config: &config,
        parameters: &parameters,
        dataset: &dataset,
        batch_size: info
            .evaluation_batch_size
            .and_then(|size| usize::try_from(size).ok())
            .filter(|&size| size > 0)
            .ok_or_else(|| not_said("how large its evaluation batches are"))?,
    };
    let key = RowKey {
        id: capture.id(),
        rank: Rank::default(),
    };
    let (computed, score) = on_device!(resolution.device, evaluate(&rebuilt, key))?;
    Ok(ReplayReport {
        capture: capture.id(),
        device: resolution.device.to_string(),
        precision: Precision::of_run(info),
        num_samples: computed.num_rows(),
        different: differences(&recorded, &computed),
        score,
    })
}

struct Rebuilt<'a> {
    config: &'a NetworkConfig,
    parameters: &'a NetworkParameters,
    dataset: &'a Dataset,
    batch_size: usize,
}

/// The rows of `classifications`, and how good they are.
fn evaluate<B: Backend>(
    device: &B::Device,
    rebuilt: &Rebuilt<'_>,
    key: RowKey,
) -> Result<(RecordBatch, Score), ReplayError> {
    let model = Network::<B>::from_parameters(rebuilt.config, rebuilt.parameters, device)?;
    let held_out = HeldOut::new(rebuilt.dataset.held_out(), rebuilt.batch_size, device);
    let Evaluation {
        classifications, ..
    } = held_out
        .evaluate(&model, rebuilt.config.loss)
        .map_err(TrainError::from)?;
    let score = classifications.score(rebuilt.config.loss);
    Ok((rows::classifications(key, &classifications), score))
}

/// The weights and biases of every layer.
fn parameters(
    run: &RunDir,
    capture: &CaptureFiles<'_>,
) -> Result<NetworkParameters, ReadCaptureError> {
    let layers = run.info().layers.layers().iter().map(|layer| {
        let column = |name: &str| {
            let mut values = Vec::new();
            let is_there = capture.visit_weights(layer, name, |read| {
                values.extend_from_slice(read);
                Ok::<(), ReadCaptureError>(())
            })?;
            let label = layer.layer.as_str();
            match name {
                _ if is_there => Ok(values),
                "weights" => Err(ReadCaptureError::StatisticsOnly {
                    capture: capture.id(),
                    layer: label.to_owned(),
                }),
                _ => Err(capture.not_recorded(Table::Weights, Some(label))),
            }
        };
        Ok(LayerParameters {
            weights: column("weights")?,
            bias: column("bias")?,
        })
    });
    Ok(NetworkParameters {
        layers: layers.collect::<Result<_, ReadCaptureError>>()?,
    })
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

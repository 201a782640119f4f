//! Rebuilds a network from its trace alone, runs the held-out set, and compares.

use std::path::PathBuf;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::Float32Type;
use burn::tensor::backend::Backend;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{CaptureId, Catalog, Epoch, OpenRunError, Rank, ReadCommitsError, RunDir, Table};

use crate::dataset::{Dataset, DatasetError};
use crate::device::{DeviceChoice, DeviceError, ParseDeviceError, on_device};
use crate::evaluation::{Evaluation, HeldOut, Score};
use crate::model::{LayerParameters, Mlp, MlpConfig, MlpParameters, ModelError};
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
    /// Its commits cannot be read.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// Nothing is committed yet.
    #[error("{} has no committed capture yet", run.display())]
    Empty {
        /// The run.
        run: PathBuf,
    },
    /// The epoch was not captured, others before and after it were.
    #[error("epoch {epoch} was not recorded: the nearest that were are {before} and {after}")]
    BetweenCaptures {
        /// The epoch that was asked for.
        epoch: Epoch,
        /// The last before it.
        before: Epoch,
        /// The first after it.
        after: Epoch,
    },
    /// The epoch was not recorded.
    #[error("epoch {epoch} was not recorded: there are epochs {first} to {last}")]
    NoSuchEpoch {
        /// The epoch that was asked for.
        epoch: Epoch,
        /// The first that there is.
        first: Epoch,
        /// The last that there is.
        last: Epoch,
    },
    /// The capture lacks a table that a replay needs.
    #[error("epoch {epoch} has no {table}{}: a replay needs weights and classifications", of_layer(.layer))]
    NotRecorded {
        /// The epoch.
        epoch: Epoch,
        /// The table.
        table: Table,
        /// The layer, where one is missing.
        layer: Option<String>,
    },
    /// A file cannot be read.
    #[error("cannot read {}: `sink verify` tells what is wrong with the run", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: parquet::errors::ParquetError,
    },
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

fn of_layer(layer: &Option<String>) -> String {
    layer
        .as_ref()
        .map(|l| format!(" of layer {l}"))
        .unwrap_or_default()
}

/// Rebuilds the network of an epoch's capture from weights and topology in the trace, evaluates
/// it, split and batched as it was recorded, and compares every column of `classifications` bit
/// for bit.
///
/// # Errors
/// If something that is needed was not recorded, or cannot be read or had.
pub fn replay(run: &RunDir, epoch: Epoch) -> Result<ReplayReport, ReplayError> {
    let capture = Capture::find(run, epoch)?;
    let info = run.info();
    let config = model_from_json(&info.model).map_err(ReplayError::Unknown)?;
    let parameters = capture.parameters()?;
    let recorded = capture.read(Table::Classifications, None)?;
    let not_said = |what: &str| ReplayError::Unknown(format!("its run.json does not say {what}"));
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
        id: capture.id,
        rank: Rank::default(),
    };
    let (computed, score) = on_device!(resolution.device, evaluate(&rebuilt, key))?;
    Ok(ReplayReport {
        capture: capture.id,
        device: resolution.device.to_string(),
        num_samples: computed.num_rows(),
        different: differences(&recorded, &computed),
        score,
    })
}

struct Rebuilt<'a> {
    config: &'a MlpConfig,
    parameters: &'a MlpParameters,
    dataset: &'a Dataset,
    batch_size: usize,
}

/// The rows of `classifications`, and how good they are.
fn evaluate<B: Backend>(
    device: &B::Device,
    rebuilt: &Rebuilt<'_>,
    key: RowKey,
) -> Result<(RecordBatch, Score), ReplayError> {
    let model = Mlp::<B>::from_parameters(rebuilt.config, rebuilt.parameters, device)?;
    let held_out = HeldOut::new(rebuilt.dataset.held_out(), rebuilt.batch_size, device);
    let Evaluation {
        classifications, ..
    } = held_out
        .evaluate(&model, rebuilt.config.loss)
        .map_err(TrainError::from)?;
    let score = classifications.score(rebuilt.config.loss);
    Ok((rows::classifications(key, &classifications), score))
}

/// The files of one capture.
struct Capture<'a> {
    run: &'a RunDir,
    catalog: Catalog,
    id: CaptureId,
}

impl<'a> Capture<'a> {
    /// The epoch's capture: the last committed one.
    fn find(run: &'a RunDir, epoch: Epoch) -> Result<Self, ReplayError> {
        let catalog = Catalog::load(run)?;
        let captures = catalog.captures();
        let id = captures
            .iter()
            .rev()
            .map(|c| c.id)
            .find(|id| id.epoch == epoch);
        if let Some(id) = id {
            return Ok(Self { run, catalog, id });
        }
        let epochs = || captures.iter().map(|c| c.id.epoch);
        let before = epochs().filter(|other| *other < epoch).max();
        let after = epochs().filter(|other| *other > epoch).min();
        if let (Some(before), Some(after)) = (before, after) {
            return Err(ReplayError::BetweenCaptures {
                epoch,
                before,
                after,
            });
        }
        match (epochs().min(), epochs().max()) {
            (Some(first), Some(last)) => Err(ReplayError::NoSuchEpoch { epoch, first, last }),
            _ => Err(ReplayError::Empty {
                run: run.path().to_owned(),
            }),
        }
    }

    fn parameters(&self) -> Result<MlpParameters, ReplayError> {
        let layers = self.run.info().layers.layers();
        let layers = layers.iter().map(|layer| {
            let label = layer.layer.as_str();
            let not_recorded = || self.not_recorded(Table::Weights, Some(label));
            let rows = self.read(Table::Weights, Some(label))?;
            let lists = rows["weights"].as_list::<i32>();
            let bias = rows["bias"].as_primitive::<Float32Type>();
            if lists.null_count() + bias.null_count() > 0 {
                return Err(not_recorded());
            }
            let values = lists.values().as_primitive::<Float32Type>();
            let offsets = lists.value_offsets();
            let (first, last) = (offsets[0] as usize, offsets[lists.len()] as usize);
            Ok(LayerParameters {
                weights: values.values()[first..last].to_vec(),
                bias: bias.values().to_vec(),
            })
        });
        Ok(MlpParameters {
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    /// All rows of the capture in a table, of one layer where there are layers.
    fn read(&self, table: Table, layer: Option<&str>) -> Result<RecordBatch, ReplayError> {
        let files = self.catalog.select(table.name(), |epoch, of_layer| {
            epoch == self.id.epoch.0 && of_layer == layer
        });
        let mut batches = Vec::new();
        for file in files.into_iter().map(|index| self.catalog.file(index)) {
            if file.step() == Some(self.id.step.0) {
                let path = self.run.path().join(file.path);
                batches.extend(
                    read_parquet(&path).map_err(|source| ReplayError::Read { path, source })?,
                );
            }
        }
        match batches.first().map(RecordBatch::schema) {
            None => Err(self.not_recorded(table, layer)),
            Some(schema) => Ok(concat_batches(&schema, &batches).expect("files of one table")),
        }
    }

    fn not_recorded(&self, table: Table, layer: Option<&str>) -> ReplayError {
        ReplayError::NotRecorded {
            epoch: self.id.epoch,
            table,
            layer: layer.map(str::to_owned),
        }
    }
}

fn read_parquet(path: &std::path::Path) -> Result<Vec<RecordBatch>, parquet::errors::ParquetError> {
    let file = std::fs::File::open(path)?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
    Ok(reader.collect::<Result<_, _>>()?)
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

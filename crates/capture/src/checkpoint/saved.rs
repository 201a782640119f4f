//! A checkpoint, read back from a run.

use std::path::PathBuf;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use trace::{Catalog, CommittedFile, Crc32c, Epoch, Layer, PartPath, Rank, RunDir, Step, Table};

use super::{LayerParameters, StateTensor};

/// What training goes on from, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedState {
    /// The epoch that had ended.
    pub epoch: Epoch,
    /// Optimizer steps done.
    pub step: Step,
    /// Adam's time.
    pub updates: i64,
    /// Weights and biases, in the topology's order.
    pub parameters: Vec<LayerParameters>,
    /// Adam's means of the gradients, likewise.
    pub moment_1: Vec<LayerParameters>,
    /// Adam's means of their squares, likewise.
    pub moment_2: Vec<LayerParameters>,
}

/// Why a committed checkpoint cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum ReadCheckpointError {
    /// A file is not as its commit says, or is missing.
    #[error(
        "{} is damaged, and training cannot go on from it: sink verify says what else is",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the file system said, where it said something.
        source: Option<std::io::Error>,
    },
    /// A file cannot be read as what its name says.
    #[error("cannot read {}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: parquet::errors::ParquetError,
    },
    /// The checkpoint is whole, and is not of this network.
    #[error("the checkpoint of epoch {epoch} is not of this network: {problem}")]
    OtherNetwork {
        /// The checkpoint's epoch.
        epoch: Epoch,
        /// What is wrong.
        problem: String,
    },
}

impl SavedState {
    /// Reads the newest checkpoint of `rank`; none if there is none.
    ///
    /// # Errors
    /// If a file is missing, damaged, or not of the run's network.
    pub fn read_newest(
        run: &RunDir,
        catalog: &Catalog,
        rank: Rank,
    ) -> Result<Option<Self>, ReadCheckpointError> {
        let mut files: Vec<(PartPath, CommittedFile<'_>)> = catalog
            .select(Table::Resume.name(), |_, _| true)
            .into_iter()
            .map(|index| catalog.file(index))
            .filter_map(|file| Some((file.path.parse().ok()?, file)))
            .filter(|(part, _): &(PartPath, _)| part.rank == rank)
            .collect();
        let Some((newest, _)) = files.iter().max_by_key(|(part, _)| part.step) else {
            return Ok(None);
        };
        let (epoch, step) = (newest.epoch, newest.step);
        files.retain(|(part, _)| part.step == step);
        let mut updates = None;
        let mut read = |tensor: StateTensor| {
            let layers = run.info().layers.layers().iter();
            let layers = layers.map(|layer| {
                let found = files.iter().find(|(part, _)| {
                    part.layer.as_ref() == Some(&layer.layer) && part.sequence == tensor.sequence()
                });
                let other = |problem: String| ReadCheckpointError::OtherNetwork { epoch, problem };
                let (_, file) = found.ok_or_else(|| {
                    other(format!(
                        "{} of layer {} is missing",
                        tensor.name(),
                        layer.layer
                    ))
                })?;
                let rows = read_checked(run, file)?;
                let (values, time) = layer_values(layer, tensor, &rows).map_err(other)?;
                updates = Some(time);
                Ok(values)
            });
            layers.collect::<Result<Vec<LayerParameters>, ReadCheckpointError>>()
        };
        let [parameters, moment_1, moment_2] = StateTensor::ALL.map(&mut read);
        Ok(Some(Self {
            epoch,
            step,
            parameters: parameters?,
            moment_1: moment_1?,
            moment_2: moment_2?,
            updates: updates.unwrap_or(0),
        }))
    }
}

/// Reads a file whose every bit counts, so its checksum is compared first.
fn read_checked(
    run: &RunDir,
    file: &CommittedFile<'_>,
) -> Result<RecordBatch, ReadCheckpointError> {
    let path = run.path().join(file.path);
    let bytes = std::fs::read(&path).map_err(|source| ReadCheckpointError::Damaged {
        path: path.clone(),
        source: Some(source),
    })?;
    if Crc32c::of(&bytes) != file.crc32c {
        return Err(ReadCheckpointError::Damaged { path, source: None });
    }
    let read = || -> Result<RecordBatch, parquet::errors::ParquetError> {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes))?.build()?;
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        Ok(concat_batches(&Table::Resume.schema(), &batches)?)
    };
    read().map_err(|source| ReadCheckpointError::Parquet { path, source })
}

/// A layer's values in a trace's layout, and Adam's time; an error says what is wrong.
fn layer_values(
    layer: &Layer,
    tensor: StateTensor,
    rows: &RecordBatch,
) -> Result<(LayerParameters, i64), String> {
    let (num_units, fan_in) = (layer.num_units as usize, layer.fan_in as usize);
    let names = rows["name"].as_string::<i32>();
    let lists = rows["weights"].as_list::<i32>();
    let bias = rows["bias"].as_primitive::<Float32Type>();
    let updates = rows["updates"].as_primitive::<Int64Type>().values();
    let is_whole = rows.num_rows() == num_units
        && lists.null_count() + bias.null_count() == 0
        && lists
            .value_offsets()
            .array_windows()
            .all(|[a, b]| (b - a) as usize == fan_in)
        && names.iter().all(|name| name == Some(tensor.name()));
    if !is_whole || num_units == 0 {
        return Err(format!(
            "{} of layer {} is not of {num_units} units with {fan_in} weights each",
            tensor.name(),
            layer.layer
        ));
    }
    let values = lists.values().as_primitive::<Float32Type>().values();
    let first = lists.value_offsets()[0] as usize;
    let parameters = LayerParameters {
        weights: values[first..][..num_units * fan_in].to_vec(),
        bias: bias.values().to_vec(),
    };
    Ok((parameters, updates[0]))
}

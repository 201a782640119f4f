//! A saved state, read back from a run.

use std::path::PathBuf;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Float32Type, Int64Type};
use trace::{
    BadFileError, Catalog, CommittedFile, Epoch, FileProblem, Layer, PartFile, PartPath,
    PartReader, Rank, RunDir, Step, Table,
};

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

/// Why a committed state cannot be gone on from.
#[derive(Debug, thiserror::Error)]
pub enum ReadStateError {
    /// A file is not as its commit says, or is missing.
    #[error(
        "{} is damaged, and training cannot go on from it: sink verify says what else is",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: FileProblem,
    },
    /// The state is whole, and is not of this network.
    #[error("the checkpoint of epoch {epoch} is not of this network: {problem}")]
    OtherNetwork {
        /// The state's epoch.
        epoch: Epoch,
        /// What is wrong.
        problem: String,
    },
}

/// Rows that are decoded at once, at most.
const BATCH_ROWS: usize = 8192;

impl From<BadFileError> for ReadStateError {
    fn from(BadFileError { path, problem }: BadFileError) -> Self {
        Self::Damaged {
            path,
            source: problem,
        }
    }
}

impl SavedState {
    /// Reads the newest state of `rank`; none if there is none.
    ///
    /// # Errors
    /// If a file is missing, damaged, or not of the run's network.
    pub fn read_newest(
        run: &RunDir,
        catalog: &Catalog,
        rank: Rank,
    ) -> Result<Option<Self>, ReadStateError> {
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
        let reader = PartReader::checked(Table::Resume, &[], BATCH_ROWS);
        let reader = reader.expect("all columns of the table");
        let mut updates = None;
        let mut read = |tensor: StateTensor| {
            let layers = run.info().layers.layers().iter();
            let layers = layers.map(|layer| {
                let found = files.iter().find(|(part, _)| {
                    part.layer.as_ref() == Some(&layer.layer) && part.sequence == tensor.sequence()
                });
                let other = |problem: String| ReadStateError::OtherNetwork { epoch, problem };
                let (_, file) = found.ok_or_else(|| {
                    other(format!(
                        "{} of layer {} is missing",
                        tensor.name(),
                        layer.layer
                    ))
                })?;
                let rows = reader.read_whole(&PartFile::committed(run, file))?;
                let (values, time) = layer_values(layer, tensor, &rows).map_err(other)?;
                updates = Some(time);
                Ok(values)
            });
            layers.collect::<Result<Vec<LayerParameters>, ReadStateError>>()
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

//! A saved state, read back from a run.

use std::path::PathBuf;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type, Int64Type};
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
        // Of a layer that is large, and of its tensors, the files are in the order of their numbers.
        files.sort_by_key(|(part, _)| part.sequence);
        let reader = PartReader::checked(Table::Resume, &[], BATCH_ROWS);
        let reader = reader.expect("all columns of the table");
        let other = |problem: String| ReadStateError::OtherNetwork { epoch, problem };
        let mut updates = 0;
        let mut tensors = StateTensor::ALL.map(|_| Vec::new());
        for layer in run.info().layers.layers() {
            let mut of_layer = StateTensor::ALL.map(|_| None);
            for (part, file) in &files {
                if part.layer.as_ref() == Some(&layer.layer) {
                    let rows = reader.read_whole(&PartFile::committed(run, file))?;
                    updates = add_values(layer, &mut of_layer, &rows).map_err(other)?;
                }
            }
            let all = StateTensor::ALL.into_iter().zip(of_layer);
            for ((tensor, values), of_network) in all.zip(&mut tensors) {
                of_network.push(whole(layer, tensor, values).map_err(other)?);
            }
        }
        let [parameters, moment_1, moment_2] = tensors;
        Ok(Some(Self {
            epoch,
            step,
            parameters,
            moment_1,
            moment_2,
            updates,
        }))
    }
}

/// Adds the rows of a file, which are of one tensor, to a layer's values in a trace's layout; gives Adam's time. An
/// error says what is wrong.
fn add_values(
    layer: &Layer,
    of_layer: &mut [Option<LayerParameters>; 3],
    rows: &RecordBatch,
) -> Result<i64, String> {
    let fan_in = layer.fan_in as usize;
    let names = rows["name"].as_string::<i32>();
    let units = rows["unit"].as_primitive::<Int32Type>().values();
    let lists = rows["weights"].as_list::<i32>();
    let bias = rows["bias"].as_primitive::<Float32Type>();
    let updates = rows["updates"].as_primitive::<Int64Type>().values();
    let name = names.iter().next().flatten().unwrap_or_default();
    let tensors = StateTensor::ALL.into_iter().zip(of_layer);
    let mut tensors = tensors.filter(|(tensor, _)| tensor.name() == name);
    let Some((tensor, values)) = tensors.next() else {
        return Err(format!(
            "layer {} has {name:?}, which is no tensor of a checkpoint",
            layer.layer
        ));
    };
    let values = values.get_or_insert_with(|| LayerParameters {
        weights: Vec::new(),
        bias: Vec::new(),
    });
    let are_next = (values.bias.len()..)
        .zip(units)
        .all(|(due, unit)| usize::try_from(*unit) == Ok(due));
    let are_whole = lists.null_count() + bias.null_count() == 0
        && lists
            .value_offsets()
            .array_windows()
            .all(|[a, b]| (b - a) as usize == fan_in)
        && names.iter().all(|other| other == Some(name));
    if !are_next || !are_whole {
        return Err(other_rows(layer, tensor));
    }
    let offsets = lists.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[lists.len()] as usize);
    let floats = lists.values().as_primitive::<Float32Type>().values();
    values.weights.extend_from_slice(&floats[first..last]);
    values.bias.extend_from_slice(bias.values());
    Ok(updates[0])
}

/// The values of a tensor, if they are of all units.
fn whole(
    layer: &Layer,
    tensor: StateTensor,
    values: Option<LayerParameters>,
) -> Result<LayerParameters, String> {
    let values =
        values.ok_or_else(|| format!("{} of layer {} is missing", tensor.name(), layer.layer))?;
    match values.bias.len() == layer.num_units as usize {
        true => Ok(values),
        false => Err(other_rows(layer, tensor)),
    }
}

fn other_rows(layer: &Layer, tensor: StateTensor) -> String {
    format!(
        "{} of layer {} is not of {} units with {} weights each",
        tensor.name(),
        layer.layer,
        layer.num_units,
        layer.fan_in
    )
}

//! One committed capture, read back from its files.

use std::fmt::Write as _;
use std::path::PathBuf;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int32Type};
use trace::{
    BadFileError, CaptureId, Catalog, Epoch, FileProblem, Layer, PartFile, PartReader,
    ReadCommitsError, RunDir, Step, Table, cmp_part_files,
};

/// Which capture of a run is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CaptureChoice {
    /// Its epoch; none for the last that was recorded, or that of `step`.
    pub epoch: Option<Epoch>,
    /// Its step; none for the epoch's capture, which is the last committed one.
    pub step: Option<Step>,
}

impl CaptureChoice {
    /// The epoch's capture.
    pub fn epoch(epoch: Epoch) -> Self {
        Self {
            epoch: Some(epoch),
            step: None,
        }
    }
}

/// Why a capture cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadCaptureError {
    /// The run's commits cannot be read.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// Nothing is committed yet.
    #[error("{} has no committed capture yet", run.display())]
    Empty {
        /// The run.
        run: PathBuf,
    },
    /// The epoch was not recorded.
    #[error("epoch {epoch} was not recorded: there are epochs {recorded}")]
    NoSuchEpoch {
        /// The epoch that was asked for.
        epoch: Epoch,
        /// Those that there are.
        recorded: RecordedNumbers,
    },
    /// The step was not recorded.
    #[error("step {step} was not recorded{}: there are steps {recorded}", of_epoch(.epoch))]
    NoSuchStep {
        /// The step that was asked for.
        step: Step,
        /// The epoch that it was asked for in, if any.
        epoch: Option<Epoch>,
        /// Those that there are.
        recorded: RecordedNumbers,
    },
    /// The capture has no rows of a table, or of a layer in it.
    #[error("epoch {epoch} has no {table}{}", of_layer(.layer))]
    NotRecorded {
        /// The epoch.
        epoch: Epoch,
        /// The table.
        table: Table,
        /// The layer, where one is missing.
        layer: Option<String>,
    },
    /// Of a layer's weights the capture has statistics alone.
    #[error("epoch {} has no weights of layer {layer}, only statistics of them", capture.epoch)]
    StatisticsOnly {
        /// The capture.
        capture: CaptureId,
        /// The layer.
        layer: String,
    },
    /// The capture has a part of a layer's weights.
    #[error("layer {layer} was recorded in part: {problem}")]
    Partial {
        /// The layer.
        layer: String,
        /// What is missing.
        problem: String,
    },
    /// A file is not what was committed, or cannot be read.
    #[error("cannot read {}: `sink verify` tells what is wrong with the run", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: FileProblem,
    },
}

impl From<BadFileError> for ReadCaptureError {
    fn from(BadFileError { path, problem }: BadFileError) -> Self {
        Self::Read {
            path,
            source: problem,
        }
    }
}

fn of_epoch(epoch: &Option<Epoch>) -> String {
    epoch.map_or(String::new(), |epoch| format!(" in epoch {epoch}"))
}

fn of_layer(layer: &Option<String>) -> String {
    let layer = layer.as_ref();
    layer.map_or(String::new(), |layer| format!(" of layer {layer}"))
}

/// The epochs or steps that were recorded, as people read them: `0 to 5, 8, 10`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedNumbers(String);

/// How many ranges are told.
const MAX_RANGES: usize = 12;

impl RecordedNumbers {
    fn new(numbers: impl Iterator<Item = i64>) -> Self {
        let mut numbers: Vec<i64> = numbers.collect();
        numbers.sort_unstable();
        numbers.dedup();
        let ranges: Vec<&[i64]> = numbers.chunk_by(|a, b| a + 1 == *b).collect();
        let mut text = String::new();
        for (index, range) in ranges.iter().enumerate() {
            let (first, last) = (range[0], range[range.len() - 1]);
            // The last one is told in any case.
            if index + 1 >= MAX_RANGES && index + 1 < ranges.len() {
                continue;
            }
            let separator = match index {
                0 => "",
                _ if index >= MAX_RANGES => ", ..., ",
                _ => ", ",
            };
            text.push_str(separator);
            // Writing to a text cannot fail.
            let _ = match range.len() {
                1 => write!(text, "{first}"),
                2 => write!(text, "{first}, {last}"),
                _ => write!(text, "{first} to {last}"),
            };
        }
        Self(text)
    }
}

impl std::fmt::Display for RecordedNumbers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The files of one capture.
pub struct CaptureFiles<'a> {
    run: &'a RunDir,
    catalog: Catalog,
    id: CaptureId,
}

/// Rows that are read at once hold about so many values.
const BATCH_VALUES: usize = 1 << 20;

/// Rows that are read at once, at most.
const MAX_BATCH_ROWS: usize = 8192;

impl<'a> CaptureFiles<'a> {
    /// The last committed capture that is meant.
    ///
    /// # Errors
    /// If there is none such, or the commits cannot be read.
    pub fn find(run: &'a RunDir, choice: CaptureChoice) -> Result<Self, ReadCaptureError> {
        let catalog = Catalog::load(run)?;
        let ids = || catalog.captures().iter().map(|capture| capture.id);
        if catalog.captures().is_empty() {
            return Err(ReadCaptureError::Empty {
                run: run.path().to_owned(),
            });
        }
        if let Some(epoch) = choice.epoch
            && !ids().any(|id| id.epoch == epoch)
        {
            return Err(ReadCaptureError::NoSuchEpoch {
                epoch,
                recorded: RecordedNumbers::new(ids().map(|id| id.epoch.0.into())),
            });
        }
        let in_epoch = || ids().filter(|id| choice.epoch.is_none_or(|epoch| id.epoch == epoch));
        if let Some(step) = choice.step
            && !in_epoch().any(|id| id.step == step)
        {
            return Err(ReadCaptureError::NoSuchStep {
                step,
                epoch: choice.epoch,
                recorded: RecordedNumbers::new(in_epoch().map(|id| id.step.0)),
            });
        }
        // Of equal ones the last: that is the one committed last.
        let id = in_epoch()
            .filter(|id| choice.step.is_none_or(|step| id.step == step))
            .max_by_key(|id| id.epoch)
            .expect("there is one, as was looked");
        Ok(Self { run, catalog, id })
    }

    /// The run.
    pub(crate) fn run(&self) -> &'a RunDir {
        self.run
    }

    /// Epoch and step.
    pub fn id(&self) -> CaptureId {
        self.id
    }

    /// All rows in a table, of one layer where there are layers.
    ///
    /// # Errors
    /// If there are none, or a file cannot be read.
    pub fn read(&self, table: Table, layer: Option<&str>) -> Result<RecordBatch, ReadCaptureError> {
        let mut batches = Vec::new();
        let reader = reader(table, &[], MAX_BATCH_ROWS);
        for file in self.files(table, layer) {
            for batch in reader.open(file)? {
                batches.push(batch?);
            }
        }
        match batches.first().map(RecordBatch::schema) {
            None => Err(self.not_recorded(table, layer)),
            Some(schema) => Ok(concat_batches(&schema, &batches).expect("files of one table")),
        }
    }

    /// Reads a column of a layer's `weights`, a float a unit (`bias`) or a list of them, in the
    /// order of the units, and hands the values on a few units at a time, row-major. A column that
    /// is null everywhere hands nothing on, and gives false.
    ///
    /// # Errors
    /// If a unit or a value of one is missing; what `take` says.
    pub fn visit_weights<E: From<ReadCaptureError>>(
        &self,
        layer: &Layer,
        column: &str,
        mut take: impl FnMut(&[f32]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let label = layer.layer.as_str();
        let partial = |problem: String| ReadCaptureError::Partial {
            layer: label.to_owned(),
            problem,
        };
        if layer.recorded_units.is_some() {
            let problem = format!(
                "{} of its {} units, as the run was told (--units)",
                layer.num_recorded_units(),
                layer.num_units
            );
            return Err(partial(problem).into());
        }
        let files = self.files(Table::Weights, Some(label));
        if files.is_empty() && layer.num_units > 0 {
            return Err(self.not_recorded(Table::Weights, Some(label)).into());
        }
        let batch_rows = BATCH_VALUES / (layer.fan_in as usize).max(1);
        let (mut num_units, mut num_null) = (0u32, 0u32);
        let batch_rows = batch_rows.clamp(1, MAX_BATCH_ROWS);
        let reader = reader(Table::Weights, &["unit", column], batch_rows);
        for file in files {
            for batch in reader.open(file).map_err(ReadCaptureError::from)? {
                let batch = batch.map_err(ReadCaptureError::from)?;
                for unit in batch["unit"].as_primitive::<Int32Type>().values() {
                    if i64::from(*unit) != i64::from(num_units) {
                        return Err(partial(format!(
                            "unit {num_units} of {} is missing",
                            layer.num_units
                        ))
                        .into());
                    }
                    num_units += 1;
                }
                let values = &batch[column];
                num_null += values.null_count() as u32;
                if num_null == 0 {
                    take(floats(values.as_ref()))?;
                }
            }
        }
        if num_units != layer.num_units {
            let problem = format!("{num_units} of its {} units", layer.num_units);
            return Err(partial(problem).into());
        }
        match num_null {
            0 => Ok(true),
            _ if num_null == num_units => Ok(false),
            _ => Err(partial(format!("{column} of {num_null} units are missing")).into()),
        }
    }

    /// Whether there are weights of a layer.
    pub fn has_layer(&self, layer: &Layer) -> bool {
        !self
            .files(Table::Weights, Some(layer.layer.as_str()))
            .is_empty()
    }

    /// The capture's files in a table, in the order of their numbers: a layer that is large has several. Of several
    /// processes that recorded the same weights, the files of the first.
    fn files(&self, table: Table, layer: Option<&str>) -> Vec<PartFile> {
        let files = self.catalog.select(table.name(), |epoch, of_layer| {
            epoch == self.id.epoch.0 && of_layer == layer
        });
        let files = files.into_iter().map(|index| self.catalog.file(index));
        let mut files: Vec<_> = files
            .filter(|file| file.step() == Some(self.id.step.0))
            .collect();
        if table == Table::Weights {
            let first = files.iter().map(|file| file.commit.rank).min();
            files.retain(|file| Some(file.commit.rank) == first);
        }
        files.sort_by(|a, b| cmp_part_files(a.path, b.path));
        let files = files.iter();
        files
            .map(|file| PartFile::committed(self.run, file))
            .collect()
    }

    /// The error where the capture has no rows of a table, or of a layer in it.
    pub fn not_recorded(&self, table: Table, layer: Option<&str>) -> ReadCaptureError {
        ReadCaptureError::NotRecorded {
            epoch: self.id.epoch,
            table,
            layer: layer.map(str::to_owned),
        }
    }
}

/// The values of a column of floats, or of lists of floats, without nulls.
fn floats(column: &dyn Array) -> &[f32] {
    let Some(lists) = column.as_list_opt::<i32>() else {
        return column.as_primitive::<Float32Type>().values();
    };
    let offsets = lists.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[lists.len()] as usize);
    &lists.values().as_primitive::<Float32Type>().values()[first..last]
}

/// Reads of a table's columns those that are named, or all.
fn reader(table: Table, columns: &[&str], batch_rows: usize) -> PartReader {
    PartReader::checked(table, columns, batch_rows).expect("columns of the table")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_told_as_ranges() {
        let told = |numbers: &[i64]| RecordedNumbers::new(numbers.iter().copied()).to_string();
        assert_eq!(told(&[2, 0, 1, 1, 5, 8, 9]), "0 to 2, 5, 8, 9");
        assert_eq!(told(&[-1]), "-1");
        let steps: Vec<i64> = (1..=100).map(|n| 24 * n).collect();
        assert_eq!(
            told(&steps),
            "24, 48, 72, 96, 120, 144, 168, 192, 216, 240, 264, ..., 2400"
        );
    }
}

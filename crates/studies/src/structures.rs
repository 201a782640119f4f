//! Structures: named sets of neurons that go with an output, kept in the run.
//!
//! They are found by the named query `structure_onset`, and are rows of the derived table
//! `structures` from then on: SQL, other engines and `recorder ablate` know them by name. Others are
//! neurons that somebody names.

mod by_hand;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use analysis::{Half, JointPower, Measure};
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    StringArray,
};
use arrow::compute::{cast, concat_batches, filter_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use sql::{LINEAR_PROBE, QueryError, QuerySession, Run};
use trace::{CaptureId, DerivedError, DerivedWriter, Table, derived_rows, read_derived};
use words::{UnknownNeuronError, closest, did_you_mean};

pub use by_hand::{LabelOptions, named_structure};

/// The named query that finds them.
const STRUCTURE_ONSET: &str = "structure_onset";

/// Why structures cannot be found or kept.
#[derive(Debug, thiserror::Error)]
pub enum StructureError {
    /// The neurons' scores cannot be had.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The table cannot be read or written.
    #[error(transparent)]
    Table(#[from] DerivedError),
    /// The rows of the table are not what this version writes.
    #[error("the table structures cannot be understood")]
    Rows(#[from] ArrowError),
    /// There is a structure of that name.
    #[error("there is a structure {0:?} already: give another prefix, or --force to replace it")]
    Taken(String),
    /// There is no structure of that name.
    #[error("there is no structure {name:?}{} (structures: {names})", did_you_mean(closest.as_deref()))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The name that comes closest.
        closest: Option<String>,
        /// Every name.
        names: String,
    },
    /// The epoch has no capture.
    #[error("epoch {0} has no capture")]
    NoCapture(i32),
    /// A unit of the output layer was named.
    #[error("neuron {0} is an output of the network: structures are what goes with its outputs")]
    Output(i32),
    /// A neuron that was named is none of the network's.
    #[error("{problem}: there are {valid}")]
    UnknownNeuron {
        /// What is wrong with its name.
        problem: UnknownNeuronError,
        /// Which neurons there are.
        valid: String,
    },
    /// The network knows no such class.
    #[error("there is no class {class}: {}", told_classes(*num_classes))]
    NoSuchClass {
        /// The class.
        class: i32,
        /// How many there are; 0 where that is not known.
        num_classes: usize,
    },
    /// No epoch that the neurons are to belong to was captured.
    #[error("no epoch {epochs} was captured: {captured}")]
    NotCaptured {
        /// Those epochs, as `from 5 to 7`.
        epochs: String,
        /// Which were.
        captured: String,
    },
    /// The run is a copy without commits: with the first one, all else would be no part of it.
    #[error("the run has no commits/, so that nothing can be kept in it: it is no whole copy")]
    NoCommits,
}

fn told_classes(num_classes: usize) -> String {
    match num_classes {
        0 => "classes count from 0".to_owned(),
        n => format!("there are 0 to {}", n - 1),
    }
}

/// What is looked for, and where.
#[derive(Debug, Clone)]
pub struct FindOptions {
    /// The epoch, or `last`.
    pub epoch: String,
    /// Neurons of this class alone, by its number or name.
    pub class: Option<String>,
    /// Neurons of this layer alone, or of those that a glob fits.
    pub layer: Option<String>,
    /// The most neurons of a structure.
    pub size: u32,
    /// `positive` for neurons that are more active with the class, `negative`, or `any`.
    pub sign: String,
    /// What neurons are ranked by.
    pub measure: Measure,
    /// The samples that are looked at.
    pub half: Half,
    /// Of halves and permutations.
    pub seed: i64,
    /// How many permutations p-values are made of.
    pub permutations: u32,
    /// What a structure's name begins with; its class follows.
    pub prefix: String,
}

/// A named set of neurons.
#[derive(Debug, Clone, PartialEq)]
pub struct Structure {
    /// Its name.
    pub name: String,
    /// The class whose prediction the neurons go with; none where that was not said.
    pub class: Option<i32>,
    /// The capture that they were found at, or the last of those that they were named for.
    pub capture: CaptureId,
    /// Its neurons, the strongest first.
    pub neurons: Vec<StructureNeuron>,
    /// How they were found; none where somebody named them.
    pub found: Option<FoundBy>,
}

/// How the neurons of a structure were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundBy {
    /// What `score` is.
    pub measure: Measure,
    /// The samples that they were found on.
    pub half: Half,
    /// Of the half.
    pub seed: i64,
}

/// A neuron of a structure.
#[derive(Debug, Clone, PartialEq)]
pub struct StructureNeuron {
    /// Its layer.
    pub layer: String,
    /// Its id across the network.
    pub neuron: i32,
    /// The first epoch for which it belongs to the structure: from when on it went with the class.
    pub first_epoch: i32,
    /// The last one: the epoch at which it was found.
    pub last_epoch: i32,
    /// How strongly it goes with the class; none where that was not measured.
    pub score: Option<f64>,
    /// How likely chance takes any neuron that far; none where that was not worked out.
    pub p_value: Option<f64>,
}

/// How well a structure's neurons tell its class together.
#[derive(Debug, Clone, PartialEq)]
pub struct StructurePower {
    /// The epoch at which they were found.
    pub epoch: i32,
    /// The samples that judge them.
    pub half: Half,
    /// What a linear probe makes of them.
    pub power: JointPower,
}

/// Finds structures: of each class the strongest neurons that chance does not explain.
///
/// # Errors
/// If the scores cannot be worked out, or an option makes no sense.
pub async fn find_structures(
    session: &QuerySession,
    options: &FindOptions,
) -> Result<Vec<Structure>, StructureError> {
    if options.epoch == "all" {
        return Err(QueryError::BadParameter {
            name: "epoch".to_owned(),
            problem: "is \"all\", but structures are found at one epoch".to_owned(),
        }
        .into());
    }
    let class = options.class.clone().unwrap_or_else(|| "all".to_owned());
    let mut arguments = vec![
        ("epoch", options.epoch.clone()),
        ("class", class),
        ("top", options.size.to_string()),
        ("sign", options.sign.clone()),
        ("measure", options.measure.name().to_owned()),
        ("permutations", options.permutations.to_string()),
        ("half", options.half.to_string()),
        ("seed", options.seed.to_string()),
    ];
    if let Some(layer) = &options.layer {
        arguments.push(("layer", layer.clone()));
    }
    let arguments: Vec<(String, String)> = arguments
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let rows = session.named(STRUCTURE_ONSET, &arguments).await?;
    let rows = rows.collect().await.map_err(QueryError::from)?;
    let mut found: BTreeMap<i32, Structure> = BTreeMap::new();
    for batch in &rows {
        let int = |name: &str| {
            Ok::<_, QueryError>(column(STRUCTURE_ONSET, batch, name)?.as_primitive().clone())
        };
        let float = |name: &str| {
            let column = cast(column(STRUCTURE_ONSET, batch, name)?, &DataType::Float64)?;
            Ok::<_, QueryError>(column.as_primitive::<Float64Type>().clone())
        };
        let classes: Int32Array = int("class")?;
        let neurons: Int32Array = int("neuron")?;
        let first: Int32Array = int("first_epoch")?;
        let last: Int32Array = int("last_epoch")?;
        let (scores, p_values) = (float("score")?, float("p_value")?);
        let layers = column(STRUCTURE_ONSET, batch, "layer")?;
        let layers = cast(layers, &DataType::Utf8).map_err(QueryError::from)?;
        let layers = layers.as_string::<i32>();
        for row in 0..batch.num_rows() {
            let class = classes.value(row);
            let epoch = last.value(row);
            let capture = session
                .run()
                .capture_of(epoch)
                .ok_or(StructureError::NoCapture(epoch))?;
            let structure = found.entry(class).or_insert_with(|| Structure {
                name: format!(
                    "{}{}",
                    options.prefix,
                    session.info().class_name(class.into())
                ),
                class: Some(class),
                capture,
                neurons: Vec::new(),
                found: Some(FoundBy {
                    measure: options.measure,
                    half: options.half,
                    seed: options.seed,
                }),
            });
            structure.neurons.push(StructureNeuron {
                layer: layers.value(row).to_owned(),
                neuron: neurons.value(row),
                first_epoch: first.value(row),
                last_epoch: epoch,
                score: Some(scores.value(row)),
                p_value: Some(p_values.value(row)),
            });
        }
    }
    Ok(found.into_values().collect())
}

/// How well a structure's neurons tell its class together, on the half of the samples that did not
/// choose them (on all, if all did), at the epoch at which they were found. None where its class
/// is not known, or has too few samples.
///
/// # Errors
/// If there is no such structure, or its activations cannot be read.
pub async fn structure_power(
    session: &QuerySession,
    name: &str,
) -> Result<Option<StructurePower>, StructureError> {
    let mut found: Option<(i32, Option<i32>, Half, i64)> = None;
    let mut neurons = Vec::new();
    for part in read_derived(session.run().dir(), Table::Structures)? {
        let of_row = names_of(&part.rows)?;
        let classes = stored(&part.rows, "class")?.as_primitive::<Int32Type>();
        let ids = stored(&part.rows, "neuron")?.as_primitive::<Int32Type>();
        let seeds = stored(&part.rows, "seed")?.as_primitive::<Int64Type>();
        let halves = cast(stored(&part.rows, "half")?, &DataType::Utf8)?;
        let halves = halves.as_string::<i32>();
        let of_structure =
            (0..of_row.len()).filter(|&row| of_row.is_valid(row) && of_row.value(row) == name);
        for row in of_structure {
            let half = match halves.is_valid(row) {
                true => halves.value(row).parse().unwrap_or_default(),
                false => Half::All,
            };
            let class = classes.is_valid(row).then(|| classes.value(row));
            let seed = seeds.iter().nth(row).flatten().unwrap_or(0);
            found = Some((part.capture.epoch.0, class, half, seed));
            neurons.push(ids.value(row).to_string());
        }
    }
    let Some((epoch, Some(class), half, seed)) = found else {
        return Ok(None);
    };
    let half = half.other();
    let arguments = [
        ("epoch", epoch.to_string()),
        ("class", class.to_string()),
        ("neurons", neurons.join(",")),
        ("half", half.to_string()),
        ("seed", seed.to_string()),
    ];
    let arguments = arguments.map(|(name, value)| (name.to_owned(), value));
    let rows = session.named(LINEAR_PROBE, &arguments).await?;
    let rows = rows.collect().await.map_err(QueryError::from)?;
    let Some(row) = rows.iter().find(|batch| batch.num_rows() > 0) else {
        return Ok(None);
    };
    let float = |name: &str| -> Result<Option<f64>, QueryError> {
        let column = column(LINEAR_PROBE, row, name)?;
        let column = cast(column, &DataType::Float64)?;
        Ok(column.as_primitive::<Float64Type>().iter().next().flatten())
    };
    let power = (float("auc")?, float("accuracy")?, float("majority")?);
    let (Some(auc), Some(accuracy), Some(majority)) = power else {
        return Ok(None);
    };
    Ok(Some(StructurePower {
        epoch,
        half,
        power: JointPower {
            auc,
            accuracy,
            majority,
        },
    }))
}

/// A column of a named query's rows.
fn column<'a>(query: &str, batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, QueryError> {
    let column = batch.column_by_name(name);
    column.ok_or_else(|| QueryError::Internal(format!("{query} has no column {name}")))
}

/// Keeps structures in the run's table `structures`.
///
/// # Errors
/// If one of that name is there and is not to be replaced, or the table cannot be changed; it
/// then is as it was.
pub fn keep_structures(
    run: &Run,
    structures: &[Structure],
    replace: bool,
) -> Result<(), StructureError> {
    let writer = structures_writer(run)?;
    let parts = writer.parts()?;
    let names: BTreeSet<&str> = structures.iter().map(|s| s.name.as_str()).collect();
    let mut changed = Changed::default();
    for part in &parts {
        let of_row = names_of(&part.rows)?;
        let taken = of_row.iter().flatten().find(|name| names.contains(name));
        let Some(taken) = taken else { continue };
        if !replace {
            return Err(StructureError::Taken(taken.to_owned()));
        }
        let stay: BooleanArray = of_row
            .iter()
            .map(|name| name.map(|name| !names.contains(name)))
            .collect();
        changed.retired.push(part.path.clone());
        changed.add(part.capture, filter_record_batch(&part.rows, &stay)?);
    }
    for structure in structures {
        changed.add(structure.capture, rows_of(structure)?);
    }
    changed.publish(writer)
}

/// Gives a structure another name.
///
/// # Errors
/// If there is none of the name, there is one of the other, or the table cannot be changed; it
/// then is as it was.
pub fn label_structure(run: &Run, name: &str, label: &str) -> Result<(), StructureError> {
    let writer = structures_writer(run)?;
    let parts = writer.parts()?;
    let mut known = BTreeSet::new();
    let mut changed = Changed::default();
    for part in &parts {
        let of_row = names_of(&part.rows)?;
        known.extend(of_row.iter().flatten().map(str::to_owned));
        if !of_row.iter().flatten().any(|of_row| of_row == name) {
            continue;
        }
        let renamed = of_row.iter().map(|of_row| match of_row {
            Some(of_row) if of_row == name => Some(label),
            other => other,
        });
        let renamed: StringArray = renamed.collect();
        let schema = part.rows.schema();
        let mut columns = part.rows.columns().to_vec();
        columns[schema.index_of("name")?] = Arc::new(renamed);
        changed.retired.push(part.path.clone());
        changed.add(part.capture, RecordBatch::try_new(schema, columns)?);
    }
    if !known.contains(name) {
        return Err(unknown(name, &known));
    }
    if known.contains(label) {
        return Err(StructureError::Taken(label.to_owned()));
    }
    changed.publish(writer)
}

fn structures_writer(run: &Run) -> Result<DerivedWriter, StructureError> {
    if !run.has_commits() {
        return Err(StructureError::NoCommits);
    }
    Ok(DerivedWriter::begin(run.dir(), Table::Structures)?)
}

/// The names of all structures.
///
/// # Errors
/// If the table cannot be read.
pub fn structure_names(run: &Run) -> Result<BTreeSet<String>, StructureError> {
    let mut names = BTreeSet::new();
    for part in read_derived(run.dir(), Table::Structures)? {
        names.extend(names_of(&part.rows)?.iter().flatten().map(str::to_owned));
    }
    Ok(names)
}

/// Makes sure that there is a structure.
///
/// # Errors
/// If there is none of the name; the error names the closest.
pub fn require_structure(run: &Run, name: &str) -> Result<(), StructureError> {
    let names = structure_names(run)?;
    match names.contains(name) {
        true => Ok(()),
        false => Err(unknown(name, &names)),
    }
}

fn unknown(name: &str, names: &BTreeSet<String>) -> StructureError {
    let all = || names.iter().map(String::as_str);
    StructureError::Unknown {
        name: name.to_owned(),
        closest: closest(name, all()).map(str::to_owned),
        names: match names.is_empty() {
            true => "none; `query structures find` finds some".to_owned(),
            false => all().collect::<Vec<_>>().join(", "),
        },
    }
}

fn stored<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    Ok(rows.column(rows.schema().index_of(name)?))
}

fn names_of(rows: &RecordBatch) -> Result<StringArray, ArrowError> {
    let names = cast(stored(rows, "name")?, &DataType::Utf8)?;
    Ok(names.as_string::<i32>().clone())
}

fn rows_of(structure: &Structure) -> Result<RecordBatch, ArrowError> {
    let neurons = &structure.neurons;
    let num_rows = neurons.len();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; num_rows])) };
    let int = |of: fn(&StructureNeuron) -> i32| -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(neurons.iter().map(of)))
    };
    let float = |of: fn(&StructureNeuron) -> Option<f64>| -> ArrayRef {
        Arc::new(Float64Array::from_iter(neurons.iter().map(of)))
    };
    let found = structure.found;
    let text_of_found = |of: fn(FoundBy) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from(vec![found.map(of); num_rows]))
    };
    // Of all samples there is nothing to draw.
    let drawn = found.filter(|found| found.half != Half::All);
    let seed = drawn.map(|found| found.seed);
    let layers: Vec<&str> = neurons.iter().map(|neuron| neuron.layer.as_str()).collect();
    derived_rows(
        Table::Structures,
        structure.capture,
        vec![
            text(&structure.name),
            Arc::new(Int32Array::from(vec![structure.class; num_rows])),
            Arc::new(StringArray::from(layers)),
            int(|neuron| neuron.neuron),
            int(|neuron| neuron.first_epoch),
            int(|neuron| neuron.last_epoch),
            float(|neuron| neuron.score),
            float(|neuron| neuron.p_value),
            text_of_found(|found| found.measure.name()),
            text_of_found(|found| found.half.name()),
            Arc::new(Int64Array::from(vec![seed; num_rows])),
        ],
    )
}

/// What takes the place of some of the table's files.
#[derive(Default)]
struct Changed {
    rows: BTreeMap<CaptureId, Vec<RecordBatch>>,
    retired: Vec<String>,
}

impl Changed {
    fn add(&mut self, capture: CaptureId, rows: RecordBatch) {
        self.rows.entry(capture).or_default().push(rows);
    }

    fn publish(self, writer: DerivedWriter) -> Result<(), StructureError> {
        let schema = Table::Structures.schema();
        let rows = self.rows.into_iter();
        let rows = rows.map(|(capture, batches)| Ok((capture, concat_batches(&schema, &batches)?)));
        writer.publish(rows.collect::<Result<_, ArrowError>>()?, self.retired)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_is_not_there_is_blamed_on_the_query_whose_rows_lack_it() {
        let rows = RecordBatch::new_empty(Table::Structures.schema());
        assert!(column(LINEAR_PROBE, &rows, "name").is_ok());
        let error = column(LINEAR_PROBE, &rows, "auc").unwrap_err().to_string();
        assert!(error.ends_with("linear_probe has no column auc"), "{error}");
        let error = column(STRUCTURE_ONSET, &rows, "percent")
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("structure_onset has no column percent"),
            "{error}"
        );
    }
}

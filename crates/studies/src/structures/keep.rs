//! Changes of the table `structures`: structures are kept, get other names, and are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use analysis::Half;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::error::ArrowError;
use sql::Run;
use trace::{CaptureId, DerivedWriter, Table, derived_rows};

use super::error::StructureError;
use super::stored::{names_of, unknown};
use super::{FoundBy, Structure, StructureNeuron};

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
            let are_found = structures.iter().any(|one| one.found.is_some());
            return Err(StructureError::Taken {
                name: taken.to_owned(),
                remedy: match are_found {
                    true => "give another prefix, or --force to replace it",
                    false => "give another name, or --force to replace it",
                },
            });
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
        return Err(StructureError::Taken {
            name: label.to_owned(),
            remedy: "give another name",
        });
    }
    changed.publish(writer)
}

/// Takes structures out of the run's table `structures`, all of them or none.
///
/// # Errors
/// If there is none of a name, or the table cannot be changed; it then is as it was.
pub fn remove_structures(run: &Run, names: &BTreeSet<String>) -> Result<(), StructureError> {
    let writer = structures_writer(run)?;
    let parts = writer.parts()?;
    let mut known = BTreeSet::new();
    let mut changed = Changed::default();
    for part in &parts {
        let of_row = names_of(&part.rows)?;
        known.extend(of_row.iter().flatten().map(str::to_owned));
        let stay: BooleanArray = of_row
            .iter()
            .map(|name| name.map(|name| !names.contains(name)))
            .collect();
        if stay.true_count() == part.rows.num_rows() {
            continue;
        }
        changed.retired.push(part.path.clone());
        changed.add(part.capture, filter_record_batch(&part.rows, &stay)?);
    }
    if let Some(name) = names.iter().find(|name| !known.contains(*name)) {
        return Err(unknown(name, &known));
    }
    match changed.retired.is_empty() {
        true => Ok(()),
        false => changed.publish(writer),
    }
}

fn structures_writer(run: &Run) -> Result<DerivedWriter, StructureError> {
    if !run.has_commits() {
        return Err(StructureError::NoCommits);
    }
    Ok(DerivedWriter::begin(run.dir(), Table::Structures)?)
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

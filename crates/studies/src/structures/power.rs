//! How well the neurons of a structure tell its class together.

use analysis::{Half, JointPower};
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use sql::{LINEAR_PROBE, QueryError, QuerySession};
use trace::{Table, read_derived};

use super::column::column;
use super::error::StructureError;
use super::stored::{names_of, stored};

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

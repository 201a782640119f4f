//! What is done to the inputs of a file, and what may be odd about it.

use crate::dataset::DatasetError;
use crate::dataset::raw::{RawTable, as_argument};
use crate::dataset::scaling::{Layout, Rows, Scaling, indistinct};
use crate::dataset::spec::FileSpec;

use super::details::Details;

/// What is done to the inputs: as `recorded` has it, where a run is read again, else by what the rows
/// are like that are trained on.
///
/// # Errors
/// If what is recorded is of other inputs, or nothing can stand in for missing values.
pub(super) fn scaling_of(
    spec: &FileSpec,
    layout: &Layout,
    rows: &Rows<'_>,
    trained_on: &[usize],
    recorded: Option<&Details>,
) -> Result<Scaling, DatasetError> {
    let (scale, table) = (spec.scale(), rows.table());
    let scaling = match recorded {
        Some(details) => details.scaling(scale, layout.width()),
        None => {
            let how = (scale, spec.missing);
            Some(Scaling::fit(layout, rows, trained_on, how))
        }
    };
    let scaling = scaling.ok_or_else(|| {
        DatasetError::Options(format!(
            "run.json does not say how the {} inputs of {} were prepared",
            layout.width(),
            table.file.display()
        ))
    })?;
    check_fill(table, layout, &scaling)?;
    Ok(scaling)
}

/// Checks that every column has a value to stand in for those that are missing.
fn check_fill(table: &RawTable, layout: &Layout, scaling: &Scaling) -> Result<(), DatasetError> {
    let fill = scaling.fill.iter().flatten();
    match layout
        .names()
        .into_iter()
        .zip(fill)
        .find(|(_, mean)| mean.is_nan())
    {
        None => Ok(()),
        Some((name, _)) => {
            let problem = format!(
                "no sample that is trained on has a value of it, so there is no mean: --ignore {} \
                 leaves the column out",
                as_argument(&name)
            );
            Err(DatasetError::Refused {
                file: table.file.clone(),
                place: None,
                column: Some(name),
                problem,
            })
        }
    }
}

/// Warnings of inputs that are not standardised and lose by it what tells their values apart.
pub(super) fn rounding_warnings(layout: &Layout, rows: &Rows<'_>) -> Vec<String> {
    let names = indistinct(layout, rows, rows.table().num_rows());
    let warning = |name: &String| {
        format!(
            "warning: values of {name:?} differ and are one once they are 32-bit floats, \
             which is what the network sees: --scale standard tells them apart"
        )
    };
    names.iter().map(warning).collect()
}

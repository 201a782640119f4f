//! Captures that were due and are in no commit.

use arrow::array::AsArray as _;
use arrow::datatypes::Float64Type;

use crate::catalog::{Catalog, Ending};
use crate::part_file::{BadFileError, PartFile};
use crate::part_reader::PartReader;
use crate::run::RunDir;
use crate::table::Table;

/// The metric by which a recorder says how many captures were due and are in no commit.
const LOST_CAPTURES: &str = "recorder.lost_captures";

/// Rows that are decoded at once, at most.
const BATCH_ROWS: usize = 8192;

/// How many captures were due and are in no commit, as the run's recorders say: for want of room, or since they
/// could not be made. What was lost after the last commit nobody could say. Files of metrics are read only if
/// something may have been lost: a session that lost something is not said to be finished.
///
/// # Errors
/// If a file is not what was committed.
pub fn lost_captures(run: &RunDir, catalog: &Catalog) -> Result<u64, BadFileError> {
    let world_size = run.info().world_size;
    let is_one_session = catalog.sessions().len() <= world_size as usize;
    if is_one_session && catalog.ending(world_size) == Ending::Finished {
        return Ok(0);
    }
    let files = catalog.files();
    let mut files = files.filter(|file| file.table == Table::Metrics.name());
    files.try_fold(0_u64, |lost, file| {
        let lost_then = sum_of_metric(PartFile::committed(run, &file), LOST_CAPTURES)?;
        // Whole numbers, and what a file from elsewhere says that are none counts as none.
        Ok(lost.saturating_add(lost_then as u64))
    })
}

/// What the rows of a metric in a file add up to.
///
/// # Errors
/// If the file is not what was committed.
pub(crate) fn sum_of_metric(file: PartFile, metric: &str) -> Result<f64, BadFileError> {
    let reader = PartReader::checked(Table::Metrics, &["name", "value"], BATCH_ROWS);
    let reader = reader.expect("columns of the table");
    let mut sum = 0.0;
    for rows in reader.open(file)? {
        let rows = rows?;
        let names = rows["name"].as_string::<i32>().iter();
        let values = rows["value"].as_primitive::<Float64Type>().values().iter();
        let said = names.zip(values).filter(|(name, _)| *name == Some(metric));
        sum += said.map(|(_, value)| value).sum::<f64>();
    }
    Ok(sum)
}

//! Whether the ranks of a run held the same weights.

use std::collections::{HashMap, HashSet};

use arrow::array::AsArray as _;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use trace::{
    BadFileError, Catalog, CommittedFile, Crc32c, PARAMETERS_CRC32C, PartFile, PartReader, RunDir,
    Table,
};

use super::{Check, Problem};

/// Rows that are decoded at once, at most.
const BATCH_ROWS: usize = 8192;

/// What a rank says of its weights at a step of an epoch.
struct Said {
    moment: (i32, i64),
    rank: i32,
    crc32c: Crc32c,
    path: String,
}

/// A problem for each capture at which a rank's weights are not rank 0's, in the order of the commits.
/// Of captures of which rank 0, or the other, says nothing, nothing can be told; files that are
/// `damaged` are not looked at.
pub(super) fn check(run: &RunDir, catalog: &Catalog, damaged: &HashSet<String>) -> Vec<Problem> {
    let columns = ["step", "rank", "name", "value"];
    let reader = PartReader::checked(Table::Metrics, &columns, BATCH_ROWS);
    let reader = reader.expect("columns of the table");
    let mut said = Vec::new();
    let files = catalog
        .files()
        .filter(|file| file.table == Table::Metrics.name() && !damaged.contains(file.path));
    for file in files {
        // What cannot be read was told as that file's problem.
        said.extend(read(&reader, run, &file).into_iter().flatten());
    }
    let of_first: HashMap<(i32, i64), Crc32c> = said
        .iter()
        .filter(|said| said.rank == 0)
        .map(|said| (said.moment, said.crc32c))
        .collect();
    let problems = said.into_iter().filter_map(|said| {
        let expected = of_first.get(&said.moment)?;
        (said.crc32c != *expected).then(|| Problem {
            path: said.path,
            check: Check::Parameters,
            expected: format!(
                "at epoch {}, step {} the weights of rank 0, with checksum {expected}",
                said.moment.0, said.moment.1
            ),
            found: format!(
                "weights of rank {} with checksum {}",
                said.rank, said.crc32c
            ),
        })
    });
    problems.collect()
}

fn read(
    reader: &PartReader,
    run: &RunDir,
    file: &CommittedFile<'_>,
) -> Result<Vec<Said>, BadFileError> {
    let mut said = Vec::new();
    for rows in reader.open(PartFile::committed(run, file))? {
        let rows = rows?;
        let steps = rows["step"].as_primitive::<Int64Type>().values();
        let ranks = rows["rank"].as_primitive::<Int32Type>().values();
        let values = rows["value"].as_primitive::<Float64Type>().values();
        let names = rows["name"].as_string::<i32>();
        for (row, name) in names.iter().enumerate() {
            if name == Some(PARAMETERS_CRC32C) {
                said.push(Said {
                    moment: (file.epoch, steps[row]),
                    rank: ranks[row],
                    // A checksum of 32 bits, which a 64-bit float holds.
                    crc32c: Crc32c(values[row] as u32),
                    path: file.path.to_owned(),
                });
            }
        }
    }
    Ok(said)
}

#[cfg(test)]
mod tests;

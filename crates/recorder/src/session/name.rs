//! What a run is called that was not given a directory.

use std::path::Path;

use trace::{CreateRunError, RunDir, RunInfo};

use crate::dataset::DatasetSpec;

/// Where runs go that were not given a directory: named after their data set, and `-2`, `-3`, ...
/// where that is taken.
pub const DEFAULT_ROOT: &str = "traces";

/// How many names are tried.
const MAX_DEFAULT_RUNS: u32 = 10_000;

/// Creates the first of `traces/digits`, `traces/digits-2`, ... that is not taken.
pub(super) fn create_default(
    dataset: &DatasetSpec,
    info: RunInfo,
) -> Result<RunDir, CreateRunError> {
    let dataset = dataset.run_name();
    let mut number = 1;
    loop {
        let name = match number {
            1 => dataset.clone(),
            _ => format!("{dataset}-{number}"),
        };
        match RunDir::create(&Path::new(DEFAULT_ROOT).join(name), info.clone()) {
            Err(CreateRunError::NotEmpty { .. }) if number < MAX_DEFAULT_RUNS => number += 1,
            result => return result,
        }
    }
}

//! What a run holds, counted from its commits alone.

use std::collections::HashMap;

use trace::{BadFileError, Catalog, ReadCommitsError, RunDir, Table, lost_captures};

use crate::files::{RunFilesError, require_commits};

/// Why a run's contents could not be counted.
#[derive(Debug, thiserror::Error)]
pub enum RunStatsError {
    /// The commits are damaged.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// The run's files cannot be told from others.
    #[error(transparent)]
    Files(#[from] RunFilesError),
}

/// What a run holds.
#[derive(Debug)]
pub struct RunStats {
    /// Commits in the run's history.
    pub num_commits: u64,
    /// Captures that they name.
    pub num_captures: u64,
    /// Captures that were due and are in no commit, as the metrics say; or which file of theirs is not what was
    /// committed, so that nobody knows.
    pub num_lost_captures: Result<u64, BadFileError>,
    /// First and last epoch of any file; none in an empty run.
    pub epochs: Option<(i32, i32)>,
    /// One entry a table and layer: tables as documents list them, layers as the network visits
    /// them.
    pub tables: Vec<TableStats>,
    /// All of it.
    pub total: Amount,
}

/// What a table holds of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct TableStats {
    /// The table's name.
    pub table: String,
    /// The layer; none where the table has no layers.
    pub layer: Option<String>,
    /// How much it is.
    pub amount: Amount,
    /// Incoming weights in its rows; none where the table holds no weights.
    pub num_weights: Option<u64>,
}

impl TableStats {
    /// Bytes on disk for a recorded weight, everything else in the files included; none where there
    /// are no weights.
    pub fn bytes_per_weight(&self) -> Option<f64> {
        self.num_weights
            .filter(|num_weights| *num_weights > 0)
            .map(|num_weights| self.amount.bytes as f64 / num_weights as f64)
    }
}

/// How much of something a run holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Committed files.
    pub num_files: u64,
    /// Rows in them.
    pub num_rows: u64,
    /// Their size on disk.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, rows: u64, bytes: u64) {
        self.num_files += 1;
        self.num_rows = self.num_rows.saturating_add(rows);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Counts what is committed. It opens no part files but those of metrics, where something may have been lost.
///
/// # Errors
/// If the commits cannot be read, or there are files and no commits at all.
pub fn run_stats(run: &RunDir) -> Result<RunStats, RunStatsError> {
    require_commits(run)?;
    let catalog = Catalog::load(run)?;
    let mut amounts: HashMap<(&str, Option<&str>), Amount> = HashMap::new();
    let mut total = Amount::default();
    let mut epochs: Option<(i32, i32)> = None;
    for file in catalog.files() {
        amounts
            .entry((file.table, file.layer))
            .or_default()
            .add(file.rows, file.bytes);
        total.add(file.rows, file.bytes);
        let (first, last) = epochs.unwrap_or((file.epoch, file.epoch));
        epochs = Some((first.min(file.epoch), last.max(file.epoch)));
    }

    let topology = &run.info().layers;
    let mut tables: Vec<TableStats> = amounts
        .into_iter()
        .map(|((table, layer), amount)| {
            let fan_in = layer
                .filter(|_| table == Table::Weights.name())
                .and_then(|layer| topology.layer(layer))
                .map(|layer| u64::from(layer.fan_in));
            TableStats {
                table: table.to_owned(),
                layer: layer.map(str::to_owned),
                amount,
                num_weights: fan_in.map(|fan_in| fan_in.saturating_mul(amount.num_rows)),
            }
        })
        .collect();
    // What this version does not know comes last, by name.
    tables.sort_by_cached_key(|stats| {
        let table = stats.table.parse::<Table>().ok();
        let layer = stats.layer.as_deref().map(|label| {
            topology
                .layer(label)
                .map_or(u32::MAX, |layer| layer.layer_index)
        });
        (
            table.is_none(),
            table,
            stats.table.clone(),
            layer,
            stats.layer.clone(),
        )
    });
    Ok(RunStats {
        num_commits: catalog.commits().len() as u64,
        num_captures: catalog.captures().len() as u64,
        num_lost_captures: lost_captures(run, &catalog),
        epochs,
        tables,
        total,
    })
}

#[cfg(test)]
mod tests;

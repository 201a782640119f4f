//! The tables of a run by name: those of its part files, those made of `run.json` and commits, and table
//! functions, which read a run by themselves.

pub(crate) mod call;
mod coactivation;
pub(crate) mod connections;
mod facts;
mod findings;
pub(crate) mod functions;
mod held_out;
mod limits;
pub(crate) mod linear_probe;
mod meta_model;
mod operator_table;
mod per_capture;
mod strongest_paths;
mod structure_scores;
pub(crate) mod successive;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;
use trace::Table;

use crate::run::scope::Scope;
use crate::run::snapshot::SharedSnapshot;
use crate::scan::TraceTable;

/// The tables that are made of `run.json` and of the commits.
pub(crate) const FACTS: [&str; 3] = ["layers", "neurons", "commits"];

/// The table of part files that queries know under a name. What training resumes from is none: its
/// files go while a query that names them runs.
pub(crate) fn recorded_table(name: &str) -> Option<Table> {
    name.parse().ok().filter(|table| *table != Table::Resume)
}

/// The table of that name, of the captures of a scope; none if there is no such table.
///
/// # Errors
/// If its rows, where they are not in files, cannot be put together.
pub(crate) fn table(
    snapshot: &SharedSnapshot,
    scope: Scope,
    name: &str,
) -> Result<Option<Arc<dyn TableProvider>>> {
    if let Some(table) = recorded_table(name) {
        let table = TraceTable::new(Arc::clone(snapshot), table, scope);
        return Ok(Some(Arc::new(table)));
    }
    let batch = match name {
        "layers" => facts::layers(snapshot),
        "neurons" => facts::neurons(snapshot),
        "commits" => facts::commits(snapshot),
        _ => return Ok(None),
    };
    let batch = batch.map_err(DataFusionError::from)?;
    let table = MemTable::try_new(batch.schema(), vec![vec![batch]])?;
    Ok(Some(Arc::new(table)))
}

//! What of a run is not finite, and since when: what a training that has diverged leaves nothing of.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::cast::{as_int32_array, as_string_array};
use trace::Table;

use crate::error::QueryError;
use crate::session::QuerySession;

/// What is not finite, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotFinite {
    /// What it is, in words, as `weights of L_input`.
    pub what: String,
    /// The first epoch at which one value of it is NaN or infinite.
    pub since: i32,
}

impl fmt::Display for NotFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} are not finite since epoch {}", self.what, self.since)
    }
}

/// By layer, the first epoch at which a value of a table is not finite; of tables without layers there is
/// one without a name.
type FirstEpochs = BTreeMap<String, i32>;

/// What is known of tables that were looked at: each is read once a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownNotFinite(Arc<Mutex<HashMap<Table, Arc<FirstEpochs>>>>);

/// A finite number is smaller than that, and a NaN is larger than all of them.
const IS_NOT_FINITE: &str = "NOT (abs(CAST({} AS DOUBLE)) < 1e308)";

/// How the first epochs of a table are asked for; none where its values are always finite.
fn asked_of(table: Table) -> Option<String> {
    let name = table.name();
    let by_layer = |filter: &str| {
        format!("SELECT layer, min(epoch) FROM {name} WHERE nonfinite > 0{filter} GROUP BY layer")
    };
    let of_column = |column: &str, filter: &str| {
        let is_not_finite = IS_NOT_FINITE.replace("{}", column);
        format!("SELECT min(epoch) FROM {name} WHERE {filter} AND {is_not_finite}")
    };
    match table {
        Table::Weights => Some(by_layer("")),
        Table::Activations => Some(by_layer(" AND phase = 'eval'")),
        Table::Classifications => Some(of_column("loss", "phase = 'eval'")),
        Table::Metrics => Some(of_column("value", "phase IS NOT NULL AND name = 'loss'")),
        _ => None,
    }
}

/// What a table's values are called.
fn called(table: Table) -> &'static str {
    match table {
        Table::Classifications => "losses of held-out samples",
        Table::Metrics => "losses",
        table => table.name(),
    }
}

impl QuerySession {
    /// Since when values of a table are not finite, of a layer or of any; none where all are. Of
    /// classifications and metrics the losses are looked at.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn not_finite(
        &self,
        table: Table,
        layer: Option<&str>,
    ) -> Result<Option<NotFinite>, QueryError> {
        let first = self.first_not_finite(table).await?;
        let has_layers = !first.contains_key("");
        let of_layer = first
            .iter()
            .filter(|(name, _)| !has_layers || layer.is_none_or(|layer| layer == name.as_str()));
        let since = of_layer.min_by_key(|(_, epoch)| **epoch);
        Ok(since.map(|(name, since)| NotFinite {
            what: match name.as_str() {
                "" => called(table).to_owned(),
                layer => format!("{} of {layer}", called(table)),
            },
            since: *since,
        }))
    }

    /// Everything of the run that is not finite: losses, then weights and activations by their layers'
    /// order.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub async fn all_not_finite(&self) -> Result<Vec<NotFinite>, QueryError> {
        let mut all = Vec::new();
        all.extend(self.not_finite(Table::Metrics, None).await?);
        for table in [Table::Weights, Table::Activations] {
            for layer in self.info().layers.layers() {
                let layer = layer.layer.as_str();
                all.extend(self.not_finite(table, Some(layer)).await?);
            }
        }
        Ok(all)
    }

    async fn first_not_finite(&self, table: Table) -> Result<Arc<FirstEpochs>, QueryError> {
        let known = || {
            let known = self.known_not_finite().0.lock();
            known.unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(first) = known().get(&table) {
            return Ok(Arc::clone(first));
        }
        let mut first = FirstEpochs::new();
        if let Some(sql) = asked_of(table) {
            let batches = self.sql(&sql).await?.collect().await?;
            for batch in &batches {
                let (epochs, layers) = match batch.columns() {
                    [epochs] => (as_int32_array(epochs)?, None),
                    [layers, epochs, ..] => {
                        (as_int32_array(epochs)?, Some(as_string_array(layers)?))
                    }
                    [] => continue,
                };
                for (row, epoch) in epochs.iter().enumerate() {
                    let layer = layers.map_or("", |layers| layers.value(row));
                    first.extend(epoch.map(|epoch| (layer.to_owned(), epoch)));
                }
            }
        }
        let first = Arc::new(first);
        known().insert(table, Arc::clone(&first));
        Ok(first)
    }
}

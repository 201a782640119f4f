//! What of a run is not finite, and since when: what a training that has diverged leaves nothing of.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::cast::{as_int32_array, as_string_array};
use trace::Table;

use crate::run::error::QueryError;
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
pub(super) struct KnownNotFinite(Arc<Mutex<HashMap<Table, Arc<FirstEpochs>>>>);

/// A finite number is smaller than that, and a NaN is larger than all of them.
const IS_NOT_FINITE: &str = "NOT (abs(CAST({} AS DOUBLE)) < 1e308)";

/// How the first epochs of a table are asked for; none where its values are always finite.
fn asked_of(table: Table, epoch: Option<i32>) -> Option<String> {
    let name = table.name();
    let at = epoch.map_or(String::new(), |epoch| format!(" AND epoch = {epoch}"));
    let by_layer = |filter: &str| {
        let filter = format!("nonfinite > 0{filter}{at}");
        format!("SELECT layer, min(epoch) FROM {name} WHERE {filter} GROUP BY layer")
    };
    let of_column = |column: &str, filter: &str| {
        let is_not_finite = IS_NOT_FINITE.replace("{}", column);
        format!("SELECT min(epoch) FROM {name} WHERE {filter} AND {is_not_finite}{at}")
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

/// What is not finite of a layer, or of any, and since when.
fn described(table: Table, first: &FirstEpochs, layer: Option<&str>) -> Option<NotFinite> {
    // Of a table without layers there is nothing to choose.
    let is_meant = |name: &str| name.is_empty() || layer.is_none_or(|layer| layer == name);
    let of_layer = first.iter().filter(|(name, _)| is_meant(name));
    let (name, since) = of_layer.min_by_key(|(_, epoch)| **epoch)?;
    Some(NotFinite {
        what: match name.as_str() {
            "" => called(table).to_owned(),
            layer => format!("{} of {layer}", called(table)),
        },
        since: *since,
    })
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
        Ok(described(table, &first, layer))
    }

    /// As [`not_finite_in`](Self::not_finite_in), if that is so at an epoch; where it is not, no other
    /// epoch is read.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub async fn not_finite_at(
        &self,
        epoch: i32,
        tables: &[Table],
        layer: Option<&str>,
    ) -> Result<Option<NotFinite>, QueryError> {
        for &table in tables {
            let found = self.read_not_finite(table, Some(epoch)).await?;
            if described(table, &found, layer).is_some() {
                return self.not_finite_in(tables, layer).await;
            }
        }
        Ok(None)
    }

    /// As [`not_finite`](Self::not_finite), of several tables: what is not finite since the earliest
    /// epoch. A unit that cuts off at 0 makes numbers of what are none, so that activations alone do
    /// not say what their layer has come to.
    ///
    /// # Errors
    /// If a table cannot be read.
    pub async fn not_finite_in(
        &self,
        tables: &[Table],
        layer: Option<&str>,
    ) -> Result<Option<NotFinite>, QueryError> {
        let mut earliest: Option<NotFinite> = None;
        for &table in tables {
            if let Some(found) = self.not_finite(table, layer).await?
                && earliest
                    .as_ref()
                    .is_none_or(|known| found.since < known.since)
            {
                earliest = Some(found);
            }
        }
        Ok(earliest)
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
        let first = Arc::new(self.read_not_finite(table, None).await?);
        known().insert(table, Arc::clone(&first));
        Ok(first)
    }

    /// What a table says of an epoch, or of all.
    async fn read_not_finite(
        &self,
        table: Table,
        epoch: Option<i32>,
    ) -> Result<FirstEpochs, QueryError> {
        let mut first = FirstEpochs::new();
        if let Some(sql) = asked_of(table, epoch) {
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
        Ok(first)
    }
}

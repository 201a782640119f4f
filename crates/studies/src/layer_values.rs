//! The values of a capture's neurons, layer by layer, as matrices.

use std::str::FromStr;

use analysis::Rows;
use arrow::array::{Array, RecordBatch};
use datafusion::common::cast::{as_float32_array, as_int32_array, as_list_array, as_string_array};
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use sql::{QueryError, QuerySession, describe_missing, reserve};
use trace::Table;

/// What is looked at of the neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValuesOf {
    /// Their incoming weights.
    Weights,
    /// Their activations on the held-out samples whose values were kept.
    Activations,
}

impl ValuesOf {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Weights, Self::Activations];

    /// The table.
    pub(crate) fn table(self) -> Table {
        match self {
            Self::Weights => Table::Weights,
            Self::Activations => Table::Activations,
        }
    }

    /// The tables that say whether they are finite: activations come of weights.
    pub fn tables(self) -> &'static [Table] {
        match self {
            Self::Weights => &[Table::Weights],
            Self::Activations => &[Table::Activations, Table::Weights],
        }
    }

    /// The name of the table, and of its list.
    pub fn name(self) -> &'static str {
        self.table().name()
    }
}

/// Which epochs are looked at: `all`, `first`, `last` or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epochs {
    /// Every one that was captured, the untrained network aside.
    All,
    /// The first of them.
    First,
    /// The last of them.
    Last,
    /// The one of that number.
    Number(i32),
}

impl FromStr for Epochs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "first" => Ok(Self::First),
            "last" => Ok(Self::Last),
            number => number
                .parse()
                .map(Self::Number)
                .map_err(|_| "expected all, first, last or a number".to_owned()),
        }
    }
}

impl Epochs {
    /// Those among `captured`, which ascend.
    ///
    /// # Errors
    /// If there is none.
    pub fn among(self, captured: &[i32]) -> Result<Vec<i32>, QueryError> {
        let (Some(first), Some(last)) = (captured.first(), captured.last()) else {
            return Err(QueryError::NothingCaptured);
        };
        Ok(match self {
            Self::All => captured.to_vec(),
            Self::First => vec![*first],
            Self::Last => vec![*last],
            Self::Number(epoch) if captured.contains(&epoch) => vec![epoch],
            Self::Number(epoch) => {
                let told = describe_missing(epoch, captured);
                return Err(QueryError::Mistake(format!(
                    "epoch {epoch} was not captured: {told}"
                )));
            }
        })
    }
}

/// The values of a layer's neurons at a capture, as far as they were recorded.
#[derive(Debug, Default)]
pub(crate) struct LayerValues {
    pub(crate) layer: String,
    pub(crate) neurons: Vec<i32>,
    pub(crate) units: Vec<i32>,
    /// A row a neuron.
    pub(crate) rows: Rows,
}

/// The values of an epoch's capture, of all layers or of one, in the order of the topology.
/// Neurons of which statistics alone were kept are left out. What is held of them is reserved of
/// `memory` before.
///
/// # Errors
/// If they cannot be read, there is no room for them, or a layer's neurons have lists of different lengths.
pub(crate) async fn layer_values(
    session: &QuerySession,
    of: ValuesOf,
    epoch: i32,
    layer: Option<&str>,
    memory: &MemoryReservation,
) -> Result<Vec<LayerValues>, QueryError> {
    let name = of.name();
    let mut sql = format!(
        "SELECT layer, neuron, unit, {name} FROM epochs_initial.{name} WHERE epoch = {epoch}"
    );
    if of == ValuesOf::Activations {
        sql.push_str(" AND phase = 'eval'");
    }
    if let Some(layer) = layer {
        sql.push_str(&format!(" AND layer = '{}'", layer.replace('\'', "''")));
    }
    sql.push_str(" ORDER BY neuron");
    let mut batches = session.sql(&sql).await?.execute_stream().await?;
    let mut layers = Vec::new();
    while let Some(batch) = batches.try_next().await? {
        append(&mut layers, &batch, of, memory)?;
    }
    Ok(layers)
}

fn append(
    layers: &mut Vec<LayerValues>,
    batch: &RecordBatch,
    of: ValuesOf,
    memory: &MemoryReservation,
) -> Result<(), QueryError> {
    let names = as_string_array(batch.column(0))?;
    let neurons = as_int32_array(batch.column(1))?;
    let units = as_int32_array(batch.column(2))?;
    let lists = as_list_array(batch.column(3))?;
    let values = as_float32_array(lists.values())?.values();
    let offsets = lists.value_offsets();
    for row in (0..batch.num_rows()).filter(|&row| lists.is_valid(row)) {
        let name = names.value(row);
        if layers.last().is_none_or(|last| last.layer != name) {
            layers.push(LayerValues {
                layer: name.to_owned(),
                ..LayerValues::default()
            });
        }
        let layer = layers.last_mut().expect("pushed above");
        let list = &values[offsets[row] as usize..offsets[row + 1] as usize];
        if !layer.rows.is_empty() && layer.rows.num_columns() != list.len() {
            return Err(QueryError::Execution(format!(
                "neurons of layer {name:?} have {} of different lengths: {} and {}",
                of.name(),
                layer.rows.num_columns(),
                list.len()
            )));
        }
        reserve(layer.rows.values_mut(), list.len(), memory)?;
        reserve(&mut layer.neurons, 1, memory)?;
        reserve(&mut layer.units, 1, memory)?;
        layer.neurons.push(neurons.value(row));
        layer.units.push(units.value(row));
        layer.rows.push(list);
    }
    Ok(())
}

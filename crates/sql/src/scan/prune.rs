//! Which files a filter on the partition columns leaves, before anything is made for a file.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::Schema;
use datafusion::catalog::Session;
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Volatility};
use trace::{EPOCH_COLUMN, LAYER_COLUMN, RowFilter, Table};

use crate::run::snapshot::Snapshot;

/// Whether a filter speaks of nothing but partition columns, so that it holds for all rows of a
/// file or for none.
pub(crate) fn is_partition_filter(table: Table, filter: &Expr) -> bool {
    speaks_of(filter, |name| {
        name == EPOCH_COLUMN || (table.has_layer() && name == LAYER_COLUMN)
    })
}

/// Whether a filter says the same of the same values whenever it is asked, and of no columns but these.
fn speaks_of(filter: &Expr, is_among: impl Fn(&str) -> bool) -> bool {
    let mut decidable = true;
    filter
        .apply(|expr| {
            decidable &= match expr {
                Expr::Column(column) => is_among(&column.name),
                Expr::ScalarFunction(call) => {
                    call.func.signature().volatility == Volatility::Immutable
                }
                Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::ScalarSubquery(_)
                | Expr::SetComparison(_)
                | Expr::HigherOrderFunction(_)
                | Expr::Lambda(_)
                | Expr::LambdaVariable(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::Placeholder(_)
                | Expr::Unnest(_)
                | Expr::GroupingSet(_) => false,
                _ => true,
            };
            Ok(match decidable {
                true => TreeNodeRecursion::Continue,
                false => TreeNodeRecursion::Stop,
            })
        })
        .expect("the closure returns no error");
    decidable
}

/// What those of `filters` say of the rows of a file that speak of its columns, but not of lists; none if none does, or
/// if it cannot be said. Whoever asked has all of them held against the rows that are left.
pub(super) fn row_filter(state: &dyn Session, table: Table, filters: &[Expr]) -> Option<RowFilter> {
    let stored = table.schema();
    let is_among = |name: &str| {
        let field = stored.field_with_name(name);
        field.is_ok_and(|field| !field.data_type().is_nested())
    };
    let decides = |filter: &&Expr| speaks_of(filter, is_among);
    let filters = filters.iter().filter(decides).cloned();
    let filter = unqualified(conjunction(filters)?).ok()?;
    let columns = filter.column_refs().into_iter();
    let columns = columns.map(|column| stored.index_of(&column.name));
    let mut columns = columns.collect::<Result<Vec<_>, _>>().ok()?;
    columns.sort_unstable();
    if columns.is_empty() {
        return None;
    }
    let schema = DFSchema::try_from(stored.project(&columns).ok()?).ok()?;
    let filter = state.create_physical_expr(filter, &schema).ok()?;
    Some(RowFilter::new(columns, move |rows| {
        // What is wrong with it is told by whoever asked, who works it out as well.
        let holds = filter.evaluate(rows).ok()?;
        let holds = holds.into_array(rows.num_rows()).ok()?;
        Some(as_boolean_array(&holds).ok()?.clone())
    }))
}

/// Those of `filters` that decide about whole layers.
pub(super) fn layer_filters(filters: &[Expr]) -> Vec<Expr> {
    let is_of_layer = |filter: &&Expr| {
        let columns = filter.column_refs();
        columns.iter().all(|column| column.name == LAYER_COLUMN)
    };
    filters.iter().filter(is_of_layer).cloned().collect()
}

/// Those of `filters` that decide about whole files.
pub(super) fn partition_filters(table: Table, filters: &[Expr]) -> Vec<Expr> {
    let decides = |filter: &&Expr| is_partition_filter(table, filter);
    filters.iter().filter(decides).cloned().collect()
}

/// The files of the partitions for which all `filters` hold.
///
/// The filters are evaluated as DataFusion evaluates them on rows, once over all partitions, so
/// that whatever can be written prunes: `=`, `IN`, `BETWEEN`, `LIKE`, `OR`.
pub(super) fn select(
    state: &dyn Session,
    snapshot: &Snapshot,
    table: Table,
    filters: &[Expr],
) -> Result<Vec<usize>> {
    let Some(filter) = conjunction(filters.to_vec()) else {
        return Ok(snapshot.select(table, |_, _| true));
    };
    let mut layers = Layers::default();
    let mut seen = HashSet::new();
    let mut partitions = Vec::new();
    snapshot.select(table, |epoch, layer| {
        let partition = (epoch, layers.id(layer.unwrap_or_default()));
        // A run has many more files than partitions.
        if seen.insert(partition) {
            partitions.push(partition);
        }
        false
    });
    drop(seen);

    let schema = Arc::new(Schema::new(table.partition_fields()));
    let epochs = partitions.iter().map(|(epoch, _)| *epoch);
    let mut columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from_iter_values(epochs))];
    if table.has_layer() {
        let names = partitions.iter().map(|(_, layer)| layers.name(*layer));
        columns.push(Arc::new(StringArray::from_iter_values(names)));
    }
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let filter = unqualified(filter)?;
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema)?)?;
    let holds = filter.evaluate(&rows)?.into_array(rows.num_rows())?;
    let holds = as_boolean_array(&holds)?;

    let kept = partitions.into_iter().zip(holds);
    let kept = kept.filter(|(_, holds)| *holds == Some(true));
    let kept: HashSet<(i32, u32)> = kept.map(|(partition, _)| partition).collect();
    Ok(snapshot.select(table, |epoch, layer| {
        kept.contains(&(epoch, layers.id(layer.unwrap_or_default())))
    }))
}

/// The names of layers, and a number for each.
#[derive(Default)]
struct Layers {
    names: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Layers {
    fn id(&mut self, name: &str) -> u32 {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = u32::try_from(self.names.len()).expect("a run has fewer than 2^32 layers");
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        id
    }

    fn name(&self, id: u32) -> &str {
        &self.names[id as usize]
    }
}

/// The filter without the name or alias that the query gave the table.
pub(super) fn unqualified(filter: Expr) -> Result<Expr> {
    let transformed = filter.transform(|expr| {
        Ok(match expr {
            Expr::Column(column) if column.relation.is_some() => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            expr => Transformed::no(expr),
        })
    })?;
    Ok(transformed.data)
}

//! A table of a run: its columns, and the files that a filter leaves.

mod chosen;
mod files;
mod part_scan;
mod plan;
mod prune;
mod reader;
mod shared;
mod sharing;
mod source;
mod stock;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use trace::Table;

use crate::run::scope::Scope;
use crate::run::snapshot::SharedSnapshot;
use chosen::Dealt;
use plan::Wanted;

pub(crate) use files::TableFiles;
pub(crate) use prune::is_partition_filter;
pub use shared::SHARED_BYTES;
pub(crate) use sharing::ShareScans;
pub(crate) use stock::StockScans;

/// One table of a run, restricted to the captures of a [`Scope`].
///
/// Its columns are the partition columns (`epoch`, `layer`) followed by those of the files. The
/// files come from the commits: nothing is listed, and a file that the filters on `epoch` and
/// `layer` rule out costs nothing.
#[derive(Debug)]
pub(crate) struct TraceTable {
    snapshot: SharedSnapshot,
    table: Table,
    scope: Scope,
    schema: SchemaRef,
}

impl TraceTable {
    pub(crate) fn new(snapshot: SharedSnapshot, table: Table, scope: Scope) -> Self {
        let partition = table.partition_fields().into_iter().map(Arc::new);
        let stored = table.schema();
        let fields = partition.chain(stored.fields().iter().cloned());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Self {
            snapshot,
            table,
            scope,
            schema,
        }
    }

    /// The files that may hold rows for which all `filters` hold.
    pub(crate) fn files(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<usize>> {
        let filters = prune::partition_filters(self.table, filters);
        let mut files = prune::select(state, &self.snapshot, self.table, &filters)?;
        files.retain(|&index| self.snapshot.shows(self.scope, self.table, index));
        Ok(files)
    }

    /// Where the table has these columns.
    fn indices_of(&self, columns: &[&str]) -> Result<Vec<usize>> {
        let indices = columns.iter().map(|name| self.schema.index_of(name));
        Ok(indices.collect::<Result<_, _>>()?)
    }

    /// A scan of some columns, of the rows for which all `filters` hold, which speak of these
    /// columns alone.
    pub(crate) async fn filtered(
        &self,
        state: &dyn Session,
        columns: &[&str],
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.indices_of(columns)?;
        let input = self.scan(state, Some(&columns), filters, None).await?;
        let Some(filter) = conjunction(filters.to_vec()) else {
            return Ok(input);
        };
        let schema = DFSchema::try_from(input.schema())?;
        let filter = state.create_physical_expr(prune::unqualified(filter)?, &schema)?;
        Ok(Arc::new(FilterExec::try_new(filter, input)?))
    }

    /// A scan of some columns for whoever sets captures beside those before: each layer's files are
    /// in one partition, in order. They are those that may hold rows for which all `filters` hold,
    /// of each of these captures the one before it, and each layer's first.
    pub(crate) fn successive(
        &self,
        state: &dyn Session,
        columns: &[&str],
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: HashSet<usize> = self.files(state, filters)?.into_iter().collect();
        let mut of_layers = self.files(state, &prune::layer_filters(filters))?;
        let capture = |index: &usize| {
            let file = self.snapshot.file(*index);
            (file.layer, file.epoch, file.step)
        };
        of_layers.sort_by_cached_key(capture);
        let mut files = Vec::new();
        for of_layer in of_layers.chunk_by(|a, b| capture(a).0 == capture(b).0) {
            let captures = of_layer.chunk_by(|a, b| capture(a) == capture(b));
            let captures: Vec<&[usize]> = captures.collect();
            let is_wanted = |at: usize| {
                let capture = captures.get(at);
                capture.is_some_and(|files| files.iter().any(|file| wanted.contains(file)))
            };
            let is_any_wanted = (0..captures.len()).any(is_wanted);
            for (at, capture) in captures.iter().enumerate() {
                if is_wanted(at) || is_wanted(at + 1) || (at == 0 && is_any_wanted) {
                    files.extend_from_slice(capture);
                }
            }
        }
        let columns = self.indices_of(columns)?;
        let dealt = Dealt::ByLayer;
        let wanted = Wanted {
            columns: Some(&columns),
            ..Wanted::default()
        };
        plan::plan(state, &self.snapshot, self.table, &files, dealt, wanted)
    }
}

#[async_trait]
impl TableProvider for TraceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let by_partition = |filter: &&Expr| prune::is_partition_filter(self.table, filter);
        Ok(filters
            .iter()
            .map(|filter| match by_partition(filter) {
                true => TableProviderFilterPushDown::Exact,
                false => TableProviderFilterPushDown::Inexact,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = self.files(state, filters)?;
        let dealt = Dealt::Evenly;
        let wanted = Wanted {
            columns: projection,
            filter: prune::row_filter(state, self.table, filters),
            limit,
        };
        plan::plan(state, &self.snapshot, self.table, &files, dealt, wanted)
    }
}

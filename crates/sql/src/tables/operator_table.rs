//! A table whose rows an operator works out, as DataFusion knows it.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// A table whose rows an operator works out when they are asked for.
#[async_trait]
pub(crate) trait OperatorTable: Debug + Send + Sync {
    /// Its columns.
    fn schema(&self) -> SchemaRef;

    /// Whether a filter is given to [`OperatorTable::plan`]; else it looks at the rows that come of it.
    fn takes(&self, filter: &Expr) -> bool;

    /// Whether no row comes that a filter which was taken rules out.
    fn is_exact(&self) -> bool {
        true
    }

    /// The operator, over what it reads: of these columns, with the filters that were taken.
    ///
    /// # Errors
    /// If it cannot be planned.
    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>>;
}

/// An [`OperatorTable`] that can be queried.
#[derive(Debug)]
pub(crate) struct Queryable<T>(pub(crate) T);

#[async_trait]
impl<T: OperatorTable + 'static> TableProvider for Queryable<T> {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let of_filter = |filter: &&Expr| match (self.0.takes(filter), self.0.is_exact()) {
            (true, true) => TableProviderFilterPushDown::Exact,
            (true, false) => TableProviderFilterPushDown::Inexact,
            (false, _) => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of_filter).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.plan(state, projection, filters).await
    }
}

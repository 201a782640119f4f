//! What a session can be asked, as tables of another one: of another version of DataFusion, or of another
//! library in the same process.
//!
//! The other session plans its query, hands over the columns, filters and limit that concern a table, and gets rows.
//! These are planned and worked out here: by the session's own rules, within its own memory, with the functions and
//! the files that it knows, on threads that it is given. Nothing of the other session is relied on.

use std::fmt::{self, Debug};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{CatalogProvider, SchemaProvider, Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{
    Column, DataFusionError, Result, Statistics, TableReference, internal_err,
};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, TableProviderFilterPushDown, TableType,
};
use datafusion::physical_expr::expressions::Column as PhysicalColumn;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use datafusion::prelude::{DataFrame, SessionContext};
use futures::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::QuerySession;
use crate::run::scope::{CATALOG, Scope};

/// How many batches wait for whoever reads.
const BATCHES_AHEAD: usize = 2;

impl QuerySession {
    /// The rows of a query of this session, as a table of another one. The work is done on `threads`.
    pub fn served_table(&self, query: &DataFrame, threads: &Handle) -> Arc<dyn TableProvider> {
        Arc::new(ServedTable::new(
            &Server::of(self, threads),
            query.logical_plan().clone(),
        ))
    }

    /// The run's tables and named queries as a catalogue of another session: a schema for each [`Scope`], as
    /// `public`, which has everything. The work is done on `threads`.
    pub fn served_catalog(&self, threads: &Handle) -> Arc<dyn CatalogProvider> {
        Arc::new(ServedCatalog(Server::of(self, threads)))
    }
}

/// Who plans and works out what is asked of a table.
#[derive(Clone)]
struct Server {
    context: SessionContext,
    threads: Handle,
}

impl Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    fn of(session: &QuerySession, threads: &Handle) -> Self {
        Self {
            context: session.context.clone(),
            threads: threads.clone(),
        }
    }

    /// Does work on the session's threads. Where it panics, that is an error: whoever waits may be of another
    /// library, which a panic would end.
    async fn work<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let mut working = JoinSet::new();
        working.spawn_on(work, &self.threads);
        match working.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(error)) => Err(DataFusionError::External(error.into())),
            None => internal_err!("the work was not begun"),
        }
    }
}

#[derive(Debug)]
struct ServedCatalog(Server);

impl CatalogProvider for ServedCatalog {
    fn schema_names(&self) -> Vec<String> {
        let names = Scope::ALL.map(Scope::schema_name);
        names.into_iter().map(str::to_owned).collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        // A catalogue that serves nothing of itself: the session's information schema is not the run's.
        Scope::ALL
            .into_iter()
            .find(|scope| scope.schema_name() == name)?;
        let catalog = self.0.context.catalog(CATALOG)?;
        Some(Arc::new(ServedSchema {
            server: self.0.clone(),
            name: name.to_owned(),
            schema: catalog.schema(name)?,
        }))
    }
}

#[derive(Debug)]
struct ServedSchema {
    server: Server,
    name: String,
    schema: Arc<dyn SchemaProvider>,
}

#[async_trait]
impl SchemaProvider for ServedSchema {
    fn table_names(&self) -> Vec<String> {
        self.schema.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if !self.table_exist(name) {
            return Ok(None);
        }
        let table = TableReference::full(CATALOG, self.name.as_str(), name);
        let context = self.server.context.clone();
        let planning = async move { context.table(table).await };
        let rows = self.server.work(planning).await?;
        let plan = rows.logical_plan().clone();
        Ok(Some(Arc::new(ServedTable::new(&self.server, plan))))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.schema.table_exist(name)
    }
}

/// The rows of a plan, for whichever session asks.
#[derive(Debug)]
struct ServedTable {
    server: Server,
    plan: LogicalPlan,
}

impl ServedTable {
    fn new(server: &Server, plan: LogicalPlan) -> Self {
        Self {
            server: server.clone(),
            plan,
        }
    }

    /// The plan of what is asked of the table.
    fn asked(
        &self,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<LogicalPlan> {
        // Filters name columns as the table has them, whatever tables they come from here.
        let mut plan = LogicalPlanBuilder::from(self.plan.clone()).alias("served")?;
        if let Some(filter) = conjunction(filters.to_vec()) {
            plan = plan.filter(filter)?;
        }
        if let Some(projection) = projection {
            let schema = Arc::clone(plan.schema());
            let columns = projection
                .iter()
                .map(|&index| Column::from(schema.qualified_field(index)));
            plan = plan.project(columns.map(Expr::Column))?;
        }
        plan.limit(0, limit)?.build()
    }
}

#[async_trait]
impl TableProvider for ServedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.plan.schema().inner())
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // They become part of what is planned here.
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = self.asked(projection, filters, limit)?;
        let state = self.server.context.state();
        let planning = async move { state.create_physical_plan(&plan).await };
        let plan = self.server.work(planning).await?;
        let context = self.server.context.task_ctx();
        let threads = self.server.threads.clone();
        Ok(Arc::new(ServedExec::new(context, threads, plan)))
    }
}

/// A plan that runs in its own session, whichever has it in its plans. Its nodes are its own: rules of another
/// session do not see them.
#[derive(Debug)]
struct ServedExec {
    context: Arc<TaskContext>,
    threads: Handle,
    plan: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for ServedExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(Self::NAME)
    }
}

impl ServedExec {
    const NAME: &str = "ServedExec";

    fn new(context: Arc<TaskContext>, threads: Handle, plan: Arc<dyn ExecutionPlan>) -> Self {
        let properties = Arc::new(promised(&plan));
        Self {
            context,
            threads,
            plan,
            properties,
        }
    }
}

/// What is promised of a plan's rows to another session: how many partitions they come in, and an order of columns.
/// Another engine may hash otherwise, so rows that this one has put together by a hash are not told to be.
fn promised(plan: &Arc<dyn ExecutionPlan>) -> PlanProperties {
    let is_plain = |order: &&LexOrdering| order.iter().all(|sort| sort.expr.is::<PhysicalColumn>());
    let mut known = EquivalenceProperties::new(plan.schema());
    known.add_orderings(plan.output_ordering().filter(is_plain).cloned());
    let num_partitions = plan.output_partitioning().partition_count();
    PlanProperties::new(
        known,
        Partitioning::UnknownPartitioning(num_partitions),
        plan.pipeline_behavior(),
        plan.boundedness(),
    )
}

impl ExecutionPlan for ServedExec {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match children.is_empty() {
            true => Ok(self),
            false => internal_err!("{} has no inputs", Self::NAME),
        }
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let (context, threads) = (Arc::clone(&self.context), self.threads.clone());
        let plan = Arc::clone(&self.plan).reset_state()?;
        Ok(Arc::new(Self::new(context, threads, plan)))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let args = StatisticsArgs::new().with_partition(args.partition());
        StatisticsContext::new().compute(self.plan.as_ref(), &args)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let (plan, context) = (Arc::clone(&self.plan), Arc::clone(&self.context));
        let mut working = JoinSet::new();
        let work = async move {
            let mut rows = plan.execute(partition, context)?;
            while let Some(batch) = rows.next().await {
                if sender.send(batch?).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        working.spawn_on(work, &self.threads);
        // Rows that were sent come first, then why there are no more. Dropping it ends the work.
        let rows = stream::unfold(
            (batches, working),
            |(mut batches, mut working)| async move {
                if let Some(batch) = batches.recv().await {
                    return Some((Ok(batch), (batches, working)));
                }
                let error = match working.join_next().await? {
                    Ok(Ok(())) => return None,
                    Ok(Err(error)) => error,
                    Err(error) => DataFusionError::External(error.into()),
                };
                Some((Err(error), (batches, working)))
            },
        );
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), rows)))
    }
}

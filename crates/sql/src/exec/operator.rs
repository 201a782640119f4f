//! An operator of a plan by itself: the node of DataFusion's that our table functions share. What differs
//! between them is how rows come of the input's.

use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning,
    PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::{EmptyRecordBatchStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties,
};
use futures::stream::BoxStream;

use crate::exec::budget::Counters;

/// How rows come of those of an input, or of nothing but what the operator knows.
pub(crate) trait Operator: Debug + Send + Sync + 'static {
    /// The node's name.
    fn name(&self) -> &'static str;

    /// What it does, for whoever reads the plan.
    fn describe(&self) -> String;

    /// Columns and order of the rows.
    fn output(&self, input: Option<&Arc<dyn ExecutionPlan>>) -> Result<EquivalenceProperties>;

    /// How many partitions they have: as many as the input's, unless told otherwise.
    fn num_partitions(&self, input: Option<&Arc<dyn ExecutionPlan>>) -> usize {
        input.map_or(1, |input| input.output_partitioning().partition_count())
    }

    /// Whether they come in the order of the input's.
    fn keeps_order(&self) -> bool {
        false
    }

    /// What the rows of the input have to ascend by, all of them in one partition unless
    /// [`Operator::kept_together`] says which.
    fn required_order(&self) -> &'static [&'static str] {
        &[]
    }

    /// The columns by which rows of the input belong together: those that are equal in them have to
    /// be in one partition.
    fn kept_together(&self) -> &'static [&'static str] {
        &[]
    }

    /// The rows of a partition.
    fn rows(&self, task: Task) -> Result<BoxStream<'static, Result<RecordBatch>>>;
}

/// What the rows of a partition are made with.
pub(crate) struct Task {
    pub(crate) partition: usize,
    /// The rows of the partition of the input; none where there is no input.
    pub(crate) input: SendableRecordBatchStream,
    /// The columns of the rows.
    pub(crate) schema: SchemaRef,
    pub(crate) context: Arc<TaskContext>,
    pub(crate) metrics: BaselineMetrics,
    /// Counts work of the operator's own kind.
    pub(crate) counters: Counters,
}

/// What rows ascend by, as far as the columns are there: a prefix of an order is one as well.
pub(crate) fn ascending(schema: &Schema, names: &[&str]) -> Vec<PhysicalSortExpr> {
    let columns = names.iter();
    let columns = columns.map_while(|name| Column::new_with_schema(name, schema).ok());
    let ascending = columns.map(|column| {
        PhysicalSortExpr::new_default(Arc::new(column))
            .asc()
            .nulls_last()
    });
    ascending.collect()
}

/// Rows that ascend by these columns.
pub(crate) fn ordered(schema: SchemaRef, names: &[&str]) -> EquivalenceProperties {
    let order = LexOrdering::new(ascending(&schema, names));
    let mut properties = EquivalenceProperties::new(schema);
    properties.add_orderings(order);
    properties
}

/// Rows that ascend by these columns if those of the input ascend by `of_input`.
pub(crate) fn ordered_if(
    input: Option<&Arc<dyn ExecutionPlan>>,
    of_input: &[&str],
    schema: SchemaRef,
    names: &[&str],
) -> Result<EquivalenceProperties> {
    let is_known = |input: &Arc<dyn ExecutionPlan>| {
        let known = input.properties().equivalence_properties();
        known.ordering_satisfy(ascending(&input.schema(), of_input))
    };
    Ok(match input.map(is_known).transpose()? {
        Some(true) => ordered(schema, names),
        _ => EquivalenceProperties::new(schema),
    })
}

/// What is required of an input whose rows belong together by these columns. What fulfils it is
/// asked for nothing: it would be dealt out anew where there are more cores than partitions.
fn kept_together(input: &Arc<dyn ExecutionPlan>, columns: &[&str]) -> Distribution {
    let schema = input.schema();
    let columns = columns.iter();
    let columns = columns.filter_map(|name| Column::new_with_schema(name, &schema).ok());
    let columns = columns.map(|column| Arc::new(column) as Arc<dyn PhysicalExpr>);
    let required = Distribution::KeyPartitioned(columns.collect());
    let known = input.equivalence_properties();
    let partitioning = input.output_partitioning();
    match partitioning
        .satisfaction(&required, known, false)
        .is_satisfied()
    {
        true => Distribution::UnspecifiedDistribution,
        false => required,
    }
}

/// The columns that are shown, of those that there are.
pub(crate) fn shown(projection: Option<&Vec<usize>>, schema: &Schema) -> Vec<usize> {
    projection.map_or_else(|| (0..schema.fields().len()).collect(), Clone::clone)
}

/// The node of a [`Operator`].
#[derive(Debug)]
pub(crate) struct OperatorExec<O> {
    operator: Arc<O>,
    input: Option<Arc<dyn ExecutionPlan>>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl<O: Operator> OperatorExec<O> {
    pub(crate) fn try_new(operator: Arc<O>, input: Option<Arc<dyn ExecutionPlan>>) -> Result<Self> {
        let properties = PlanProperties::new(
            operator.output(input.as_ref())?,
            Partitioning::UnknownPartitioning(operator.num_partitions(input.as_ref())),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            operator,
            input,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }
}

impl<O: Operator> DisplayAs for OperatorExec<O> {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter) -> fmt::Result {
        let does = self.operator.describe();
        let colon = if does.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{does}", self.operator.name())
    }
}

impl<O: Operator> ExecutionPlan for OperatorExec<O> {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let of_input = |input: &Arc<dyn ExecutionPlan>| match (
            self.operator.kept_together(),
            self.operator.required_order(),
        ) {
            ([], []) => Distribution::UnspecifiedDistribution,
            ([], _) => Distribution::SinglePartition,
            (columns, _) => kept_together(input, columns),
        };
        self.input.iter().map(of_input).collect()
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let of_input = |input: &Arc<dyn ExecutionPlan>| {
            let order = ascending(&input.schema(), self.operator.required_order());
            LexOrdering::new(order).map(OrderingRequirements::from)
        };
        self.input.iter().map(of_input).collect()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        self.input
            .iter()
            .map(|_| self.operator.keeps_order())
            .collect()
    }

    // The rows of a partition of the input belong together.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        self.input.iter().map(|_| false).collect()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.input.iter().collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.len() != self.children().len() {
            return internal_err!("{} has another number of inputs", self.name());
        }
        let operator = Arc::clone(&self.operator);
        Ok(Arc::new(Self::try_new(operator, children.pop())?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let schema = self.schema();
        let input = match &self.input {
            Some(input) => input.execute(partition, Arc::clone(&context))?,
            None => Box::pin(EmptyRecordBatchStream::new(Arc::clone(&schema))),
        };
        let rows = self.operator.rows(Task {
            partition,
            input,
            schema: Arc::clone(&schema),
            context,
            metrics: BaselineMetrics::new(&self.metrics, partition),
            counters: Counters::new(self.metrics.clone(), partition),
        })?;
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

//! Table functions whose rows are worked out from all rows of a capture together.
//!
//! What SQL would need a join of a table with itself for (all pairs of neurons, all chains of
//! weights) is a walk over the rows of one capture after another, of which each is let go before the
//! next: a [`CaptureAnalysis`] says what is made of one.

mod exec;

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use trace::{CaptureId, EPOCH_COLUMN};

use crate::exec::budget::Budget;
use crate::exec::operator::OperatorExec;
use crate::scan::TraceTable;
use crate::tables::call::Call;
use crate::tables::findings::{Findings, Wanted};
use crate::tables::limits::Top;
use crate::tables::operator_table::OperatorTable;
use exec::Analyse;

/// How many rows of a capture a function has unless told otherwise.
const DEFAULT_TOP: usize = 20;

/// The first argument of a call, `top`: how many rows of a capture are wanted. All of them would be
/// more than any memory holds.
///
/// # Errors
/// If it is no number of the range that there is room for.
pub(crate) fn top_of(call: &Call) -> Result<usize> {
    match call.get("top")? {
        Some(top) => Ok(Top::count(top)),
        None if call.num_given() == 0 => Ok(DEFAULT_TOP),
        None => plan_err!("top has to be a number from 1 to 1000000"),
    }
}

/// What is worked out of each capture.
pub(crate) trait CaptureAnalysis: Debug + Send + Sync {
    /// The function's name.
    fn name(&self) -> &'static str;

    /// The columns of its rows; the first two are `epoch` and `step`.
    fn schema(&self) -> SchemaRef;

    /// The columns that the rows of a capture ascend by.
    fn order(&self) -> &'static [&'static str];

    /// Begins with a capture, of which these columns are wanted.
    fn begin(&self, capture: CaptureId, wanted: &Wanted) -> Box<dyn CaptureRows>;
}

/// The rows of one capture, as they come: in the order of the neurons.
pub(crate) trait CaptureRows: Send {
    /// Takes rows of the source; what is kept of them is reserved before.
    ///
    /// # Errors
    /// If the values are not what the analysis can be made of, or there is no room for them.
    fn push(&mut self, rows: &RecordBatch, budget: &Budget) -> Result<()>;

    /// What comes of the capture.
    ///
    /// # Errors
    /// If the values are not what the analysis can be made of, or there is no room for it.
    fn finish(self: Box<Self>, budget: &Budget) -> Result<Box<dyn Findings>>;
}

/// A table whose rows are an analysis of each capture.
#[derive(Debug)]
pub(crate) struct PerCapture {
    /// Where rows come from; it has neurons.
    pub(crate) source: TraceTable,
    /// The columns that the analysis is given, after `epoch`, `step` and `neuron`.
    pub(crate) columns: Vec<&'static str>,
    /// Which rows it is given.
    pub(crate) filters: Vec<Expr>,
    pub(crate) analysis: Arc<dyn CaptureAnalysis>,
}

/// What a capture is known by.
const CAPTURE: [&str; 2] = [EPOCH_COLUMN, "step"];

#[async_trait]
impl OperatorTable for PerCapture {
    fn schema(&self) -> SchemaRef {
        self.analysis.schema()
    }

    fn takes(&self, filter: &Expr) -> bool {
        let columns = filter.column_refs();
        columns.iter().all(|c| CAPTURE.contains(&c.name.as_str()))
    }

    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns: Vec<&str> = CAPTURE
            .into_iter()
            .chain(["neuron"])
            .chain(self.columns.iter().copied())
            .collect();
        let filters = [filters, &self.filters].concat();
        let input = self.source.filtered(state, &columns, &filters).await?;
        let operator = Analyse {
            analysis: Arc::clone(&self.analysis),
            wanted: Wanted::new(&self.analysis.schema(), projection)?,
        };
        Ok(Arc::new(OperatorExec::try_new(
            Arc::new(operator),
            Some(input),
        )?))
    }
}

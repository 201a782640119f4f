//! The plan that goes through a table capture by capture.

use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use datafusion::common::Result;
use datafusion::common::cast::{as_int32_array, as_int64_array};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, RecordOutput};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use trace::{CaptureId, Epoch, Step};

use super::{CaptureAnalysis, CaptureRows};
use crate::exec::budget::Budget;
use crate::exec::operator::{Operator, Task};
use crate::tables::findings::{Rows, Wanted};

/// Makes the rows of each capture from the input's, whose first three columns are `epoch`, `step` and
/// `neuron`.
#[derive(Debug)]
pub(super) struct Analyse {
    pub(super) analysis: Arc<dyn CaptureAnalysis>,
    pub(super) wanted: Wanted,
}

impl Operator for Analyse {
    fn name(&self) -> &'static str {
        "PerCaptureExec"
    }

    fn describe(&self) -> String {
        format!("{}, {}", self.analysis.name(), self.wanted.describe())
    }

    fn output(&self, _: Option<&Arc<dyn ExecutionPlan>>) -> Result<EquivalenceProperties> {
        Ok(self.wanted.in_order(self.analysis.order()))
    }

    fn num_partitions(&self, _: Option<&Arc<dyn ExecutionPlan>>) -> usize {
        1
    }

    fn required_order(&self) -> &'static [&'static str] {
        &["epoch", "step", "neuron"]
    }

    fn rows(&self, task: Task) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let name = self.analysis.name().to_owned();
        let captures = Captures {
            budget: Budget::new(name, 1, &task.context, task.counters),
            input: task.input,
            analysis: Arc::clone(&self.analysis),
            wanted: self.wanted.clone(),
            read: None,
            is_over: false,
            open: None,
            done: None,
            metrics: task.metrics,
        };
        Ok(stream::try_unfold(captures, Captures::next).boxed())
    }
}

/// Where in the input the plan is.
struct Captures {
    input: SendableRecordBatchStream,
    analysis: Arc<dyn CaptureAnalysis>,
    wanted: Wanted,
    budget: Budget,
    /// What was read, as far as it was not taken in: it may hold the end of a capture, or several.
    read: Option<RecordBatch>,
    /// Whether all was read.
    is_over: bool,
    /// The capture whose values are coming.
    open: Option<(CaptureId, Box<dyn CaptureRows>)>,
    /// The rows of the capture that has come to its end.
    done: Option<Rows>,
    metrics: BaselineMetrics,
}

impl Captures {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        loop {
            if let Some(batch) = self.take()? {
                return Ok(Some((batch, self)));
            }
            if self.is_over {
                return Ok(None);
            }
            match self.input.next().await {
                Some(batch) => self.read = Some(batch?),
                None => self.is_over = true,
            }
        }
    }

    /// Goes on with what was read, up to the next rows that come of it; none where more has to be read.
    fn take(&mut self) -> Result<Option<RecordBatch>> {
        let compute = self.metrics.elapsed_compute().clone();
        let _timer = compute.timer();
        loop {
            if let Some(rows) = &mut self.done {
                if let Some(batch) = rows.next_batch(&self.wanted, self.budget.batch_rows) {
                    return batch.record_output(&self.metrics).map(Some);
                }
                self.done = None;
                self.budget.memory.free();
            }
            match self.read.take() {
                Some(batch) if batch.num_rows() > 0 => self.push(&batch)?,
                _ if self.is_over && self.open.is_some() => self.close()?,
                _ => return Ok(None),
            }
        }
    }

    /// Takes in the rows of one capture, and leaves the others of a batch to be read next.
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let epochs = as_int32_array(batch.column(0))?;
        let steps = as_int64_array(batch.column(1))?;
        let capture = capture_at(epochs, steps, 0);
        if self.open.as_ref().is_some_and(|(open, _)| *open != capture) {
            self.read = Some(batch.clone());
            return self.close();
        }
        let others = |row: &usize| capture_at(epochs, steps, *row) != capture;
        let end = (0..batch.num_rows()).find(others);
        let end = end.unwrap_or(batch.num_rows());
        let (_, rows) = self
            .open
            .get_or_insert_with(|| (capture, self.analysis.begin(capture, &self.wanted)));
        rows.push(&batch.slice(0, end), &self.budget)?;
        self.read = Some(batch.slice(end, batch.num_rows() - end));
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((capture, rows)) = self.open.take() {
            self.done = Some(Rows::new(capture, rows.finish(&self.budget)?));
        }
        Ok(())
    }
}

fn capture_at(epochs: &Int32Array, steps: &Int64Array, row: usize) -> CaptureId {
    CaptureId {
        epoch: Epoch(epochs.value(row)),
        step: Step(steps.value(row)),
    }
}

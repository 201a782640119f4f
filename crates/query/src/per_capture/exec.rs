//! The plan that goes through a table capture by capture.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Int32Array, Int64Array, RecordBatch};
use datafusion::common::Result;
use datafusion::common::cast::{as_int32_array, as_int64_array};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, RecordOutput};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use trace::{CaptureId, Epoch, Step as StepNumber};

use super::{CaptureAnalysis, CaptureRows};
use crate::step::{Step, Work};

/// Makes the rows of each capture from the input's, whose first three columns are `epoch`, `step` and
/// `neuron`.
#[derive(Debug)]
pub(super) struct Analyse(pub(super) Arc<dyn CaptureAnalysis>);

impl Step for Analyse {
    fn name(&self) -> &'static str {
        "PerCaptureExec"
    }

    fn told(&self) -> String {
        self.0.name().to_owned()
    }

    fn output(&self, _: Option<&Arc<dyn ExecutionPlan>>) -> Result<EquivalenceProperties> {
        Ok(EquivalenceProperties::new(self.0.schema()))
    }

    fn num_partitions(&self, _: Option<&Arc<dyn ExecutionPlan>>) -> usize {
        1
    }

    fn required_order(&self) -> &'static [&'static str] {
        &["epoch", "step", "neuron"]
    }

    fn rows(&self, work: Work) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let memory = MemoryConsumer::new(self.0.name());
        let captures = Captures {
            memory: memory.register(work.context.memory_pool()),
            input: work.input,
            analysis: Arc::clone(&self.0),
            open: None,
            done: VecDeque::new(),
            metrics: work.metrics,
        };
        Ok(stream::try_unfold(captures, Captures::next).boxed())
    }
}

/// Where in the input the plan is.
struct Captures {
    input: SendableRecordBatchStream,
    analysis: Arc<dyn CaptureAnalysis>,
    memory: MemoryReservation,
    /// The capture whose rows are coming.
    open: Option<(CaptureId, Box<dyn CaptureRows>)>,
    /// The rows of captures that have come to their end.
    done: VecDeque<RecordBatch>,
    metrics: BaselineMetrics,
}

impl Captures {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        loop {
            if let Some(rows) = self.done.pop_front() {
                let rows = rows.record_output(&self.metrics);
                return Ok(Some((rows, self)));
            }
            match self.input.next().await {
                Some(batch) => self.push(&batch?)?,
                None if self.open.is_none() => return Ok(None),
                None => self.close()?,
            }
        }
    }

    /// Takes a batch, which may hold the end of a capture, or several.
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let compute = self.metrics.elapsed_compute().clone();
        let _timer = compute.timer();
        let epochs = as_int32_array(batch.column(0))?;
        let steps = as_int64_array(batch.column(1))?;
        let mut start = 0;
        while start < batch.num_rows() {
            let capture = capture_at(epochs, steps, start);
            let rest = start..batch.num_rows();
            let end = rest
                .clone()
                .find(|&row| capture_at(epochs, steps, row) != capture)
                .unwrap_or(rest.end);
            if self.open.as_ref().is_some_and(|(open, _)| *open != capture) {
                self.close()?;
            }
            let (_, rows) = self
                .open
                .get_or_insert_with(|| (capture, self.analysis.begin(capture)));
            rows.push(&batch.slice(start, end - start))?;
            self.memory.try_resize(rows.num_bytes())?;
            start = end;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some((_, rows)) = self.open.take() {
            let compute = self.metrics.elapsed_compute().clone();
            let _timer = compute.timer();
            self.done.push_back(rows.finish()?);
            self.memory.free();
        }
        Ok(())
    }
}

fn capture_at(epochs: &Int32Array, steps: &Int64Array, row: usize) -> CaptureId {
    CaptureId {
        epoch: Epoch(epochs.value(row)),
        step: StepNumber(steps.value(row)),
    }
}

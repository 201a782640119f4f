//! The plan that works captures out, each partition its own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, RecordOutput};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::{Capture, HeldOutAnalysis, Room};
use crate::snapshot::SharedSnapshot;
use crate::step::{Step, Work, ordered};

/// Works captures out as their rows are asked for.
#[derive(Debug)]
pub(super) struct WorkOut {
    snapshot: SharedSnapshot,
    analysis: Arc<dyn HeldOutAnalysis>,
    /// The captures of each partition, in order.
    partitions: Vec<Vec<Capture>>,
    /// How many threads a partition may use.
    num_threads: usize,
    projection: Vec<usize>,
}

impl WorkOut {
    /// Works out `captures`, which are in order, in at most `target_partitions` partitions.
    pub(super) fn new(
        snapshot: SharedSnapshot,
        analysis: Arc<dyn HeldOutAnalysis>,
        captures: Vec<Capture>,
        projection: Vec<usize>,
        target_partitions: usize,
    ) -> Self {
        let num_partitions = captures.len().clamp(1, target_partitions.max(1));
        let mut partitions = vec![Vec::new(); num_partitions];
        // Neighbours go to different partitions, so that who merges them takes from all in turn.
        for (number, capture) in captures.into_iter().enumerate() {
            partitions[number % num_partitions].push(capture);
        }
        Self {
            snapshot,
            analysis,
            partitions,
            num_threads: (target_partitions / num_partitions).max(1),
            projection,
        }
    }
}

impl Step for WorkOut {
    fn name(&self) -> &'static str {
        "HeldOutExec"
    }

    fn told(&self) -> String {
        let captures: usize = self.partitions.iter().map(Vec::len).sum();
        let (name, told) = (self.analysis.name(), self.analysis.told());
        format!("{name}, captures={captures}, {told}")
    }

    fn output(&self, _: Option<&Arc<dyn ExecutionPlan>>) -> Result<EquivalenceProperties> {
        let schema = Arc::new(self.analysis.schema().project(&self.projection)?);
        let order = [&["epoch", "step"], self.analysis.order()].concat();
        Ok(ordered(schema, &order))
    }

    fn num_partitions(&self, _: Option<&Arc<dyn ExecutionPlan>>) -> usize {
        self.partitions.len()
    }

    fn rows(&self, work: Work) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let name = format!("{}[{}]", self.analysis.name(), work.partition);
        let partition = Partition {
            snapshot: Arc::clone(&self.snapshot),
            analysis: Arc::clone(&self.analysis),
            projection: self.projection.clone(),
            room: Room {
                batch_rows: work.context.session_config().batch_size(),
                num_threads: self.num_threads,
                memory: MemoryConsumer::new(name).register(work.context.memory_pool()),
            },
            metrics: work.metrics,
        };
        let captures = self.partitions[work.partition].clone();
        let batches = stream::iter(captures).flat_map(move |capture| {
            let batches = match partition.batches(&capture) {
                Ok(batches) => batches.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(batches)
        });
        Ok(batches.boxed())
    }
}

/// What a partition needs to work its captures out.
struct Partition {
    snapshot: SharedSnapshot,
    analysis: Arc<dyn HeldOutAnalysis>,
    projection: Vec<usize>,
    room: Room,
    metrics: BaselineMetrics,
}

impl Partition {
    /// The rows of one capture.
    fn batches(&self, capture: &Capture) -> Result<Vec<RecordBatch>> {
        let _timer = self.metrics.elapsed_compute().timer();
        let rows = self.analysis.rows(&self.snapshot, capture, &self.room)?;
        // Whoever takes the rows accounts for them.
        self.room.memory.free();
        let rows = rows.project(&self.projection)?;
        let starts = (0..rows.num_rows()).step_by(self.room.batch_rows);
        let batches = starts.map(|start| {
            let len = self.room.batch_rows.min(rows.num_rows() - start);
            rows.slice(start, len).record_output(&self.metrics)
        });
        Ok(batches.collect())
    }
}

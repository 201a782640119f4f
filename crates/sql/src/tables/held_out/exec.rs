//! The plan that works captures out, each partition its own.

use std::sync::Arc;
use std::vec;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::{BaselineMetrics, RecordOutput};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::{Capture, HeldOutAnalysis};
use crate::exec::budget::Budget;
use crate::exec::operator::{Operator, Task};
use crate::run::snapshot::SharedSnapshot;
use crate::tables::findings::{Rows, Wanted};

/// Works captures out as their rows are asked for.
#[derive(Debug)]
pub(super) struct WorkOut {
    snapshot: SharedSnapshot,
    analysis: Arc<dyn HeldOutAnalysis>,
    /// The captures of each partition, in order.
    partitions: Vec<Vec<Capture>>,
    /// How many threads a partition may use.
    num_threads: usize,
    wanted: Wanted,
}

impl WorkOut {
    /// Works out `captures`, which are in order, in at most `target_partitions` partitions.
    pub(super) fn new(
        snapshot: SharedSnapshot,
        analysis: Arc<dyn HeldOutAnalysis>,
        captures: Vec<Capture>,
        wanted: Wanted,
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
            wanted,
        }
    }
}

impl Operator for WorkOut {
    fn name(&self) -> &'static str {
        "HeldOutExec"
    }

    fn describe(&self) -> String {
        let captures: usize = self.partitions.iter().map(Vec::len).sum();
        let (name, does) = (self.analysis.name(), self.analysis.describe(&self.wanted));
        let projection = self.wanted.describe();
        format!("{name}, captures={captures}, {does}, {projection}")
    }

    fn output(&self, _: Option<&Arc<dyn ExecutionPlan>>) -> Result<EquivalenceProperties> {
        Ok(self.wanted.in_order(self.analysis.order()))
    }

    fn num_partitions(&self, _: Option<&Arc<dyn ExecutionPlan>>) -> usize {
        self.partitions.len()
    }

    fn rows(&self, task: Task) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let name = format!("{}[{}]", self.analysis.name(), task.partition);
        let partition = Partition {
            snapshot: Arc::clone(&self.snapshot),
            analysis: Arc::clone(&self.analysis),
            wanted: self.wanted.clone(),
            budget: Budget::new(name, self.num_threads, &task.context, task.counters),
            metrics: task.metrics,
            captures: self.partitions[task.partition].clone().into_iter(),
            open: None,
        };
        Ok(stream::iter(partition).boxed())
    }
}

/// The captures of a partition that are still to be worked out.
struct Partition {
    snapshot: SharedSnapshot,
    analysis: Arc<dyn HeldOutAnalysis>,
    wanted: Wanted,
    budget: Budget,
    metrics: BaselineMetrics,
    captures: vec::IntoIter<Capture>,
    /// The capture whose rows are coming.
    open: Option<Rows>,
}

impl Iterator for Partition {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let compute = self.metrics.elapsed_compute().clone();
        let _timer = compute.timer();
        loop {
            if let Some(rows) = &mut self.open {
                if let Some(batch) = rows.next_batch(&self.wanted, self.budget.batch_rows) {
                    // Whoever takes the rows accounts for them.
                    return Some(batch.record_output(&self.metrics));
                }
                self.open = None;
                self.budget.memory.free();
            }
            let capture = self.captures.next()?;
            let (snapshot, wanted) = (&self.snapshot, &self.wanted);
            match self.analysis.find(snapshot, &capture, wanted, &self.budget) {
                Ok(found) => self.open = Some(Rows::new(capture.id(), found)),
                Err(error) => {
                    // Nothing comes after an error.
                    self.captures = Vec::new().into_iter();
                    self.budget.memory.free();
                    return Some(Err(error));
                }
            }
        }
    }
}

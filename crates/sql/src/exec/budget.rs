//! What an analysis may use, and where it says what it did.
//!
//! Memory is reserved from the session's pool before it is allocated: what the pool has no room for is
//! an error that says so, and never the end of the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use datafusion::common::{Result, resources_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};

/// What an analysis may use.
#[derive(Debug)]
pub(crate) struct Budget {
    /// How many rows are read, and made, at once.
    pub(crate) batch_rows: usize,
    pub(crate) num_threads: usize,
    /// Holds what a capture takes while it is worked on.
    pub(crate) memory: MemoryReservation,
    counters: Counters,
}

impl Budget {
    pub(crate) fn new(
        name: String,
        num_threads: usize,
        context: &TaskContext,
        counters: Counters,
    ) -> Self {
        Self {
            batch_rows: context.session_config().batch_size(),
            num_threads,
            memory: MemoryConsumer::new(name).register(context.memory_pool()),
            counters,
        }
    }

    /// A reservation that ends where it goes out of scope.
    pub(crate) fn scratch(&self) -> MemoryReservation {
        self.memory.new_empty()
    }

    /// On how many threads work goes on that takes so many bytes on each, which are reserved: as many
    /// as there is room for, up to `most`.
    ///
    /// # Errors
    /// If there is no room for one.
    pub(crate) fn threads(
        &self,
        memory: &MemoryReservation,
        most: usize,
        bytes_each: usize,
    ) -> Result<usize> {
        memory.try_grow(bytes_each)?;
        let more =
            (1..self.num_threads.min(most)).take_while(|_| memory.try_grow(bytes_each).is_ok());
        Ok(1 + more.count())
    }

    /// Counts work that was done, under a name that `EXPLAIN ANALYZE` shows.
    pub(crate) fn count(&self, work: &'static str, how_much: usize) {
        self.counter(work).add(how_much);
    }

    /// Counts work that is still to be done.
    pub(crate) fn counter(&self, work: &'static str) -> Count {
        self.counters.of(work)
    }
}

/// An empty vector with room for so many values, reserved before it is allocated.
///
/// # Errors
/// If there is not so much memory.
pub(crate) fn reserved<T>(memory: &MemoryReservation, len: usize) -> Result<Vec<T>> {
    let mut values = Vec::new();
    reserve(&mut values, len, memory)?;
    Ok(values)
}

/// So many values, all the same, reserved before they are allocated.
///
/// # Errors
/// If there is not so much memory.
pub(crate) fn filled<T: Clone>(memory: &MemoryReservation, value: T, len: usize) -> Result<Vec<T>> {
    let mut values = reserved(memory, len)?;
    values.resize(len, value);
    Ok(values)
}

/// Makes room in a vector for `more` values, reserved before it is allocated. It doubles, as vectors
/// do, so that values which come one after another are moved seldom.
///
/// # Errors
/// If there is not so much memory.
pub fn reserve<T>(values: &mut Vec<T>, more: usize, memory: &MemoryReservation) -> Result<()> {
    let (needed, before) = (values.len().saturating_add(more), values.capacity());
    if needed <= before {
        return Ok(());
    }
    let capacity = needed.max(before.saturating_mul(2));
    // Both are there while what there is moves from one to the other.
    memory.try_grow(capacity.saturating_mul(size_of::<T>()))?;
    let room = values.try_reserve_exact(capacity - values.len());
    room.map_err(|_| {
        let bytes = capacity.saturating_mul(size_of::<T>());
        resources_datafusion_err!("the system has no {bytes} bytes at once")
    })?;
    memory.shrink(before * size_of::<T>());
    Ok(())
}

/// Counts what is done in a partition of a plan.
#[derive(Debug)]
pub(crate) struct Counters {
    metrics: ExecutionPlanMetricsSet,
    partition: usize,
    known: Mutex<BTreeMap<&'static str, Count>>,
}

impl Counters {
    pub(crate) fn new(metrics: ExecutionPlanMetricsSet, partition: usize) -> Self {
        Self {
            metrics,
            partition,
            known: Mutex::default(),
        }
    }

    fn of(&self, work: &'static str) -> Count {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known
            .entry(work)
            .or_insert_with(|| MetricBuilder::new(&self.metrics).counter(work, self.partition));
        count.clone()
    }
}

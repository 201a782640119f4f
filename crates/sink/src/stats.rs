//! What recording costs, in figures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use trace::Table;

/// What a sink has done since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SinkStats {
    /// Part files encoded.
    pub num_parts: u64,
    /// Rows in them.
    pub num_rows: u64,
    /// Their size on disk.
    pub part_bytes: u64,
    /// Rows and bytes by table, in the order of [`Table::ALL`].
    pub by_table: [(u64, u64); Table::ALL.len()],
    /// Time that workers spent on making rows of what was sent, the sum over all workers.
    pub make_ms: f64,
    /// Time that they spent on encoding and writing them, likewise.
    pub encode_ms: f64,
    /// Captures whose commit record is durable.
    pub num_captures: u64,
    /// Commit records written.
    pub num_publishes: u64,
    /// Time from the start to the end of publishes.
    pub publish_ms: f64,
    /// Time for which senders waited because the channel was full.
    pub stall_ms: f64,
    /// The most that the channel ever held, in bytes of memory.
    pub queue_high_water_bytes: u64,
}

impl SinkStats {
    /// These and those of a sink that came after it; of marks that are no sums, the higher.
    pub fn and_then(self, later: Self) -> Self {
        Self {
            num_parts: self.num_parts + later.num_parts,
            num_rows: self.num_rows + later.num_rows,
            part_bytes: self.part_bytes + later.part_bytes,
            by_table: std::array::from_fn(|table| {
                let (rows, bytes) = self.by_table[table];
                let (later_rows, later_bytes) = later.by_table[table];
                (rows + later_rows, bytes + later_bytes)
            }),
            make_ms: self.make_ms + later.make_ms,
            encode_ms: self.encode_ms + later.encode_ms,
            num_captures: self.num_captures + later.num_captures,
            num_publishes: self.num_publishes + later.num_publishes,
            publish_ms: self.publish_ms + later.publish_ms,
            stall_ms: self.stall_ms + later.stall_ms,
            queue_high_water_bytes: self
                .queue_high_water_bytes
                .max(later.queue_high_water_bytes),
        }
    }

    /// The figures by name; as metrics their names begin with `sink.`. What rows took
    /// ([`SinkStats::make_ms`]) is for their maker to tell.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, f64)> + use<> {
        [
            ("num_parts", self.num_parts as f64),
            ("num_rows", self.num_rows as f64),
            ("part_bytes", self.part_bytes as f64),
            ("encode_ms", self.encode_ms),
            ("num_captures", self.num_captures as f64),
            ("num_publishes", self.num_publishes as f64),
            ("publish_ms", self.publish_ms),
            ("stall_ms", self.stall_ms),
            ("queue_high_water_bytes", self.queue_high_water_bytes as f64),
        ]
        .into_iter()
    }
}

/// The figures while they are being counted, by several threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    num_parts: AtomicU64,
    num_rows: AtomicU64,
    part_bytes: AtomicU64,
    by_table: [(AtomicU64, AtomicU64); Table::ALL.len()],
    make_ns: AtomicU64,
    encode_ns: AtomicU64,
    num_captures: AtomicU64,
    num_publishes: AtomicU64,
    publish_ns: AtomicU64,
    stall_ns: AtomicU64,
}

impl Counters {
    pub(crate) fn add_make(&self, time: Duration) {
        add(&self.make_ns, nanoseconds(time));
    }

    pub(crate) fn add_part(&self, table: Table, rows: u64, bytes: u64, time: Duration) {
        add(&self.num_parts, 1);
        add(&self.num_rows, rows);
        add(&self.part_bytes, bytes);
        let (table_rows, table_bytes) = &self.by_table[table as usize];
        add(table_rows, rows);
        add(table_bytes, bytes);
        add(&self.encode_ns, nanoseconds(time));
    }

    pub(crate) fn add_publish(&self, num_captures: u64, time: Duration) {
        add(&self.num_publishes, 1);
        add(&self.num_captures, num_captures);
        add(&self.publish_ns, nanoseconds(time));
    }

    pub(crate) fn add_stall(&self, time: Duration) {
        add(&self.stall_ns, nanoseconds(time));
    }

    pub(crate) fn snapshot(&self, queue_high_water_bytes: u64) -> SinkStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let ms = |counter: &AtomicU64| get(counter) as f64 / 1e6;
        SinkStats {
            num_parts: get(&self.num_parts),
            num_rows: get(&self.num_rows),
            part_bytes: get(&self.part_bytes),
            by_table: std::array::from_fn(|table| {
                let (rows, bytes) = &self.by_table[table];
                (get(rows), get(bytes))
            }),
            make_ms: ms(&self.make_ns),
            encode_ms: ms(&self.encode_ns),
            num_captures: get(&self.num_captures),
            num_publishes: get(&self.num_publishes),
            publish_ms: ms(&self.publish_ns),
            stall_ms: ms(&self.stall_ns),
            queue_high_water_bytes,
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

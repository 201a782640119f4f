//! What the recorder reports of its own cost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sink::SinkStats;

use super::Progress;
use crate::rows::Metric;

/// Captures that were due and that no commit has, because recording had failed.
pub(super) const LOST_CAPTURES: &str = "lost_captures";

/// What the recorder has reported of its own cost, so that a row of `metrics` is what was spent
/// since the row before.
#[derive(Debug, Default)]
pub(super) struct Reported {
    sink: SinkStats,
    hand_off_ns: u64,
    stall_ns: u64,
    thinned: u64,
    dropped: u64,
    over_disk: u64,
    missed: u64,
    read_back: Duration,
    rows: Duration,
    /// Time spent on copying values to the host so far.
    pub(super) total_read_back: Duration,
    /// Time that the capture thread spent on what it makes of values itself so far; most rows and statistics
    /// are made by the sink's workers.
    pub(super) total_rows: Duration,
}

impl Reported {
    /// What was spent since the last call.
    pub(super) fn own_cost(&mut self, sink: SinkStats, progress: &Progress) -> Vec<Metric> {
        let reported = self;
        let count = |counter: &AtomicU64, before: &mut u64| {
            let now = counter.load(Ordering::Relaxed);
            (now - std::mem::replace(before, now)) as f64
        };
        let since = |counter: &AtomicU64, before: &mut u64| count(counter, before) / 1e6;
        let spent = |total: Duration, before: &mut Duration| {
            (total - std::mem::replace(before, total)).as_secs_f64() * 1e3
        };
        let made_ms = sink.make_ms - reported.sink.make_ms;
        let recorder = [
            (
                "hand_off_ms",
                since(&progress.hand_off_ns, &mut reported.hand_off_ns),
            ),
            (
                "stall_ms",
                since(&progress.stall_ns, &mut reported.stall_ns),
            ),
            (
                "read_back_ms",
                spent(reported.total_read_back, &mut reported.read_back),
            ),
            (
                "rows_ms",
                spent(reported.total_rows, &mut reported.rows) + made_ms,
            ),
            (
                "thinned_captures",
                count(&progress.thinned_captures, &mut reported.thinned),
            ),
            (
                "dropped_captures",
                count(&progress.dropped_captures, &mut reported.dropped),
            ),
            (
                "over_disk_captures",
                count(&progress.over_disk_captures, &mut reported.over_disk),
            ),
            // What is lost by a failure is said where recording is taken up or finished.
            (
                LOST_CAPTURES,
                count(&progress.missed_captures, &mut reported.missed),
            ),
        ];
        let before = std::mem::replace(&mut reported.sink, sink);
        let sink = sink
            .rows()
            .zip(before.rows())
            .map(|((name, now), (_, before))| {
                // A high-water mark is no sum.
                let is_mark = name.ends_with("_high_water_bytes");
                (
                    format!("sink.{name}"),
                    if is_mark { now } else { now - before },
                )
            });
        recorder
            .into_iter()
            .map(|(name, value)| (format!("recorder.{name}"), value))
            .chain(sink)
            .map(|(name, value)| Metric {
                phase: None,
                name,
                value,
            })
            .collect()
    }
}

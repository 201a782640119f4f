//! The capture thread: device to host, rows, statistics, into the sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use burn::tensor::backend::Backend;
use crossbeam_channel::{Receiver, Sender};
use sink::{OpenCapture, Part, Sink, SinkError, SinkStats};
use trace::{CaptureId, Generation, Layer, PartPath, Rank, Table, Topology};

use super::{ActivationDetail, Capture, Progress, RecordError, Recorded};
use crate::model::to_rows;
use crate::read_back::ReadBack;
use crate::rows::{self, Metric, RowKey};

pub(super) struct CaptureThread<B: Backend> {
    pub(super) topology: Topology,
    pub(super) recorded: Recorded,
    pub(super) rank: Rank,
    pub(super) max_read_bytes: u64,
    pub(super) sink: Sink,
    pub(super) captures: Receiver<Capture<B>>,
    pub(super) give_back: Sender<()>,
    pub(super) progress: Arc<Progress>,
    pub(super) reported: Reported,
}

/// What the recorder has reported of its own cost, so that a row of `metrics` is what was spent
/// since the row before.
#[derive(Debug, Default)]
pub(super) struct Reported {
    sink: SinkStats,
    hand_off_ns: u64,
    stall_ns: u64,
    read_back: Duration,
    rows: Duration,
    total_read_back: Duration,
    total_rows: Duration,
}

/// A capture's values on the host, row-major: weights in Burn's layout, activations by batch.
struct HostValues {
    weights: Vec<(Vec<f32>, Vec<f32>)>,
    activations: Vec<Vec<f32>>,
}

impl<B: Backend> CaptureThread<B> {
    pub(super) fn run(mut self) -> Result<SinkStats, RecordError> {
        let mut last = None;
        while let Ok(capture) = self.captures.recv() {
            last = Some(capture.id);
            self.record(capture)?;
            let written = self.sink.stats().part_bytes;
            self.progress.part_bytes.store(written, Ordering::Relaxed);
        }
        if let Some(id) = last.filter(|_| self.recorded.metrics) {
            self.record_last_metrics(id)?;
        }
        Ok(self.sink.finish()?.stats)
    }

    fn record(&mut self, capture: Capture<B>) -> Result<(), RecordError> {
        let start = Instant::now();
        let Capture {
            id,
            stream,
            layers,
            activations,
            classifications,
            mut metrics,
        } = capture;
        let mut read_back = ReadBack::new(stream, self.max_read_bytes);
        for layer in layers {
            read_back.push(layer.weight)?;
            read_back.push(layer.bias)?;
        }
        let batches_by_layer: Vec<usize> = activations.iter().map(Vec::len).collect();
        for batch in activations.into_iter().flatten() {
            read_back.push(batch)?;
        }
        // The handles are gone before the next snapshot is let in: no tensor has two owners any
        // more, and the optimizer updates in place again.
        let values = host_values(read_back.finish()?, &batches_by_layer);
        self.reported.total_read_back += start.elapsed();
        // The training thread may have left already.
        let _ = self.give_back.send(());

        let start = Instant::now();
        if self.recorded.metrics {
            metrics.extend(self.own_cost());
        }
        let stall_before = self.sink.stats().stall_ms;
        let mut open = self.sink.begin(Some(id));
        self.send_layers(&mut open, id, values)?;
        let key = self.key(id);
        if let Some(classifications) = &classifications {
            let rows = rows::classifications(key, classifications);
            open.send(self.part(Table::Classifications, id, None, rows))?;
        }
        if self.recorded.metrics {
            let rows = rows::metrics(key, &metrics);
            open.send(self.part(Table::Metrics, id, None, rows))?;
        }
        open.end()?;
        // What the channel made this thread wait is the sink's to report.
        let stall =
            Duration::from_secs_f64((self.sink.stats().stall_ms - stall_before).max(0.0) / 1e3);
        self.reported.total_rows += start.elapsed().saturating_sub(stall);
        Ok(())
    }

    fn send_layers(
        &self,
        open: &mut OpenCapture<'_>,
        id: CaptureId,
        values: HostValues,
    ) -> Result<(), SinkError> {
        let key = self.key(id);
        for (layer, (weight, bias)) in self.topology.layers().iter().zip(values.weights) {
            let weights = to_rows(&weight, layer.fan_in as usize, layer.num_units as usize);
            drop(weight);
            let rows = rows::weights(key, layer, weights, Some(bias));
            open.send(self.part(Table::Weights, id, Some(layer), rows))?;
        }
        let kept_samples = match self.recorded.activations {
            Some(ActivationDetail::Raw { samples }) => Some(samples),
            Some(ActivationDetail::Statistics) | None => None,
        };
        for (layer, values) in self.topology.layers().iter().zip(values.activations) {
            let rows = rows::activations(key, layer, &values, kept_samples);
            open.send(self.part(Table::Activations, id, Some(layer), rows))?;
        }
        Ok(())
    }

    /// What the last publish cost is known only after it: a second file of metrics says it.
    fn record_last_metrics(&mut self, id: CaptureId) -> Result<(), RecordError> {
        self.sink.flush()?;
        let metrics = self.own_cost();
        let mut open = self.sink.begin(None);
        let mut part = self.part(
            Table::Metrics,
            id,
            None,
            rows::metrics(self.key(id), &metrics),
        );
        part.path.sequence = 1;
        open.send(part)?;
        open.end()?;
        Ok(())
    }

    fn own_cost(&mut self) -> Vec<Metric> {
        let sink = self.sink.stats();
        let reported = &mut self.reported;
        let since = |counter: &AtomicU64, before: &mut u64| {
            let now = counter.load(Ordering::Relaxed);
            (now - std::mem::replace(before, now)) as f64 / 1e6
        };
        let spent = |total: Duration, before: &mut Duration| {
            (total - std::mem::replace(before, total)).as_secs_f64() * 1e3
        };
        let progress = &self.progress;
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
            ("rows_ms", spent(reported.total_rows, &mut reported.rows)),
            // With a full queue the recorder waits, so that nothing is ever left out.
            ("thinned_captures", 0.0),
            ("dropped_captures", 0.0),
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

    fn key(&self, id: CaptureId) -> RowKey {
        RowKey {
            id,
            rank: self.rank,
        }
    }

    fn part(
        &self,
        table: Table,
        id: CaptureId,
        layer: Option<&Layer>,
        rows: arrow::array::RecordBatch,
    ) -> Part {
        let path = PartPath {
            table,
            epoch: id.epoch,
            layer: layer.map(|layer| layer.layer.clone()),
            step: id.step,
            rank: self.rank,
            generation: Generation::default(),
            sequence: 0,
        };
        Part { path, rows }
    }
}

/// Sorts what was read back: two tensors a layer of weights, then the batches of each layer's
/// activations, which are put one below the other.
fn host_values(values: Vec<Vec<f32>>, batches_by_layer: &[usize]) -> HostValues {
    let num_batches: usize = batches_by_layer.iter().sum();
    let num_weights = values.len() - num_batches;
    let mut values = values.into_iter();
    let mut weights = Vec::with_capacity(num_weights / 2);
    for _ in 0..num_weights / 2 {
        let next = "two tensors a layer were pushed";
        weights.push((values.next().expect(next), values.next().expect(next)));
    }
    let activations = batches_by_layer
        .iter()
        .map(|&num_batches| {
            let mut batches = values.by_ref().take(num_batches);
            let first = batches.next().unwrap_or_default();
            batches.fold(first, |mut all, batch| {
                all.extend(batch);
                all
            })
        })
        .collect();
    HostValues {
        weights,
        activations,
    }
}

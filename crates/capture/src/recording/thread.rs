//! The capture thread: device to host, rows, statistics, into the sink.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use crossbeam_channel::{Receiver, Sender};
use sink::{OpenCapture, Part, Sink, SinkError, SinkStats};
use trace::{CaptureId, Generation, Layer, PartPath, Rank, Table};

use super::cost::Reported;
use super::disk::{self, DiskBudget};
use super::diverged::Diverged;
use super::in_flight::InFlight;
use super::layers::NetworkLayers;
use super::same_weights::ParametersCrc;
use super::source::{Source, TensorKind, Values};
use super::{
    ActivationDetail, Capture, Checkpoint, Progress, RecordError, Recorded, State, Task,
    WeightDetail,
};
use crate::histogram::{Histogram, OF_ACTIVATIONS, OF_WEIGHTS};
use crate::precision::Precision;
use crate::rows::{self, Metric, RowKey, SampleSet};

pub(super) struct CaptureThread {
    pub(super) layers: Arc<NetworkLayers>,
    pub(super) recorded: Recorded,
    /// Whether a checksum says which weights this rank holds.
    pub(super) compares_ranks: bool,
    pub(super) rank: Rank,
    pub(super) generation: Generation,
    /// The part files of the newest checkpoint.
    pub(super) checkpoint: Vec<String>,
    pub(super) in_flight: InFlight,
    /// None where the run may take what it takes.
    pub(super) disk: Option<DiskBudget>,
    pub(super) sink: Sink,
    pub(super) captures: Receiver<Task>,
    pub(super) give_back: Sender<()>,
    pub(super) progress: Arc<Progress>,
    pub(super) reported: Reported,
    pub(super) metrics_files: MetricsFiles,
    pub(super) diverged: Diverged,
}

/// How the capture thread ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// What the sink did.
    pub(super) stats: SinkStats,
    /// The first failure.
    pub(super) result: Result<(), RecordError>,
}

/// Which files of metrics of their moments say what was known late: no moment has as many others.
const LATE_SEQUENCE: u32 = 100;

/// Numbers the files of metrics, of which one moment may have several.
#[derive(Debug, Default)]
pub(super) struct MetricsFiles {
    last: Option<(CaptureId, u32)>,
    /// How many were of a moment before the last. How many files that one has had is not remembered,
    /// so they are numbered through.
    num_late: u32,
}

impl MetricsFiles {
    /// The next file of metrics of `id`.
    fn part(&mut self, key: RowKey, metrics: &[Metric]) -> Part {
        let sequence = match self.last {
            Some((last, _)) if key.id < last => {
                self.num_late += 1;
                LATE_SEQUENCE + self.num_late
            }
            Some((last, sequence)) if last == key.id => {
                self.last = Some((last, sequence + 1));
                sequence + 1
            }
            _ => {
                self.last = Some((key.id, 0));
                0
            }
        };
        metrics_part(key, metrics, sequence)
    }
}

impl CaptureThread {
    /// Records until nothing more comes or something fails, and publishes; `first` is called
    /// before anything else.
    pub(super) fn run(mut self, first: impl FnOnce()) -> Ended {
        let recorded = catch_unwind(AssertUnwindSafe(|| {
            first();
            self.record_all()
        }));
        let (stats, published) = self.sink.close();
        let recorded = recorded.unwrap_or(Err(RecordError::Panicked));
        Ended {
            stats,
            result: recorded.and(published.map_err(RecordError::from)),
        }
    }

    fn record_all(&mut self) -> Result<(), RecordError> {
        let mut last = None;
        while let Ok(task) = self.captures.recv() {
            match task {
                Task::Capture(capture) => {
                    let num_bins = self.recorded.histograms.map_or(0, |bins| bins.get().into());
                    let most = disk::most_bytes(&capture, self.layers.topology(), num_bins);
                    if !self.fits(most)? {
                        let over_disk = u64::from(capture.network.is_some());
                        let counter = &self.progress.over_disk_captures;
                        counter.fetch_add(over_disk, Ordering::Relaxed);
                        drop(capture);
                        let _ = self.give_back.send(());
                        continue;
                    }
                    // What was known late is of an earlier moment.
                    last = last.max(Some(capture.id));
                    self.record(*capture)?;
                }
                Task::Checkpoint(checkpoint) => {
                    let most = disk::most_bytes_of_checkpoint(self.layers.topology());
                    // The last one only removes what was there.
                    if checkpoint.state.is_some() && !self.fits(most)? {
                        drop(checkpoint);
                        let _ = self.give_back.send(());
                        continue;
                    }
                    self.record_checkpoint(checkpoint)?;
                }
            }
            let written = self.sink.stats().part_bytes;
            self.progress.part_bytes.store(written, Ordering::Relaxed);
        }
        if let Some(id) = last.filter(|_| self.recorded.metrics) {
            self.record_last_metrics(id)?;
        }
        Ok(())
    }

    /// Whether so many bytes more may be written. If not, nothing is any more.
    fn fits(&mut self, most_bytes: u64) -> Result<bool, RecordError> {
        let Some(disk) = &mut self.disk else {
            return Ok(true);
        };
        let is_full = &self.progress.is_disk_full;
        if !is_full.load(Ordering::Relaxed) {
            let sink = &self.sink;
            let fits = disk.takes(most_bytes, || Ok(sink.flush()?))?;
            is_full.store(!fits, Ordering::Relaxed);
        }
        Ok(!is_full.load(Ordering::Relaxed))
    }

    /// Reads as much in one trip as the channel has room for, and sends it before the next trip: a
    /// capture that is large is never on the host as a whole (ARCHITECTURE.md, invariant 9), one
    /// that is small takes one trip.
    fn record(&mut self, capture: Capture) -> Result<(), RecordError> {
        let start = Instant::now();
        let Capture {
            id,
            mut network,
            classifications,
            waiting_metrics,
            mut metrics,
        } = capture;
        for (id, metrics) in waiting_metrics {
            tell_diverged(&mut self.diverged, &self.layers, id, &metrics);
            self.record_metrics(id, &metrics)?;
        }
        let is_whole = network.is_some();
        let key = self.key(id);
        let recorded = self.recorded;
        let stall_before = self.sink.stats().stall_ms;
        let mut parts = Parts {
            open: self.sink.begin(is_whole.then_some(id)),
            generation: self.generation,
            in_flight: &mut self.in_flight,
        };
        let mut histograms = Histograms::new();
        let mut parameters =
            (self.compares_ranks && is_whole).then(|| ParametersCrc::new(self.layers.topology()));
        let mut read_back = Duration::ZERO;
        loop {
            let trip = Instant::now();
            let read = match &mut network {
                Some(source) => read(&mut **source, &mut parts, &self.progress)?,
                None => Vec::new(),
            };
            let trip = trip.elapsed();
            self.progress.add_work(trip);
            read_back += trip;
            let is_last = network.as_ref().is_none_or(|source| source.is_empty());
            if is_last {
                // The handles are gone before the next snapshot is let in: no tensor has two
                // owners any more, and the optimizer updates in place again. The training thread
                // may have left already.
                network = None;
                let _ = self.give_back.send(());
                self.reported.total_read_back += read_back;
                if self.recorded.metrics {
                    let sink = self.sink.stats();
                    metrics.extend(self.reported.own_cost(sink, &self.progress));
                }
            }
            for values in read {
                let start = Instant::now();
                if let Some(parameters) = &mut parameters {
                    parameters.add(&values);
                }
                self.diverged.look_at(&values);
                if let Some(num_bins) = recorded.histograms {
                    count(&values, num_bins, &mut histograms);
                }
                let part = values_part(key, &self.layers, values, &recorded);
                self.progress.add_work(start.elapsed());
                if let Some(part) = part {
                    parts.send(part)?;
                }
            }
            if is_last {
                break;
            }
        }
        for (index, of_layer) in histograms {
            let layer = &self.layers.topology().layers()[index];
            let rows = rows::histograms(key, &of_layer);
            parts.send(part(key, Table::Histograms, Some(layer), rows))?;
        }
        if let Some(classifications) = &classifications {
            let rows = rows::classifications(key, classifications);
            parts.send(part(key, Table::Classifications, None, rows))?;
        }
        metrics.extend(parameters.and_then(ParametersCrc::metric));
        if self.recorded.metrics {
            parts.send(self.metrics_files.part(key, &metrics))?;
        }
        tell_diverged(&mut self.diverged, &self.layers, id, &metrics);
        parts.open.end()?;
        // What the channel made this thread wait is the sink's to report.
        let stall =
            Duration::from_secs_f64((self.sink.stats().stall_ms - stall_before).max(0.0) / 1e3);
        self.reported.total_rows += start.elapsed().saturating_sub(read_back + stall);
        Ok(())
    }

    /// Writes what training can go on from, and retires what it could go on from before. It is
    /// read as a capture is, and lets the next snapshot in likewise.
    fn record_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), RecordError> {
        let Checkpoint { id, state } = checkpoint;
        let key = self.key(id);
        let mut parts = Parts {
            open: self.sink.begin(None),
            generation: self.generation,
            in_flight: &mut self.in_flight,
        };
        let (tensors, updates) = match state {
            Some(State {
                tensors,
                num_updates,
            }) => (Some(tensors), num_updates),
            None => (None, 0),
        };
        let mut paths = Vec::new();
        for (tensor, mut source) in tensors.into_iter().flatten() {
            while !source.is_empty() {
                let trip = Instant::now();
                let read = read(&mut *source, &mut parts, &self.progress)?;
                let trip = trip.elapsed();
                self.progress.add_work(trip);
                self.reported.total_read_back += trip;
                for values in read {
                    let start = Instant::now();
                    let Values::Parameters {
                        layer: index,
                        weight,
                        bias,
                        ..
                    } = values
                    else {
                        unreachable!("only parameters were put in");
                    };
                    let layer = &self.layers.topology().layers()[index];
                    let weights = self.layers.rows(index).to_rows(weight);
                    let rows = rows::resume(key, layer, tensor, updates, weights, bias);
                    self.progress.add_work(start.elapsed());
                    let mut part = part(key, Table::Resume, Some(layer), rows);
                    part.path.sequence = tensor.sequence();
                    part.path.generation = self.generation;
                    paths.push(part.path.to_string());
                    parts.send(part)?;
                }
            }
        }
        // The training thread may have left already.
        let _ = self.give_back.send(());
        for path in std::mem::replace(&mut self.checkpoint, paths) {
            parts.open.retire(path);
        }
        parts.open.end()?;
        Ok(())
    }

    /// What the last publish cost is known only after it: a second file of metrics says it.
    fn record_last_metrics(&mut self, id: CaptureId) -> Result<(), RecordError> {
        self.sink.flush()?;
        let metrics = self.reported.own_cost(self.sink.stats(), &self.progress);
        self.record_metrics(id, &metrics)
    }

    /// Metrics of a moment at which the network is not captured.
    fn record_metrics(&mut self, id: CaptureId, metrics: &[Metric]) -> Result<(), RecordError> {
        let mut part = self.metrics_files.part(self.key(id), metrics);
        part.path.generation = self.generation;
        let mut open = self.sink.begin(None);
        open.send(part)?;
        open.end()?;
        Ok(())
    }

    fn key(&self, id: CaptureId) -> RowKey {
        RowKey {
            id,
            rank: self.rank,
        }
    }
}

/// Reads as much as the channel has room for. A failure is told before it is on the way.
fn read(
    source: &mut dyn Source,
    parts: &mut Parts<'_>,
    progress: &Progress,
) -> Result<Vec<Values>, RecordError> {
    let read = source.read(parts.in_flight.free_bytes());
    read.inspect_err(|_| progress.tell_device_failed())
        .map_err(RecordError::Device)
}

/// Says it where something of a capture is not finite, the first time.
fn tell_diverged(
    diverged: &mut Diverged,
    layers: &NetworkLayers,
    id: CaptureId,
    metrics: &[Metric],
) {
    if let Some(told) = diverged.found(id, metrics, layers.topology()) {
        tracing::warn!("{told}");
    }
}

/// The way of a capture's parts into the sink.
struct Parts<'a> {
    open: OpenCapture<'a>,
    generation: Generation,
    in_flight: &'a mut InFlight,
}

impl Parts<'_> {
    fn send(&mut self, mut part: Part) -> Result<(), SinkError> {
        part.path.generation = self.generation;
        self.in_flight.add(&part);
        self.open.send(part)
    }
}

/// Histograms of a capture, by layer: they have one part a layer, and come last.
type Histograms = BTreeMap<usize, Vec<(&'static str, Histogram)>>;

fn count(values: &Values, num_bins: NonZeroU32, histograms: &mut Histograms) {
    let (layer, of, values) = match values {
        Values::Parameters {
            kind: TensorKind::Weights,
            layer,
            weight,
            ..
        } => (*layer, OF_WEIGHTS, weight),
        Values::Activations {
            layer,
            samples: SampleSet::HELD_OUT,
            values,
            ..
        } => (*layer, OF_ACTIVATIONS, values),
        Values::Parameters { .. } | Values::Activations { .. } | Values::Classifications(_) => {
            return;
        }
    };
    if let Some(histogram) = Histogram::of(values, num_bins) {
        let of_layer = histograms.entry(layer).or_default();
        of_layer.push((of, histogram));
    }
}

/// The part of what was read, which is gone before anybody waits for room in the channel; none of what
/// is compared alone.
fn values_part(
    key: RowKey,
    layers: &NetworkLayers,
    values: Values,
    recorded: &Recorded,
) -> Option<Part> {
    let topology = layers.topology().layers();
    Some(match values {
        Values::Parameters {
            kind,
            layer: index,
            weight,
            bias,
        } => {
            let layer = &topology[index];
            let (table, name, sequence) = match kind {
                TensorKind::Weights => (Table::Weights, None, 0),
                TensorKind::Checked => return None,
                TensorKind::Gradients => (Table::Gradients, None, 0),
                TensorKind::GradientsApplied => (Table::GradientsApplied, None, 0),
                TensorKind::Moment1 => (Table::Moments, Some("moment_1"), 0),
                TensorKind::Moment2 => (Table::Moments, Some("moment_2"), 1),
            };
            let weight = layers.rows(index).to_rows(weight);
            let lists = match (kind, recorded.weights) {
                (TensorKind::Weights, Some(WeightDetail::Raw)) => Some(recorded.precision),
                (TensorKind::Weights, Some(WeightDetail::Statistics) | None) => None,
                // Half precision would make zeros of the small ones.
                _ => Some(Precision::F32),
            };
            let rows = rows::parameters(key, (table, name), layer, weight, bias, lists);
            let mut part = part(key, table, Some(layer), rows);
            part.path.sequence = sequence;
            part
        }
        Values::Activations {
            layer: index,
            samples,
            sequence,
            values,
        } => {
            let layer = layers.activated(index);
            let layer = layer.expect("its activations were taken, so that they can be numbered");
            let layer = &*layer;
            let kept_samples = match recorded.activations {
                Some(ActivationDetail::Raw { samples }) => Some(samples),
                Some(ActivationDetail::Statistics) | None => None,
            };
            let precision = recorded.precision;
            let rows = rows::activations(key, layer, samples, &values, kept_samples, precision);
            let mut part = part(key, Table::Activations, Some(layer), rows);
            part.path.sequence = sequence;
            part
        }
        Values::Classifications(classifications) => {
            let rows = rows::classifications(key, &classifications);
            part(key, Table::Classifications, None, rows)
        }
    })
}

/// A file of metrics, the one with the number `sequence` of its moment.
pub(super) fn metrics_part(key: RowKey, metrics: &[Metric], sequence: u32) -> Part {
    let mut part = part(key, Table::Metrics, None, rows::metrics(key, metrics));
    part.path.sequence = sequence;
    part
}

fn part(key: RowKey, table: Table, layer: Option<&Layer>, rows: RecordBatch) -> Part {
    let path = PartPath {
        table,
        epoch: key.id.epoch,
        layer: layer.map(|layer| layer.layer.clone()),
        step: key.id.step,
        rank: key.rank,
        generation: Generation::default(),
        sequence: 0,
        nonce: None,
    };
    Part { path, rows }
}

//! The capture thread: device to host, and into the sink, whose workers make the rows.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sink::{Closing, OpenCapture, Part, Sink, SinkStats};
use trace::{CaptureId, Catalog, Generation, PartPath, Rank, RunDir, Table};

use super::cost::{self, Reported};
use super::disk::{self, DiskBudget};
use super::diverged::Diverged;
use super::hand_off::Tasks;
use super::histograms::Histograms;
use super::layers::NetworkLayers;
use super::place::Place;
use super::raw_part::{LayerTensor, RawPart, Split};
use super::same_weights::ParametersCrc;
use super::source::{Source, Values};
use super::{Capture, Progress, RecordError, Recorded, State, StateToSave, Task};
use crate::rows::{self, Metric, RowKey};

/// The ends of a capture thread: what it is handed, and where that goes.
pub(super) struct Line {
    pub(super) sink: Sink,
    pub(super) tasks: Tasks<Task>,
    /// Captures that were lost before the sink was started, to be said before anything else.
    pub(super) lost: Option<Lost>,
}

/// What is said of captures that were lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lost {
    /// The moment of which it is said.
    pub(super) id: CaptureId,
    /// Which file of metrics of that moment says it.
    pub(super) sequence: u32,
    pub(super) num_captures: u64,
}

impl Lost {
    /// The file that says it.
    pub(super) fn part(self, thread: &CaptureThread) -> Part {
        let lost = Metric {
            phase: None,
            name: format!("recorder.{}", cost::LOST_CAPTURES),
            value: self.num_captures as f64,
        };
        metrics_part(thread.place(self.id), &[lost], self.sequence)
    }
}

/// What a capture thread knows, and hands on to another that records on with another sink.
#[derive(Debug)]
pub(super) struct CaptureThread {
    pub(super) run: RunDir,
    pub(super) layers: Arc<NetworkLayers>,
    pub(super) recorded: Recorded,
    /// Whether a checksum says which weights this rank holds.
    pub(super) compares_ranks: bool,
    pub(super) rank: Rank,
    pub(super) generation: Generation,
    /// The part files of the newest saved state.
    pub(super) state_files: Vec<String>,
    /// Whether these are what is committed; if not, the run's commits are asked before another is written.
    pub(super) is_state_known: bool,
    /// Whether it has sent one: which is committed is then for the commits to say.
    pub(super) saves_state: bool,
    /// None where the run may take what it takes.
    pub(super) disk: Option<DiskBudget>,
    /// What earlier sinks did.
    pub(super) past: SinkStats,
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
    /// What the next thread needs, if there is to be one; its past has this sink in it.
    pub(super) thread: Box<CaptureThread>,
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
    fn part(&mut self, place: Place, metrics: &[Metric]) -> Part {
        let id = place.key.id;
        let sequence = match self.last {
            Some((last, _)) if id < last => {
                self.num_late += 1;
                LATE_SEQUENCE + self.num_late
            }
            Some((last, sequence)) if last == id => {
                self.last = Some((last, sequence + 1));
                sequence + 1
            }
            _ => {
                self.last = Some((id, 0));
                0
            }
        };
        metrics_part(place, metrics, sequence)
    }
}

impl CaptureThread {
    /// Records until nothing more comes or something fails, and publishes; `first` is called
    /// before anything else.
    pub(super) fn run(mut self: Box<Self>, line: Line, first: impl FnOnce()) -> Ended {
        let recorded = catch_unwind(AssertUnwindSafe(|| {
            first();
            self.record_all(&line)
        }));
        let recorded = recorded.unwrap_or(Err(RecordError::Panicked));
        // A recorder that is dropped, as by a training thread that panics, has not said that it was finished.
        let is_whole = recorded.is_ok() && self.progress.is_finished() && !self.progress.has_lost();
        let closing = match is_whole {
            true => Closing::Finished,
            false => Closing::BrokenOff,
        };
        let (stats, published) = line.sink.close(closing);
        self.past = self.past.and_then(stats);
        let result = match (recorded, published) {
            // The same, or something worse that came of it.
            (Err(RecordError::Sink(_)), Err(outcome)) => Err(outcome.into()),
            // Nothing may be recorded after it, whatever a panic leaves to be said.
            (Err(RecordError::Panicked), Err(outcome)) if outcome.is_disk_in_doubt() => {
                Err(outcome.into())
            }
            (recorded, published) => recorded.and(published.map_err(RecordError::from)),
        };
        Ended {
            stats,
            result,
            thread: self,
        }
    }

    fn record_all(&mut self, line: &Line) -> Result<(), RecordError> {
        if let Some(lost) = line.lost {
            // It is in the first commit, if there is any.
            let mut open = line.sink.begin(None);
            open.send(lost.part(self))?;
            open.end()?;
        }
        let mut last = None;
        while let Some(task) = line.tasks.next() {
            match task {
                Task::Capture(capture) => {
                    let num_bins = self.recorded.histograms.map_or(0, |bins| bins.get().into());
                    let max_part_bytes = line.sink.max_part_bytes();
                    let topology = self.layers.topology();
                    let most = disk::most_bytes(&capture, topology, num_bins, max_part_bytes);
                    if !self.fits(line, most)? {
                        let over_disk = u64::from(capture.network.is_some());
                        for counter in [
                            &self.progress.over_disk_captures,
                            &self.progress.refused_captures,
                        ] {
                            counter.fetch_add(over_disk, Ordering::Relaxed);
                        }
                        drop(capture);
                        line.tasks.give_back();
                        continue;
                    }
                    // What was known late is of an earlier moment.
                    last = last.max(Some(capture.id));
                    self.record(line, *capture)?;
                }
                Task::State(saved) => {
                    let max_part_bytes = line.sink.max_part_bytes();
                    let most = disk::most_bytes_of_state(self.layers.topology(), max_part_bytes);
                    // The last one only removes what was there.
                    if saved.state.is_some() && !self.fits(line, most)? {
                        drop(saved);
                        line.tasks.give_back();
                        continue;
                    }
                    self.record_state(line, saved)?;
                }
            }
            let written = self.stats(line).part_bytes;
            self.progress.part_bytes.store(written, Ordering::Relaxed);
        }
        if let Some(id) = last.filter(|_| self.recorded.metrics) {
            self.record_last_metrics(line, id)?;
        }
        Ok(())
    }

    /// Whether so many bytes more may be written. If not, nothing is any more.
    fn fits(&mut self, line: &Line, most_bytes: u64) -> Result<bool, RecordError> {
        let Some(disk) = &mut self.disk else {
            return Ok(true);
        };
        let is_full = &self.progress.is_disk_full;
        if !is_full.load(Ordering::Relaxed) {
            let sink = &line.sink;
            let fits = disk.takes(most_bytes, || Ok(sink.flush()?))?;
            is_full.store(!fits, Ordering::Relaxed);
        }
        Ok(!is_full.load(Ordering::Relaxed))
    }

    /// Reads as much in one trip as the channel has room for with its rows, and sends it before the next
    /// trip: a capture that is large is never on the host as a whole (ARCHITECTURE.md, invariant 9), one
    /// that is small takes one trip.
    fn record(&mut self, line: &Line, capture: Capture) -> Result<(), RecordError> {
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
            self.record_metrics(line, id, &metrics)?;
        }
        let is_whole = network.is_some();
        let place = self.place(id);
        let recorded = self.recorded;
        let stall_before = line.sink.stats().stall_ms;
        let mut open = line.sink.begin(is_whole.then_some(id));
        let mut split = Split::new(line.sink.max_part_bytes());
        let mut histograms = Histograms::new(recorded.histograms);
        let layers = Arc::clone(&self.layers);
        let raw_part = |values, split: &mut Split, histograms: &mut Histograms| {
            RawPart::of_capture(place, &layers, &recorded, split, histograms, values)
        };
        let mut parameters =
            (self.compares_ranks && is_whole).then(|| ParametersCrc::new(self.layers.topology()));
        let mut read_back = Duration::ZERO;
        loop {
            let trip = Instant::now();
            let read = match &mut network {
                Some(source) => read(&mut **source, &open, &self.progress)?,
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
                line.tasks.give_back();
                self.reported.total_read_back += read_back;
                if self.recorded.metrics {
                    let sink = self.stats(line);
                    metrics.extend(self.reported.own_cost(sink, &self.progress));
                }
            }
            for values in read {
                let start = Instant::now();
                if let Some(parameters) = &mut parameters {
                    parameters.add(&values);
                }
                self.diverged.look_at(&values);
                self.progress.add_work(start.elapsed());
                let part = raw_part(values, &mut split, &mut histograms);
                if let Some(part) = part {
                    open.send(part)?;
                }
            }
            if is_last {
                break;
            }
        }
        let classifications = classifications.map(Values::Classifications);
        let classifications =
            classifications.and_then(|values| raw_part(values, &mut split, &mut histograms));
        for part in histograms.parts(place, &self.layers) {
            open.send(part)?;
        }
        if let Some(classifications) = classifications {
            open.send(classifications)?;
        }
        metrics.extend(parameters.and_then(ParametersCrc::metric));
        if self.recorded.metrics {
            open.send(self.metrics_files.part(place, &metrics))?;
        }
        tell_diverged(&mut self.diverged, &self.layers, id, &metrics);
        open.end()?;
        // What the channel made this thread wait is the sink's to report.
        let stall =
            Duration::from_secs_f64((line.sink.stats().stall_ms - stall_before).max(0.0) / 1e3);
        self.reported.total_rows += start.elapsed().saturating_sub(read_back + stall);
        Ok(())
    }

    /// Writes what training can go on from, and retires what it could go on from before. It is
    /// read as a capture is, and lets the next snapshot in likewise.
    fn record_state(&mut self, line: &Line, saved: StateToSave) -> Result<(), RecordError> {
        let StateToSave { id, state } = saved;
        let place = self.place(id);
        self.saves_state = true;
        if !self.is_state_known {
            self.state_files = state_files(&self.run, self.rank)?;
            self.is_state_known = true;
        }
        let mut open = line.sink.begin(None);
        let mut split = Split::new(line.sink.max_part_bytes());
        let (tensors, updates) = match state {
            Some(State {
                tensors,
                num_updates,
            }) => (Some(tensors), num_updates),
            None => (None, 0),
        };
        let mut paths = Vec::new();
        for (state, mut source) in tensors.into_iter().flatten() {
            while !source.is_empty() {
                let trip = Instant::now();
                let read = read(&mut *source, &open, &self.progress)?;
                let trip = trip.elapsed();
                self.progress.add_work(trip);
                self.reported.total_read_back += trip;
                for values in read {
                    let Values::Parameters {
                        layer,
                        weight,
                        bias,
                        ..
                    } = values
                    else {
                        unreachable!("only parameters were put in");
                    };
                    let tensor = LayerTensor {
                        layer,
                        weight,
                        bias,
                    };
                    let state = (state, updates);
                    let part = RawPart::of_state(place, &self.layers, &mut split, state, tensor);
                    paths.extend(part.paths().map(|path| path.to_string()));
                    open.send(part)?;
                }
            }
        }
        // The training thread may have left already.
        line.tasks.give_back();
        for path in std::mem::replace(&mut self.state_files, paths) {
            open.retire(path);
        }
        open.end()?;
        Ok(())
    }

    /// What the last publish cost is known only after it: a second file of metrics says it.
    fn record_last_metrics(&mut self, line: &Line, id: CaptureId) -> Result<(), RecordError> {
        line.sink.flush()?;
        let metrics = self.reported.own_cost(self.stats(line), &self.progress);
        self.record_metrics(line, id, &metrics)
    }

    /// Metrics of a moment at which the network is not captured.
    fn record_metrics(
        &mut self,
        line: &Line,
        id: CaptureId,
        metrics: &[Metric],
    ) -> Result<(), RecordError> {
        let part = self.metrics_file(id, metrics);
        let mut open = line.sink.begin(None);
        open.send(part)?;
        open.end()?;
        Ok(())
    }

    /// The next file of metrics of a moment.
    pub(super) fn metrics_file(&mut self, id: CaptureId, metrics: &[Metric]) -> Part {
        let place = self.place(id);
        self.metrics_files.part(place, metrics)
    }

    /// What this sink and those before did so far.
    fn stats(&self, line: &Line) -> SinkStats {
        self.past.and_then(line.sink.stats())
    }

    fn place(&self, id: CaptureId) -> Place {
        Place {
            key: RowKey {
                id,
                rank: self.rank,
            },
            generation: self.generation,
        }
    }
}

/// The part files of the saved state that a rank has committed.
fn state_files(run: &RunDir, rank: Rank) -> Result<Vec<String>, RecordError> {
    let catalog = Catalog::load_with_partial(run).map_err(RecordError::Commits)?;
    let is_state = |path: &str| {
        let part = path.parse::<PartPath>();
        part.is_ok_and(|part| part.table == Table::Resume && part.rank == rank)
    };
    let paths = catalog.files().map(|file| file.path);
    Ok(paths
        .filter(|path| is_state(path))
        .map(str::to_owned)
        .collect())
}

/// Reads as much as the channel has room for. Rows are made of it while the values are there, and may take
/// as much again. A failure is told before it is on the way.
fn read(
    source: &mut dyn Source,
    open: &OpenCapture<'_>,
    progress: &Progress,
) -> Result<Vec<Values>, RecordError> {
    let read = source.read(open.free_bytes() / 2);
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

/// A file of metrics, the one with the number `sequence` of its moment.
fn metrics_part(place: Place, metrics: &[Metric], sequence: u32) -> Part {
    Part {
        path: place.path(Table::Metrics, None, sequence),
        rows: rows::metrics(place.key, metrics),
    }
}

//! Recording: from the training loop's tensor handles to the sink, on a thread of its own.
//!
//! `TraceRecorder::capture` → one snapshot at a time → the thread `capture`: device to host, rows,
//! statistics → [`sink::Sink`].
//!
//! **Ordering.** Captures become part of the run in the order in which they were handed over
//! (ARCHITECTURE.md, invariant 6).
//! **Back-pressure.** The hand-off has room for one snapshot, from its capture until its values
//! are on the host: a training loop that is faster than its recorder waits in
//! [`TraceRecorder::capture`], and never holds a second snapshot. The channel to the sink is
//! bounded in bytes, and blocks the capture thread, which brings no more from the device at once
//! than the channel has room for, or one layer.
//! **Shutdown.** [`TraceRecorder::finish`] waits until everything is committed. A failure anywhere
//! is returned by the next call; what was committed before stays.

mod cost;
mod in_flight;
mod thread;
mod unread;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use burn::tensor::backend::{Backend, ExecutionError};
use burn_std::stream_id::StreamId;
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Serialize;
use sink::{Sink, SinkError, SinkOptions, SinkStats, StartSinkError};
use trace::{CaptureId, LayerLabel, RunDir, Topology};

use crate::evaluation::{Classifications, Evaluation};
use crate::model::LayerTensors;
use crate::rows::Metric;

/// How many held-out samples' activations are recorded unless told otherwise.
pub const DEFAULT_ACTIVATION_SAMPLES: usize = 512;

/// What of each capture is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Weights, biases and their statistics.
    pub weights: bool,
    /// What the network makes of each held-out sample.
    pub classifications: bool,
    /// Held-out activations; none where they are not recorded.
    pub activations: Option<ActivationDetail>,
    /// Loss, accuracy, learning rate and what recording costs.
    pub metrics: bool,
}

/// How much of the held-out activations is recorded. Statistics always cover every sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationDetail {
    /// The values of up to so many samples, and statistics.
    Raw {
        /// The first samples, in the order of the held-out set.
        samples: usize,
    },
    /// Statistics alone.
    Statistics,
}

impl ActivationDetail {
    /// Of how many samples the values are kept.
    fn num_kept(self, num_samples: usize) -> usize {
        match self {
            Self::Raw { samples } => samples.min(num_samples),
            Self::Statistics => 0,
        }
    }
}

/// For how many captures the channel has room by default.
pub const CHANNEL_CAPTURES: u64 = 4;

/// The least budget of the channel by default.
pub const MIN_CHANNEL_BYTES: u64 = 1 << 20;

/// A layer has more activations than a capture can keep: they are one list array, whose offsets are
/// 32-bit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "layer {layer} has {num_units} units, and {num_samples} samples of each would be kept: a trace \
     can hold {} values of a layer; keep fewer samples, or statistics alone",
    i32::MAX
)]
pub struct TooManyActivationsError {
    /// The layer.
    pub layer: LayerLabel,
    /// How many units it has.
    pub num_units: u32,
    /// How many samples of each would be kept.
    pub num_samples: usize,
}

impl Recorded {
    /// Memory for rows that wait to be written, where nothing else is said: room for
    /// [`CHANNEL_CAPTURES`] captures, within [`MIN_CHANNEL_BYTES`] and
    /// [`sink::DEFAULT_CHANNEL_BYTES`].
    ///
    /// Small networks would else fill any budget with what a slow moment of the disk leaves
    /// waiting, and a recording's memory would depend on how long it runs.
    pub fn default_channel_bytes(&self, topology: &Topology, num_held_out: usize) -> u64 {
        let num_kept = self.activations.map_or(0, |a| a.num_kept(num_held_out)) as u64;
        let values_of = |layer: &trace::Layer| {
            let weights = if self.weights { layer.fan_in.into() } else { 0 };
            u64::from(layer.num_units) * (weights + num_kept)
        };
        let num_values: u64 = topology.layers().iter().map(values_of).sum();
        let capture_bytes = num_values * size_of::<f32>() as u64;
        (CHANNEL_CAPTURES * capture_bytes).clamp(MIN_CHANNEL_BYTES, sink::DEFAULT_CHANNEL_BYTES)
    }

    /// Checks that the activations of every layer fit into a trace.
    ///
    /// # Errors
    /// The first layer of which too many are to be kept.
    pub fn check(
        &self,
        topology: &Topology,
        num_held_out: usize,
    ) -> Result<(), TooManyActivationsError> {
        let num_samples = self.activations.map_or(0, |a| a.num_kept(num_held_out));
        let fits = |num_units: u32| {
            let num_values = num_samples as u64 * u64::from(num_units);
            num_values <= i32::MAX as u64
        };
        match topology.layers().iter().find(|l| !fits(l.num_units)) {
            None => Ok(()),
            Some(layer) => Err(TooManyActivationsError {
                layer: layer.layer.clone(),
                num_units: layer.num_units,
                num_samples,
            }),
        }
    }
}

/// A network at one optimizer step, as handles: nothing was copied or read.
#[derive(Debug)]
pub struct Snapshot<B: Backend> {
    /// Epoch and step.
    pub id: CaptureId,
    /// Every layer's parameters, in the topology's order.
    pub layers: Vec<LayerTensors<B>>,
    /// What the network made of the held-out set.
    pub evaluation: Evaluation<B>,
    /// Figures of the epoch; what recording costs is added.
    pub metrics: Vec<Metric>,
}

/// What the capture thread is given: only what is recorded, and on which stream it was computed.
struct Capture<B: Backend> {
    id: CaptureId,
    /// Whether the network was captured; without it there are metrics alone.
    is_whole: bool,
    stream: StreamId,
    layers: Vec<LayerTensors<B>>,
    activations: Vec<Vec<Tensor<B, 2>>>,
    classifications: Option<Classifications>,
    metrics: Vec<Metric>,
}

/// Records a network while it trains.
#[derive(Debug)]
pub struct TraceRecorder<B: Backend> {
    recorded: Recorded,
    /// None once finished.
    hand_off: Option<Sender<Capture<B>>>,
    /// A token for every snapshot that may be held.
    room: Receiver<()>,
    thread: Option<JoinHandle<Result<SinkStats, RecordError>>>,
    progress: Arc<Progress>,
    num_captures: u64,
}

/// Figures that both threads know.
#[derive(Debug, Default)]
struct Progress {
    /// Nanoseconds that the training thread spent in [`TraceRecorder::capture`].
    hand_off_ns: AtomicU64,
    /// Nanoseconds of these for which there was no room.
    stall_ns: AtomicU64,
    /// Bytes of part files written so far.
    part_bytes: AtomicU64,
}

/// What was recorded, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordSummary {
    /// Captures that are committed.
    pub num_captures: u64,
    /// What the sink did.
    pub sink: SinkStats,
    /// Time that the training thread spent on handing captures over.
    pub hand_off: Duration,
    /// Time of it spent waiting for room.
    pub stall: Duration,
    /// Time for which [`TraceRecorder::finish`] waited until everything was committed.
    pub finish: Duration,
}

impl RecordSummary {
    /// Time that the training thread spent on recording, until everything was committed.
    pub fn training_thread(&self) -> Duration {
        self.hand_off + self.finish
    }
}

/// Why recording stopped. What was committed before stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The sink could not be started.
    #[error(transparent)]
    Start(#[from] StartSinkError),
    /// The sink failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The values could not be read from the device.
    #[error("cannot read what is to be recorded from the device")]
    Device(#[from] ExecutionError),
    /// The operating system gave no thread.
    #[error("cannot start the capture thread")]
    Spawn(#[source] std::io::Error),
    /// The capture thread panicked.
    #[error("the capture thread panicked, which is a bug")]
    Panicked,
    /// An earlier call returned the reason.
    #[error("recording has stopped before")]
    Stopped,
}

impl<B: Backend> TraceRecorder<B> {
    /// Starts recording into `run`, which no other process may be writing.
    ///
    /// # Errors
    /// If the run cannot be written, or there are no threads to be had.
    pub fn start(
        run: &RunDir,
        recorded: Recorded,
        sink_options: SinkOptions,
    ) -> Result<Self, RecordError> {
        Self::start_after(run, recorded, sink_options, || {})
    }

    /// Starts as [`TraceRecorder::start`] does; the capture thread calls `first` before anything
    /// else, so that a test can hold it up.
    fn start_after(
        run: &RunDir,
        recorded: Recorded,
        sink_options: SinkOptions,
        first: impl FnOnce() + Send + 'static,
    ) -> Result<Self, RecordError> {
        let rank = sink_options.rank;
        let channel_bytes = sink_options.channel_bytes;
        let sink = Sink::start(run, sink_options)?;
        // A token and a snapshot travel in a circle: neither channel is ever full, and there is
        // never a second snapshot (ARCHITECTURE.md, invariant 9).
        let (hand_off, captures) = bounded(1);
        let (give_back, room) = bounded(1);
        give_back.send(()).expect("both ends are here");
        let progress = Arc::new(Progress::default());
        let worker = thread::CaptureThread {
            topology: run.info().layers.clone(),
            recorded,
            rank,
            in_flight: in_flight::InFlight::new(channel_bytes),
            sink,
            captures,
            give_back,
            progress: Arc::clone(&progress),
            reported: cost::Reported::default(),
        };
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || {
                first();
                worker.run()
            })
            .map_err(RecordError::Spawn)?;
        Ok(Self {
            recorded,
            hand_off: Some(hand_off),
            room,
            thread: Some(thread),
            progress,
            num_captures: 0,
        })
    }

    /// Hands a snapshot over. Waits while the values of the one before are not on the host yet.
    ///
    /// The caller's thread only moves handles (ARCHITECTURE.md, invariant 2), and nothing here
    /// changes what they stand for (invariant 1).
    ///
    /// # Errors
    /// Why recording stopped, if it has: the snapshot is then lost, and so is every later one.
    pub fn capture(&mut self, snapshot: Snapshot<B>) -> Result<(), RecordError> {
        let keep = self.recorded;
        self.hand_over(Capture {
            id: snapshot.id,
            is_whole: true,
            stream: StreamId::current(),
            layers: if keep.weights {
                snapshot.layers
            } else {
                Vec::new()
            },
            activations: match keep.activations {
                Some(_) => snapshot.evaluation.activations,
                None => Vec::new(),
            },
            classifications: keep
                .classifications
                .then_some(snapshot.evaluation.classifications),
            metrics: if keep.metrics {
                snapshot.metrics
            } else {
                Vec::new()
            },
        })?;
        self.num_captures += 1;
        Ok(())
    }

    /// Hands over the figures of an epoch at whose end the network is not captured, if metrics are
    /// recorded. Waits as [`TraceRecorder::capture`] does.
    ///
    /// # Errors
    /// Why recording stopped, if it has.
    pub fn metrics(&mut self, id: CaptureId, metrics: Vec<Metric>) -> Result<(), RecordError> {
        if !self.recorded.metrics {
            return Ok(());
        }
        self.hand_over(Capture {
            id,
            is_whole: false,
            stream: StreamId::current(),
            layers: Vec::new(),
            activations: Vec::new(),
            classifications: None,
            metrics,
        })
    }

    fn hand_over(&mut self, capture: Capture<B>) -> Result<(), RecordError> {
        let start = Instant::now();
        if self.room.recv().is_err() {
            return Err(self.failure());
        }
        let stall = start.elapsed();
        let handed_over = match &self.hand_off {
            Some(hand_off) => hand_off.send(capture).is_ok(),
            None => false,
        };
        if !handed_over {
            return Err(self.failure());
        }
        let add = |counter: &AtomicU64, time: Duration| {
            counter.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
        };
        add(&self.progress.stall_ns, stall);
        add(&self.progress.hand_off_ns, start.elapsed());
        Ok(())
    }

    /// Bytes of part files written so far.
    pub fn part_bytes(&self) -> u64 {
        self.progress.part_bytes.load(Ordering::Relaxed)
    }

    /// Waits until everything that was captured is committed (ARCHITECTURE.md, invariant 4), and ends
    /// the recording.
    ///
    /// # Errors
    /// Why recording stopped, if it has.
    pub fn finish(mut self) -> Result<RecordSummary, RecordError> {
        let start = Instant::now();
        let sink = self.join()?;
        let finish = start.elapsed();
        let time = |counter: &AtomicU64| Duration::from_nanos(counter.load(Ordering::Relaxed));
        Ok(RecordSummary {
            num_captures: self.num_captures,
            sink,
            hand_off: time(&self.progress.hand_off_ns),
            stall: time(&self.progress.stall_ns),
            finish,
        })
    }

    /// Why the capture thread ended although nobody asked it to: a failure is what the next call
    /// returns (ARCHITECTURE.md, invariant 7).
    fn failure(&mut self) -> RecordError {
        match self.join() {
            Ok(_) => RecordError::Stopped,
            Err(error) => error,
        }
    }

    fn join(&mut self) -> Result<SinkStats, RecordError> {
        self.hand_off = None;
        match self.thread.take() {
            None => Err(RecordError::Stopped),
            Some(thread) => thread.join().unwrap_or(Err(RecordError::Panicked)),
        }
    }
}

impl<B: Backend> Drop for TraceRecorder<B> {
    fn drop(&mut self) {
        if self.thread.is_none() {
            return;
        }
        match self.join() {
            Ok(_) => {
                tracing::warn!("a recorder was dropped before it was finished; all is published")
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a recorder was dropped before it was finished, and could not publish everything"
            ),
        }
    }
}

#[cfg(test)]
mod tests;

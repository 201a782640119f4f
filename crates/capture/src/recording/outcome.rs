//! How recording went: what there is of it, or why there is not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sink::{SinkError, SinkStats, StartSinkError};
use trace::CaptureId;

use super::recorded::TooManyActivationsError;
use super::source::BoxError;

/// What was recorded, and what it cost.
#[derive(Debug, Clone)]
pub struct RecordSummary {
    /// Captures that are committed.
    pub num_captures: u64,
    /// Captures left out because recording may cost no more
    /// ([`Limits::max_overhead`](super::Limits::max_overhead)).
    pub thinned_captures: u64,
    /// Captures left out because the run may take no more of the disk
    /// ([`Limits::max_disk`](super::Limits::max_disk)).
    pub over_disk_captures: u64,
    /// Whether the run took what it may, so that nothing more was recorded: the saved state may be what
    /// did not fit.
    pub is_disk_full: bool,
    /// Captures left out because there was no room ([`WhenFull::Drop`](super::WhenFull::Drop)).
    pub dropped_captures: u64,
    /// Captures that were due and are not committed because recording failed
    /// ([`OnError::Continue`](super::OnError::Continue)).
    pub lost_captures: u64,
    /// Why recording failed, where training went on without it
    /// ([`OnError::Continue`](super::OnError::Continue)).
    pub failure: Option<Arc<RecordError>>,
    /// What the sink did.
    pub sink: SinkStats,
    /// Time that the training thread spent on handing captures over.
    pub hand_off: Duration,
    /// Time of it spent waiting for room.
    pub stall: Duration,
    /// Time for which [`Recording::finish`](super::Recording::finish) waited until everything
    /// was committed.
    pub finish: Duration,
}

impl RecordSummary {
    /// Time that the training thread spent on recording, until everything was committed.
    pub fn training_thread(&self) -> Duration {
        self.hand_off + self.finish
    }
}

/// Why something was not recorded. What was committed before stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The sink could not be started.
    #[error(transparent)]
    Start(#[from] StartSinkError),
    /// The sink failed.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The device failed, which was found by reading from it: training cannot go on with what is there.
    #[error("the device failed, and nothing trained since the last capture can be relied on")]
    Device(#[source] BoxError),
    /// The operating system gave no thread.
    #[error("cannot start the capture thread")]
    Spawn(#[source] std::io::Error),
    /// The capture thread panicked.
    #[error("the capture thread panicked, which is a bug")]
    Panicked,
    /// An earlier call returned the reason.
    #[error("recording has stopped before")]
    Stopped,
    /// What the run takes of the disk cannot be told.
    #[error("cannot tell how much {} takes of the disk", run.display())]
    DiskSize {
        /// The run.
        run: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The module is not the one that the recorder was started with. Recording goes on.
    #[error(transparent)]
    OtherModule(BoxError),
    /// A capture does not come after the one before. Recording goes on.
    #[error(
        "epoch {} step {} was captured, epoch {} step {} does not come after it: epochs count from \
         0 and steps from the start of training",
        last.epoch, last.step, found.epoch, found.step
    )]
    Order {
        /// The last capture.
        last: CaptureId,
        /// The one that was to follow.
        found: CaptureId,
    },
    /// There is no such layer. Recording goes on.
    #[error("there is no layer {label:?}: there are {}", layers.join(", "))]
    NoSuchLayer {
        /// The label that was given.
        label: String,
        /// The labels that there are.
        layers: Vec<String>,
    },
    /// Activations are not those of the layer. Recording goes on.
    #[error("activations of layer {label} are [samples, ..., units] with {num_units} units{}, not {found:?}", .is_first.then_some(" on axis 1").unwrap_or_default())]
    ActivationShape {
        /// The layer.
        label: String,
        /// How many units it has.
        num_units: u32,
        /// Whether the units lie on axis 1, as a convolution's do, and not on the last.
        is_first: bool,
        /// The shape of what was handed over.
        found: Vec<usize>,
    },
    /// A trace cannot hold that many activations. Recording goes on.
    #[error(transparent)]
    TooManyActivations(#[from] TooManyActivationsError),
    /// Outputs and targets are not of the same samples, or not what the loss is made for. Recording
    /// goes on.
    #[error("{0}")]
    Outputs(String),
}

impl RecordError {
    /// Whether recording goes on all the same: what was asked for in a call does not fit, as a label
    /// that there is not, and nothing else is lost by it.
    pub fn is_mistake(&self) -> bool {
        match self {
            Self::OtherModule(_)
            | Self::Order { .. }
            | Self::NoSuchLayer { .. }
            | Self::ActivationShape { .. }
            | Self::TooManyActivations(_)
            | Self::Outputs(_) => true,
            Self::Start(_)
            | Self::Sink(_)
            | Self::Device(_)
            | Self::Spawn(_)
            | Self::Panicked
            | Self::Stopped
            | Self::DiskSize { .. } => false,
        }
    }

    /// What went wrong and why, in one line.
    pub fn with_causes(&self) -> String {
        let first: &dyn std::error::Error = self;
        let causes = std::iter::successors(Some(first), |error| error.source());
        let causes: Vec<String> = causes.map(ToString::to_string).collect();
        causes.join(": ")
    }
}

/// How recording goes, for its summary.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Captures that were handed over.
    pub(super) num_captures: u64,
    /// Captures that were due after recording had failed.
    pub(super) num_missed: u64,
    /// Why recording failed, where training goes on without it.
    pub(super) failure: Option<Arc<RecordError>>,
    /// Whether the owner says what goes wrong; else it is logged.
    pub(super) owner_reports: bool,
    pub(super) has_reported_disk_full: bool,
    /// What the sink did, once it has ended.
    pub(super) sink_stats: SinkStats,
}

impl Outcome {
    /// Of a recording that begins.
    pub(super) fn new(owner_reports: bool) -> Self {
        Self {
            num_captures: 0,
            num_missed: 0,
            failure: None,
            owner_reports,
            has_reported_disk_full: false,
            sink_stats: SinkStats::default(),
        }
    }
}

//! How recording went: what there is of it, or why there is not.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sink::{SinkError, SinkStats, StartSinkError};
use trace::{CaptureId, ReadCommitsError};

use super::recorded::TooManyActivationsError;
use super::source::BoxError;
use super::take_up::{Change, Standing};
use super::thread::CaptureThread;

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
    /// Why nothing was recorded any more at the end, where training went on without it
    /// ([`OnError::Continue`](super::OnError::Continue)). None where recording was taken up again.
    pub failure: Option<Arc<RecordError>>,
    /// What has become of recording since the last call of
    /// [`Recording::take_changes`](super::Recording::take_changes).
    pub changes: Vec<Change>,
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
    /// What is committed cannot be told, where recording was to be taken up again.
    #[error(transparent)]
    Commits(ReadCommitsError),
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
            | Self::Commits(_)
            | Self::DiskSize { .. } => false,
        }
    }

    /// Whether it is for want of room alone, and nothing is in doubt: recording can be taken up again where
    /// there is room ([`SinkError::is_for_want_of_room`]).
    pub fn is_for_want_of_room(&self) -> bool {
        match self {
            Self::Sink(error) => error.is_for_want_of_room(),
            Self::Start(error) => error.is_for_want_of_room(),
            _ => false,
        }
    }

    /// Whether the disk may have failed, or what is committed be in doubt: nothing is recorded after it before the
    /// run is opened anew.
    pub(super) fn is_disk_in_doubt(&self) -> bool {
        match self {
            Self::Sink(error) => error.is_disk_in_doubt(),
            Self::Panicked | Self::Spawn(_) => false,
            _ => !self.is_for_want_of_room(),
        }
    }

    /// What went wrong and why, in one line.
    pub fn with_causes(&self) -> String {
        trace::with_causes(self)
    }
}

/// How recording goes, for its summary.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Captures that were handed over.
    pub(super) num_captures: u64,
    /// Captures that were due after recording had failed.
    pub(super) num_missed: u64,
    /// The moment of the last of them.
    pub(super) missed_last: Option<CaptureId>,
    /// The moment of the last capture that was left out because the run may take no more of the disk.
    pub(super) over_disk_last: Option<CaptureId>,
    /// Why nothing is recorded now, where training goes on without it.
    pub(super) failure: Option<Arc<RecordError>>,
    pub(super) standing: Standing,
    /// Whether recording has ever stopped.
    pub(super) has_stopped: bool,
    /// What the owner was not told yet.
    pub(super) changes: Vec<Change>,
    /// Captures that were on the way when recording stopped, all times together.
    pub(super) lost_on_the_way: u64,
    /// Captures that were lost when recording was taken up last.
    pub(super) lost_before: u64,
    /// Lost captures that rows of metrics say, and those that a sink in hand is to say first.
    pub(super) lost_in_rows: u64,
    pub(super) lost_in_hand: u64,
    /// The moment of which that was said last.
    pub(super) lost_told_of: Option<CaptureId>,
    /// The last capture thread, once it has ended.
    pub(super) idle: Option<Box<CaptureThread>>,
    /// Whether the owner says what goes wrong; else it is logged.
    pub(super) owner_reports: bool,
    pub(super) has_reported_disk_full: bool,
    /// What the sinks did that have ended.
    pub(super) sink_stats: SinkStats,
}

impl Outcome {
    /// Of a recording that begins.
    pub(super) fn new(owner_reports: bool) -> Self {
        Self {
            num_captures: 0,
            num_missed: 0,
            missed_last: None,
            over_disk_last: None,
            failure: None,
            standing: Standing::default(),
            has_stopped: false,
            changes: Vec::new(),
            lost_on_the_way: 0,
            lost_before: 0,
            lost_in_rows: 0,
            lost_in_hand: 0,
            lost_told_of: None,
            idle: None,
            owner_reports,
            has_reported_disk_full: false,
            sink_stats: SinkStats::default(),
        }
    }
}

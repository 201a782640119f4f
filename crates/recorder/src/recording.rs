//! Recording a module of Burn's: from the training loop's tensor handles to a [`Recording`], which knows no
//! tensors.
//!
//! `TraceRecorder::capture` → handles as an [`Unread`] → [`Recording`] → the thread `capture`, which has
//! them read: device to host, on the stream that made them → rows, statistics → [`sink::Sink`].
//!
//! Ordering, back-pressure and shutdown are [`Recording`]'s: a training loop that is faster than its
//! recorder waits in [`TraceRecorder::capture`], and [`TraceRecorder::finish`] until everything is
//! committed.

mod builder;
mod captures;
mod finish;
mod handle;
#[cfg(any(test, feature = "burn-train"))]
mod late;
mod module;
mod note;
mod optimizer;
mod outputs;
mod recordable;
mod state;
mod unread;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use burn::tensor::backend::Backend;
use capture::{Change, Plan, RecordError, Recording};
use sink::SinkOptions;
use trace::{CaptureId, Epoch, RunDir, Step, Topology};

pub use builder::{StartError, TraceRecorderBuilder};
pub(crate) use module::ModuleLayers;
pub use module::{ModuleError, OtherModuleError};
use note::Pending;
pub use optimizer::{AdamMoments, ClipsGradients, KeepsMoments};
pub use recordable::Recordable;
pub(crate) use state::HeldState;

fn capture_id(epoch: i32, step: i64) -> CaptureId {
    CaptureId {
        epoch: Epoch(epoch),
        step: Step(step),
    }
}

/// Records a network while it trains.
///
/// ```
/// use burn::backend::{Autodiff, Flex};
/// use burn::nn::LinearConfig;
/// use recorder::TraceRecorder;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let traces = directory.path().join("linear");
/// let model = LinearConfig::new(4, 3).init::<Autodiff<Flex>>(&Default::default());
/// # let inputs = burn::tensor::Tensor::<_, 2>::zeros([1, 4], &Default::default());
/// # let _ = model.forward(inputs);
/// let mut recorder = TraceRecorder::builder(traces).start(&model)?;
/// for epoch in 0..3 {
///     // ... the training loop, as it is ...
///     recorder.capture(&model, epoch, 100 * (i64::from(epoch) + 1))?;
/// }
/// let summary = recorder.finish()?;
/// assert_eq!(summary.num_captures, 3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TraceRecorder<B: Backend> {
    recording: Recording,
    layers: ModuleLayers,
    pending: Pending<B>,
}

impl<B: Backend> TraceRecorder<B> {
    /// Begins to say what is recorded, into the directory `run`, which must not exist or be empty.
    pub fn builder(run: impl Into<PathBuf>) -> TraceRecorderBuilder<B> {
        TraceRecorderBuilder::new(run.into())
    }

    /// Starts recording into `run`, which no other process may be writing.
    ///
    /// # Errors
    /// If the run cannot be written, or there are no threads to be had.
    pub(crate) fn start(
        run: &RunDir,
        layers: ModuleLayers,
        plan: Plan,
        sink_options: SinkOptions,
    ) -> Result<Self, RecordError> {
        let network = Arc::clone(layers.network());
        Ok(Self::of(
            Recording::start(run, network, plan, sink_options)?,
            layers,
        ))
    }

    fn of(recording: Recording, layers: ModuleLayers) -> Self {
        Self {
            recording,
            pending: Pending::new(layers.topology().layers().len()),
            layers,
        }
    }

    /// The run's directory.
    pub fn run_path(&self) -> &Path {
        self.recording.run_path()
    }

    /// The network's layers, as they are recorded.
    pub fn topology(&self) -> &Topology {
        self.layers.topology()
    }

    /// Whether [`TraceRecorder::capture`] will capture the network at the end of `epoch`: whoever
    /// asks first can spare a forward pass that is made for the recorder alone.
    ///
    /// Where the last step of the epoch is due by its number, or was captured already, that counts
    /// as well: see [`TraceRecorder::capture`].
    pub fn is_due(&self, epoch: i32) -> bool {
        self.recording.is_due(epoch)
    }

    /// Whether [`TraceRecorder::capture_step`] will capture the network after `step`.
    pub fn is_step_due(&self, step: i64) -> bool {
        self.recording.is_step_due(step)
    }

    /// Whether [`TraceRecorder::capture`] will capture the network at the end of `epoch`, whose last
    /// step is `step`.
    pub(crate) fn is_end_due(&self, epoch: i32, step: i64) -> bool {
        self.recording.is_end_due(capture_id(epoch, step))
    }

    /// Whether the last capture is that of `id`.
    pub(crate) fn is_end_captured(&self, id: CaptureId) -> bool {
        self.recording.is_end_captured(id)
    }

    /// Whether anything that held-out samples say is recorded.
    pub(crate) fn records_evaluation(&self) -> bool {
        self.recording.recorded().classifications || self.wants_activations()
    }

    /// Counts time that the caller's thread spent for the recorder alone since the last capture, as
    /// on a forward pass that a capture needs and training does not: it is recording's cost, and
    /// within [`Limits::max_overhead`](crate::Limits::max_overhead).
    pub fn spent(&mut self, time: Duration) {
        self.recording.spent(time);
    }

    /// The step of the last capture, or of the one after which the run is gone on with; 0 before any.
    pub(crate) fn last_step(&self) -> i64 {
        self.recording.last_step()
    }

    /// Why nothing is recorded now, where training goes on without it
    /// ([`OnError::Continue`](crate::OnError::Continue)): for good, or until there is room again.
    pub fn failure(&self) -> Option<&RecordError> {
        self.recording.failure()
    }

    /// What has become of recording since this was asked last, where it is for the owner to say.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        self.recording.take_changes()
    }

    /// Checks that no read has found the device failed.
    ///
    /// Devices run behind, and tell what went wrong with a kernel to whoever reads next. That may be the
    /// recorder, and then training would never hear of it: it would go on with what kernels that never
    /// ran have left. So such a failure is always returned, whatever
    /// [`Limits::on_error`](crate::Limits::on_error) says. Every capture that is called for checks it,
    /// due or not; whoever makes many steps in between can ask here, which costs nothing.
    ///
    /// # Errors
    /// [`RecordError::Device`]; once it was returned, [`RecordError::Stopped`].
    pub fn check_device(&mut self) -> Result<(), RecordError> {
        self.recording.check_device()
    }

    /// Whether recording has stopped because the run may take no more of the disk
    /// ([`Limits::max_disk`](crate::Limits::max_disk)).
    pub fn is_disk_full(&self) -> bool {
        self.recording.is_disk_full()
    }

    /// Bytes of part files written so far.
    pub fn part_bytes(&self) -> u64 {
        self.recording.part_bytes()
    }
}

#[cfg(test)]
mod tests;

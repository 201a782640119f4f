//! Trains networks with Burn and records them while they train.
//!
//! [`train`] is a whole session: data set, network, training loop, held-out evaluation, and a
//! [`TraceRecorder`] that the loop hands tensor handles to. [`replay`] goes the other way: it
//! rebuilds a network from its trace and shows that it is the one that was recorded. [`import`] makes
//! a run of other frameworks' checkpoints, and [`export`] checkpoints of any run.

mod capture_files;
mod dataset;
mod device;
mod evaluation;
mod interchange;
mod model;
mod random;
mod read_back;
mod recording;
mod replay;
mod rows;
mod schedule;
mod session;
mod statistics;
mod training;

pub use capture_files::{CaptureChoice, ReadCaptureError, RecordedNumbers};
pub use dataset::{Dataset, DatasetError, DatasetKind, Samples, TargetRows, Targets};
pub use device::{
    AdapterKind, CudaError, CudaPart, DeviceChoice, DeviceError, ParseDeviceError, Resolution,
    ResolvedDevice, VulkanAdapter, VulkanDevice, VulkanError,
};
pub use evaluation::{
    Classifications, DEFAULT_EVALUATION_BATCH_SIZE, Evaluation, HeldOut, Score, classify,
};
pub use interchange::{
    CheckpointError, CopyError, ExportError, ExportReport, ImportError, ImportOptions,
    ImportProgress, ImportSummary, ImportedTopologyError, NamePattern, ParsePatternError, export,
    import,
};
pub use model::{
    Activation, LayerParameters, LayerTensors, Loss, Mlp, MlpConfig, MlpParameters, ModelError,
    to_rows,
};
pub use recording::{
    ActivationDetail, CHANNEL_CAPTURES, DEFAULT_ACTIVATION_SAMPLES, MIN_CHANNEL_BYTES, RecordError,
    RecordSummary, Recorded, Snapshot, TooManyActivationsError, TraceRecorder,
};
pub use replay::{Difference, ReplayError, ReplayReport, replay};
pub use rows::Metric;
pub use schedule::{ParseScheduleError, Schedule, UnreachableEpochError};
pub use session::{
    DEFAULT_ROOT, EpochProgress, SessionError, SessionObserver, SessionOptions, SessionSummary,
    train,
};
pub use training::{
    CancelToken, EpochOutcome, EpochReport, MAX_BATCH_SIZE, TrainConfig, TrainConfigError,
    TrainError, Trainer,
};

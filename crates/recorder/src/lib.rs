//! Trains networks with Burn and records them while they train.
//!
//! [`TraceRecorder`] is what a training loop that exists already records itself with: any module, on
//! any backend. [`train`] is a whole session of our own: data set, network, training loop, held-out
//! evaluation, and a [`TraceRecorder`] that the loop hands tensor handles to. [`replay`] goes the
//! other way: it rebuilds a network from its trace and shows that it is the one that was recorded.
//! [`ablate`] rebuilds one to silence some of its neurons, and measures what it loses.
//! [`import`] makes a run of other frameworks' checkpoints, and [`export`] checkpoints of any run.

mod ablation;
mod capture_files;
mod checkpoint;
mod dataset;
mod device;
mod evaluation;
mod histogram;
mod interchange;
mod layout;
#[cfg(feature = "burn-train")]
mod learner;
mod model;
mod optimizer;
mod precision;
mod random;
mod read_back;
mod rebuild;
mod recording;
mod replay;
mod resume;
mod rows;
mod schedule;
mod session;
mod statistics;
#[cfg(test)]
mod testing;
mod training;

pub use ablation::{
    AblateError, AblationOptions, AblationProgress, AblationReport, ChosenNeurons, DEFAULT_DRAWS,
    Figure, LayerNeurons, Metric, NeuronsError, Predicted, SampleGroup, Silencing, ablate,
};
pub use capture_files::{CaptureChoice, ReadCaptureError, RecordedNumbers};
pub use checkpoint::{
    CheckpointEvery, DEFAULT_CHECKPOINT_INTERVAL, ParseCheckpointEveryError, ReadCheckpointError,
};
pub use dataset::{
    ALL_TEXTS, DEFAULT_HELD_OUT_SHARE, DataPlace, Dataset, DatasetError, DatasetKind,
    DatasetSource, DatasetSpec, FileFormat, FileSpec, HeldOutRule, MAX_INFERRED_CLASSES, Missing,
    Place, Samples, Scale, TargetRows, Targets, Task,
};
pub use device::{
    AdapterKind, CudaError, CudaPart, DeviceChoice, DeviceError, ParseDeviceError, Resolution,
    ResolvedDevice, VulkanAdapter, VulkanDevice, VulkanError,
};
pub use evaluation::{Classifications, DEFAULT_EVALUATION_BATCH_SIZE, HeldOut, Score, classify};
pub use interchange::{
    CheckpointError, CopyError, ExportError, ExportReport, ImportError, ImportNote, ImportOptions,
    ImportPlan, ImportProgress, ImportSummary, ImportedTopologyError, NamePattern, NameProblem,
    NumbersTold, Odd, ParsePatternError, PatternSuggestions, TransposeError, TransposeGlobs,
    export, import,
};
#[cfg(feature = "burn-train")]
pub use learner::LearnerMetrics;
pub use model::{
    Activation, Convolutions, ImageShape, LayerOutput, LayerParameters, Loss, ModelError, Network,
    NetworkConfig, NetworkParameters, ParseImageShapeError, to_rows,
};
pub use optimizer::{RecordedOptimizer, SharedRecorder};
pub use precision::Precision;
pub use rebuild::RebuildError;
pub use recording::{
    ActivationDetail, AdamMoments, CHANNEL_CAPTURES, ClipsGradients, DEFAULT_ACTIVATION_SAMPLES,
    DEFAULT_MAX_OVERHEAD, KeepsMoments, LayerSelection, Limits, MIN_CHANNEL_BYTES, MaxOverhead,
    ModuleError, OnError, OtherModuleError, ParseMaxOverheadError, ParsePhasesError, Phases,
    RecordError, RecordSummary, Recorded, SelectLayersError, StartError, TooManyActivationsError,
    TraceRecorder, TraceRecorderBuilder, WeightDetail, WhenFull,
};
pub use replay::{Difference, ReplayError, ReplayReport, replay, replay_with_data};
pub use resume::{JOIN_TIMEOUT, ResumeError};
pub use schedule::{ParseScheduleError, Schedule, UnreachableEpochError};
pub use session::{
    DEFAULT_ROOT, EpochProgress, SessionError, SessionObserver, SessionOptions, SessionSummary,
    train,
};
pub use training::{
    CancelToken, EpochOutcome, EpochReport, MAX_BATCH_SIZE, TrainConfig, TrainConfigError,
    TrainError, Trainer,
};

/// The program and version in the `run.json` of a run.
const CREATED_BY: &str = concat!("stratigraph recorder ", env!("CARGO_PKG_VERSION"));

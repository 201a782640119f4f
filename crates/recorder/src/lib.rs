//! Trains networks with Burn and records them while they train.
//!
//! [`TraceRecorder`] is what a training loop that exists already records itself with: any module, on
//! any backend. [`train`] is a whole session of our own: data set, network, training loop, held-out
//! evaluation, and a [`TraceRecorder`] that the loop hands tensor handles to. [`replay`] goes the
//! other way: it rebuilds a network from its trace and shows that it is the one that was recorded.
//! [`ablate`] rebuilds one to silence some of its neurons, and measures what it loses.
//!
//! It knows Burn. What any recorder needs, whatever the framework, is in the crate `capture`, of which
//! users of this one find here what they need. It knows nothing of queries.

mod ablation;
mod dataset;
mod device;
mod evaluation;
#[cfg(feature = "burn-train")]
mod learner;
mod model;
mod optimizer;
mod read_back;
mod rebuild;
mod recording;
mod replay;
mod session;
#[cfg(test)]
mod testing;
mod training;

pub use ablation::{AblateError, AblationProgress, AblationReport, ablate};
pub use capture::{
    AblationError, AblationFindings, AblationMetric, AblationOptions, ChosenNeurons, DEFAULT_DRAWS,
    Figure, LayerNeurons, NeuronsError, Predicted, SampleGroup, Silencing, SilencingError,
};
pub use capture::{
    ActivationDetail, CHANNEL_CAPTURES, CancelToken, CaptureChoice, Change, CheckpointError,
    CheckpointLibrary, Classifications, CopyError, DEFAULT_ACTIVATION_SAMPLES,
    DEFAULT_MAX_OVERHEAD, DEFAULT_SAVE_INTERVAL, ExportError, ExportReport, ImportError,
    ImportNote, ImportOptions, ImportPlan, ImportProgress, ImportSummary, ImportedTopologyError,
    JOIN_TIMEOUT, LayerParameters, LayerSelection, LibraryCheckpoint, LibraryError, LibraryTensor,
    Limits, Loss, MIN_CHANNEL_BYTES, MaxOverhead, NamePattern, NameProblem, NumberSource, Odd,
    OnError, ParseMaxOverheadError, ParsePatternError, ParsePhasesError, ParseSaveEveryError,
    ParseScheduleError, PatternSuggestions, Phases, Precision, ReadCaptureError, ReadStateError,
    RecordError, RecordSummary, Recorded, RecordedNumbers, ResumeError, SaveEvery, Schedule, Score,
    SelectLayersError, TargetRows, Targets, TooManyActivationsError, TransposeError,
    TransposeGlobs, UnreachableEpochError, WeightDetail, WhenFull, classify, export, import,
};
pub use dataset::{
    ALL_TEXTS, DEFAULT_HELD_OUT_SHARE, DataPlace, Dataset, DatasetError, DatasetKind,
    DatasetSource, DatasetSpec, FileFormat, FileSpec, HeldOutRule, MAX_INFERRED_CLASSES, Missing,
    Place, Samples, Scale, Task,
};
pub use device::{
    AdapterKind, CudaError, CudaPart, DeviceChoice, DeviceError, ParseDeviceError, Resolution,
    ResolvedDevice, VulkanAdapter, VulkanDevice, VulkanError,
};
pub use evaluation::{DEFAULT_EVALUATION_BATCH_SIZE, HeldOut};
#[cfg(feature = "burn-train")]
pub use learner::LearnerMetrics;
pub use model::{
    Activation, Convolutions, ImageShape, LayerOutput, ModelError, Network, NetworkConfig,
    NetworkParameters, ParseImageShapeError,
};
pub use optimizer::{RecordedOptimizer, SharedRecorder};
pub use rebuild::RebuildError;
pub use recording::{
    AdamMoments, ClipsGradients, KeepsMoments, ModuleError, OtherModuleError, Recordable,
    StartError, TraceRecorder, TraceRecorderBuilder,
};
pub use replay::{Difference, ReplayError, ReplayReport, replay, replay_with_data};
pub use session::{
    DEFAULT_ROOT, EpochProgress, SessionError, SessionObserver, SessionOptions, SessionSummary,
    train,
};
pub use sink::{Compress, MaxPartBytes, OnCommit};
pub use training::{
    EpochOutcome, EpochReport, MAX_BATCH_SIZE, TrainConfig, TrainConfigError, TrainError, Trainer,
};

/// The program and version in the `run.json` of a run.
const CREATED_BY: &str = concat!("stratigraph recorder ", env!("CARGO_PKG_VERSION"));

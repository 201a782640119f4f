//! What every recorder needs, whatever the framework that trains.
//!
//! A recorder of a framework makes a [`Source`] of what a capture needs of a network, and a [`Recording`]
//! does the rest: which captures are due ([`Schedule`]) and taken ([`Limits`]), the hand-off to a thread of
//! its own, rows and statistics, the sink, and how it ends ([`RecordSummary`]). [`resume()`] goes on with a
//! run that is there. [`import`] makes a run of other frameworks' checkpoints, [`export`] a checkpoint of any
//! run's capture, and [`cli`] has both as verbs. An [`AblationPlan`] says which neurons of a network are
//! silenced, and an [`Ablation`] what it loses by that.
//!
//! It knows the trace's format and the sink. It knows nothing of Burn or any other framework that trains,
//! and nothing of queries.

mod ablation;
mod cancel;
mod capture_files;
pub mod cli;
mod evaluation;
mod histogram;
mod interchange;
mod layout;
mod part_size;
mod precision;
mod random;
mod recording;
mod resume;
pub mod rows;
mod saved_state;
mod schedule;
mod statistics;
mod sync;

pub use ablation::{
    Ablation, AblationError, AblationFindings, AblationMetric, AblationOptions, AblationPlan,
    ChosenNeurons, DEFAULT_DRAWS, Figure, Judged, LayerNeurons, NeuronsError, Predicted,
    SampleGroup, Silencing, SilencingError, UnitSet, neurons_by_layer,
};
pub use cancel::CancelToken;
pub use capture_files::{CaptureChoice, CaptureFiles, ReadCaptureError, RecordedNumbers};
pub use evaluation::{
    Classifications, Logits, Loss, Score, Spread, Sums, TargetRows, Targets, check_targets,
    classify, target_classes,
};
pub use interchange::{
    CheckpointError, CheckpointLibrary, CopyError, ExportError, ExportReport, ImportError,
    ImportNote, ImportOptions, ImportPlan, ImportProgress, ImportSummary, ImportedTopologyError,
    LibraryCheckpoint, LibraryError, LibraryTensor, NamePattern, NameProblem, NumberSource, Odd,
    ParsePatternError, PatternSuggestions, TAP, TransposeError, TransposeGlobs, conventional_name,
    export, export_recorded, import,
};
pub use layout::{Layout, UnitRows, transpose};
pub use part_size::{PartSizeError, SMALLEST_PART_BYTES, checked_part_size, parse_part_size};
pub use precision::Precision;
pub use random::{HostRng, Purpose};
pub use recording::{
    ActivationDetail, BoxError, CHANNEL_CAPTURES, Change, DEFAULT_ACTIVATION_SAMPLES,
    DEFAULT_MAX_OVERHEAD, Decision, INITIAL, LayerSelection, Limits, MIN_CHANNEL_BYTES,
    MaxOverhead, NetworkLayers, OnError, Origin, ParseMaxOverheadError, ParsePhasesError, PartOf,
    Phases, Plan, RecordError, RecordSummary, Recorded, Recording, SelectLayersError, Source,
    State, TensorKind, TooManyActivationsError, UnreadPart, Values, WeightDetail, WhenFull,
    choose_units,
};
pub use resume::{
    DataRules, JOIN_TIMEOUT, ResumeError, Resumption, check_resumable, join, resume, resume_after,
};
pub use rows::Metric;
pub use saved_state::{
    Cadence, DEFAULT_SAVE_INTERVAL, LayerParameters, ParseSaveEveryError, ReadStateError,
    SaveEvery, SavedState, StateTensor,
};
pub use schedule::{ParseScheduleError, Schedule, UnreachableEpochError};

//! Checkpoints of other frameworks: safetensors in, safetensors out, by PyTorch's names and layouts. Other
//! formats come in by a [`CheckpointLibrary`] of the caller's.
//!
//! [`import`] makes a run of a series of checkpoints, one capture each; [`export`] writes a capture
//! of any run as a checkpoint. Both go tensor by tensor: neither holds a whole checkpoint.

mod checkpoint;
mod export;
mod import;
mod layers;
mod names;
mod pattern;
mod tensor_name;
#[cfg(test)]
pub(crate) mod testing;
mod units;
mod values;

pub use checkpoint::{
    CheckpointError, CheckpointLibrary, LibraryCheckpoint, LibraryError, LibraryTensor,
};
pub use export::{ExportError, ExportReport, TAP, conventional_name, export, export_recorded};
pub use import::{
    CopyError, ImportError, ImportNote, ImportOptions, ImportPlan, ImportProgress, ImportSummary,
    Odd, import,
};
pub use layers::ImportedTopologyError;
pub use names::{NameProblem, NumberSource, PatternSuggestions};
pub use pattern::{NamePattern, ParsePatternError};
pub use units::{TransposeError, TransposeGlobs};

//! Checkpoints of other frameworks: safetensors in, safetensors out, by PyTorch's names and layouts.
//!
//! [`import`] makes a run of a series of checkpoints, one capture each; [`export`] writes a capture
//! of any run as a checkpoint. Both go tensor by tensor: neither holds a whole checkpoint.

mod checkpoint;
mod export;
mod import;
mod layers;
mod pattern;
#[cfg(test)]
mod testing;
mod values;

pub use checkpoint::CheckpointError;
pub use export::{ExportError, ExportReport, export};
pub use import::{CopyError, ImportError, ImportOptions, ImportProgress, ImportSummary, import};
pub use layers::ImportedTopologyError;
pub use pattern::{NamePattern, ParsePatternError};

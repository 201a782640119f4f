//! The verbs that need no framework, as functions over parsed arguments: `import` and `export`; and what
//! other verbs of a recorder share with them.

mod epoch;
mod export;
mod import;
mod next;

pub use epoch::{ChosenEpoch, HELP as EPOCH_HELP};
pub use export::{ExportArgs, run as export};
pub use import::{ImportArgs, run as import};
pub use next::write as write_next_steps;

/// How a verb ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its result, to be printed.
    pub text: String,
    /// Whether it was cancelled before its end.
    pub is_interrupted: bool,
}

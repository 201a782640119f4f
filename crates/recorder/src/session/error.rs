//! Why a session failed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use capture::{
    RecordError, ResumeError, SelectLayersError, TooManyActivationsError, UnreachableEpochError,
};
use trace::{CreateRunError, RunDir};

use crate::dataset::DatasetError;
use crate::device::DeviceError;
use crate::training::TrainError;

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The data cannot be had.
    #[error(transparent)]
    Dataset(#[from] DatasetError),
    /// The device cannot be had.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// Training cannot begin or go on.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A trace cannot hold what is to be recorded.
    #[error(transparent)]
    TooManyActivations(#[from] TooManyActivationsError),
    /// The layers to record make no sense.
    #[error(transparent)]
    Layers(#[from] SelectLayersError),
    /// The schedule names an epoch that there is not.
    #[error(transparent)]
    Schedule(#[from] UnreachableEpochError),
    /// The run cannot be created.
    #[error(transparent)]
    CreateRun(#[from] CreateRunError),
    /// Training failed while it was recorded. The recording was ended: what was captured before is
    /// committed, unless that failed as well.
    #[error("training failed while it was recorded into {}{}", run.display(), why_not_kept(recording))]
    TrainRecorded {
        /// The run.
        run: PathBuf,
        /// Why training cannot go on.
        source: TrainError,
        /// Why not everything that was captured is committed, where that is so.
        recording: Option<Arc<RecordError>>,
    },
    /// The run cannot be gone on with, or joined.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// A run that is gone on with, or that several processes record, has no directory.
    #[error("name the run's directory: there is no default for one that is resumed or shared")]
    NoDirectory,
    /// The operating system has no randomness for the run's name.
    #[error("cannot draw a name for the run")]
    Nonce(#[source] std::io::Error),
    /// Recording failed, and training was stopped.
    #[error("recording into {} failed, training was stopped", run.display())]
    Record {
        /// The run.
        run: PathBuf,
        /// What went wrong.
        source: RecordError,
    },
}

impl SessionError {
    /// The run that was being recorded, of which a part may be safe on disk.
    pub fn run(&self) -> Option<&Path> {
        match self {
            Self::Record { run, .. } | Self::TrainRecorded { run, .. } => Some(run),
            _ => None,
        }
    }
}

/// The failure of a recording, with its causes, as a part of another error's message.
fn why_not_kept(recording: &Option<Arc<RecordError>>) -> String {
    let Some(error) = recording else {
        return String::new();
    };
    format!(
        ", and not all of it could be kept ({})",
        error.with_causes()
    )
}

/// The failure of a recording, with the run.
pub(super) fn record_error(run: &RunDir, source: RecordError) -> SessionError {
    SessionError::Record {
        run: run.path().to_owned(),
        source,
    }
}

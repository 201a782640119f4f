//! Why there is no picture.

use sql::{AskError, NotFinite, QueryError};
use trace::DerivedError;

use crate::chart::DrawError;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The run could not be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// What was worked out from the run before cannot be read.
    #[error(transparent)]
    Derived(#[from] DerivedError),
    /// What the picture shows was not recorded.
    #[error("{kind} draws {what}, of which this run has none: {remedy}")]
    NotRecorded {
        /// The picture.
        kind: &'static str,
        /// What it draws.
        what: String,
        /// What can be done.
        remedy: String,
    },
    /// It was recorded, but not of this epoch or layer.
    #[error("{kind} draws {what}, which this run has of epochs {first} to {last}, not of {epoch}")]
    NotOfEpoch {
        /// The picture.
        kind: &'static str,
        /// What it draws.
        what: String,
        /// The epoch that was asked for.
        epoch: i64,
        /// The first epoch that there is.
        first: i32,
        /// The last epoch that there is.
        last: i32,
    },
    /// It was recorded, but training had diverged.
    #[error("{kind} has nothing to draw: {reason}; training has diverged")]
    NotFinite {
        /// The picture.
        kind: &'static str,
        /// What is not finite, and since when.
        reason: NotFinite,
    },
    /// The picture could not be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
}

impl PlotError {
    /// Whether the run, or the epoch that was asked for, has nothing of what the picture shows.
    pub(crate) fn is_nothing_to_draw(&self) -> bool {
        use PlotError::{NotFinite, NotOfEpoch, NotRecorded};
        matches!(
            self,
            NotRecorded { .. } | NotOfEpoch { .. } | NotFinite { .. }
        )
    }
}

impl AskError for PlotError {
    fn is_of_bad_file(&self) -> bool {
        match self {
            PlotError::Query(error) => error.is_of_bad_file(),
            PlotError::Derived(error) => matches!(error, DerivedError::BadFile(_)),
            _ => false,
        }
    }
}

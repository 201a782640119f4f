//! Why there is no report.

use sql::{AskError, QueryError};
use studies::StructureError;

use crate::plot::PlotError;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run could not be asked.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A picture could not be made.
    #[error(transparent)]
    Plot(#[from] PlotError),
    /// The structures could not be read.
    #[error(transparent)]
    Structures(#[from] StructureError),
}

pub(super) type Result<T> = std::result::Result<T, ReportError>;

impl AskError for ReportError {
    fn is_of_bad_file(&self) -> bool {
        match self {
            ReportError::Query(error) => error.is_of_bad_file(),
            ReportError::Plot(error) => error.is_of_bad_file(),
            ReportError::Structures(error) => error.is_of_bad_file(),
        }
    }
}

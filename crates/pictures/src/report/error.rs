//! Why there is no report.

use sql::QueryError;
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

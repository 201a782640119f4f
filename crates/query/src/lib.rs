//! Pictures of a run, and the report.

pub mod allocator;
pub mod chart;
mod plot;
mod report;

pub use plot::{Picture, PlotError, PlotKind};
pub use report::{Grid, Part, Reload, Report, ReportError, ReportOptions, Section};

//! Pictures of a run, and the report: what queries and studies say, as charts and pages.
//!
//! It knows what a picture shows and how it is drawn. It knows nothing of how a query is planned or read,
//! nor of where a page is kept and who follows a run: that is the program's.
//!
//! A [`PlotKind`] is a picture that is asked for often; it makes a [`chart::Chart`], which is drawn as
//! SVG, PNG or a page. A [`Report`] tells a whole run on one page, [`info`] what it is in a few lines.

pub mod chart;
mod info;
mod plot;
mod report;

pub use info::info;
pub use plot::{Picture, PlotError, PlotKind};
pub use report::{Grid, Part, Reload, Report, ReportError, ReportOptions, Section};

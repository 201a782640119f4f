//! Where a report's answers come from, and what a run cannot answer.

use arrow::array::RecordBatch;
use sql::{QueryError, QuerySession};
use studies::StructureError;

use super::ReportOptions;
use super::error::{ReportError, Result};
use crate::chart::{BETWEEN, html::Frame};
use crate::plot::rows::collected;
use crate::plot::{self, PlotError, PlotKind};

/// What a run answered, or why it cannot.
pub(super) type Answer<T> = std::result::Result<T, Refusal>;

/// A picture at one or several epochs, or why there is none.
pub(super) type Film = Answer<Vec<Frame>>;

/// Why something cannot be had of this run, as of too few or too many neurons.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal(pub(super) String);

/// Where a report's answers come from.
pub(super) struct Source<'a> {
    pub(super) session: &'a QuerySession,
    pub(super) options: &'a ReportOptions,
    /// The epochs that a slider chooses among.
    pub(super) frames: Vec<i32>,
}

impl Source<'_> {
    /// All rows of a named query.
    pub(super) async fn named(
        &self,
        name: &str,
        arguments: &[(&str, &str)],
    ) -> Result<RecordBatch> {
        let rows = self.session.named(name, &owned(arguments)).await?;
        Ok(collected(rows).await?)
    }

    /// All rows that SQL gives.
    pub(super) async fn sql(&self, sql: &str) -> Result<RecordBatch> {
        Ok(collected(self.session.sql(sql).await?).await?)
    }

    /// A picture of the whole run, or why there is none.
    pub(super) async fn picture(&self, kind: PlotKind, arguments: &[(&str, &str)]) -> Result<Film> {
        let chart = kind.chart(self.session, &owned(arguments)).await;
        self.drawn(chart.map(|chart| vec![Frame { at: 0, chart }]))
    }

    /// A picture of each of the slider's epochs of which there is one, or why there is none.
    pub(super) async fn film(&self, kind: PlotKind, arguments: &[(&str, &str)]) -> Result<Film> {
        if self.frames.is_empty() {
            return self.picture(kind, arguments).await;
        }
        let arguments = owned(arguments);
        let film = kind.film(self.session, &arguments, &self.frames);
        self.drawn(film.await)
    }

    fn drawn(&self, drawn: std::result::Result<Vec<Frame>, PlotError>) -> Result<Film> {
        let mut frames = match answer(drawn.map_err(ReportError::from))? {
            Ok(frames) => frames,
            Err(refusal) => return Ok(Err(refusal)),
        };
        for Frame { chart, .. } in &mut frames {
            // Which run it is stands at the top of the report.
            let told = chart.subtitle.strip_prefix(&plot::of_run(self.session));
            let told = told.map(|rest| rest.strip_prefix(BETWEEN).unwrap_or(rest));
            chart.subtitle = told.unwrap_or(&chart.subtitle).to_owned();
        }
        Ok(Ok(frames))
    }

    /// The name of a class, or its number.
    pub(super) fn class_name(&self, class: i64) -> String {
        self.session.info().class_name(class)
    }

    /// Whether the run knows which classes there are.
    pub(super) fn has_classes(&self) -> bool {
        !self.session.info().class_names.is_empty()
    }
}

/// What was answered, or why that cannot be had of this run.
///
/// # Errors
/// Any other error: what cannot be read ends a report.
pub(super) fn answer<T>(asked: Result<T>) -> Result<Answer<T>> {
    let error = match asked {
        Ok(answer) => return Ok(Ok(answer)),
        Err(error) => error,
    };
    let query = match &error {
        ReportError::Plot(error) if error.is_nothing_to_draw() => None,
        ReportError::Query(query)
        | ReportError::Plot(PlotError::Query(query))
        | ReportError::Structures(StructureError::Query(query)) => Some(query),
        _ => return Err(error),
    };
    match query {
        None
        | Some(
            QueryError::BadParameter { .. }
            | QueryError::Mistake(_)
            | QueryError::Execution(_)
            | QueryError::Resources(_),
        ) => Ok(Err(Refusal(error.to_string()))),
        Some(_) => Err(error),
    }
}

fn owned(arguments: &[(&str, &str)]) -> Vec<(String, String)> {
    let arguments = arguments.iter();
    arguments
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

//! A report: what was trained, how it learned, which neurons became what and when, what silencing them
//! does and what recording cost, as one page that needs no network.
//!
//! A section asks the run a few questions and makes parts of the answers: text, tables, and the charts
//! of [`crate::plot`]. What was not recorded is said in place of what it would have shown. How parts
//! become a page is [`page`]'s business.

mod cost;
mod layers;
mod learned;
mod mistakes;
mod neurons;
mod page;
mod silenced;
mod trained;

use analysis::spread;
use arrow::array::RecordBatch;
use sql::{QueryError, QuerySession};
use studies::StructureError;
use trace::RunInfo;

use crate::chart::{BETWEEN, Chart, html::Frame};
use crate::plot::rows::collected;
use crate::plot::{self, PlotError, PlotKind};

pub use page::Reload;

/// How much of a run a report shows.
#[derive(Debug, Clone)]
pub struct ReportOptions {
    /// Where a picture is of one epoch, how many epochs a slider chooses among: evenly among those that
    /// were captured, the first and the last always.
    pub epochs: usize,
    /// How many permutations chance is judged by.
    pub permutations: u32,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self {
            epochs: 25,
            permutations: 199,
        }
    }
}

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

type Result<T> = std::result::Result<T, ReportError>;

/// What a run's report says.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The run's name.
    pub title: String,
    /// The run in a few sentences.
    pub lead: String,
    /// The run in a few figures: what it is, and the figure.
    pub figures: Vec<(String, String)>,
    /// From top to bottom.
    pub sections: Vec<Section>,
}

/// One question about a run, and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// What it is about.
    pub heading: &'static str,
    /// From top to bottom.
    pub parts: Vec<Part>,
    /// What to type to know more, after `query `; `RUN` stands for the run.
    pub commands: Vec<&'static str>,
}

/// A part of a section.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A paragraph.
    Text(String),
    /// A table.
    Grid(Grid),
    /// A picture, at one or several epochs.
    Film(Vec<Frame>),
    /// Why there is no such part.
    Missing(String),
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// What it shows.
    pub caption: String,
    /// The columns' names.
    pub columns: Vec<&'static str>,
    /// As many cells a row as there are columns.
    pub rows: Vec<Vec<String>>,
}

impl Part {
    fn text(text: impl Into<String>) -> Self {
        Part::Text(text.into())
    }

    fn grid(caption: impl Into<String>, columns: &[&'static str], rows: Vec<Vec<String>>) -> Self {
        Part::Grid(Grid {
            caption: caption.into(),
            columns: columns.to_vec(),
            rows,
        })
    }
}

impl Section {
    /// What was trained, as `run.json` tells it, and how, as its newest session was told.
    pub fn what_was_trained(info: &RunInfo, config: &serde_json::Value) -> Self {
        trained::section(info, config)
    }
}

impl Report {
    /// Asks a run for everything that its report says. `at` is told each section as it begins.
    ///
    /// # Errors
    /// If nothing was captured yet, or the run cannot be read.
    pub async fn of(
        session: &QuerySession,
        options: &ReportOptions,
        mut at: impl FnMut(&'static str),
    ) -> Result<Self> {
        if session.is_empty() {
            return Err(QueryError::NothingCaptured.into());
        }
        let source = Source {
            session,
            options,
            frames: spread(&session.captured_epochs(), options.epochs),
        };
        let path = session.run().path();
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = path.file_name().unwrap_or(path.as_os_str());
        let curve = learned::Curve::of(&source).await?;
        let diverged = session.all_not_finite().await?;
        let mut sections = Vec::new();
        at(trained::HEADING);
        let config = session.run().config();
        sections.push(trained::section(session.info(), config));
        at(learned::HEADING);
        sections.push(learned::section(&source).await?);
        at(layers::HEADING);
        sections.push(layers::section(&source).await?);
        at(neurons::HEADING);
        sections.push(neurons::section(&source).await?);
        at(silenced::HEADING);
        sections.push(silenced::section(&source).await?);
        at(mistakes::HEADING);
        sections.push(mistakes::section(&source).await?);
        at(cost::HEADING);
        let (cost, on_disk) = cost::section(&source).await?;
        sections.push(cost);
        Ok(Self {
            title: name.to_string_lossy().into_owned(),
            lead: trained::lead(&source, &curve) + &trained::told_diverged(&diverged),
            figures: trained::figures(&source, &curve, on_disk),
            sections,
        })
    }
}

/// Where a report's answers come from.
struct Source<'a> {
    session: &'a QuerySession,
    options: &'a ReportOptions,
    /// The epochs that a slider chooses among.
    frames: Vec<i32>,
}

impl Source<'_> {
    /// All rows of a named query.
    async fn named(&self, name: &str, arguments: &[(&str, &str)]) -> Result<RecordBatch> {
        let rows = self.session.named(name, &owned(arguments)).await?;
        Ok(collected(rows).await?)
    }

    /// All rows that SQL gives.
    async fn sql(&self, sql: &str) -> Result<RecordBatch> {
        Ok(collected(self.session.sql(sql).await?).await?)
    }

    /// A picture of the whole run, or why there is none.
    async fn picture(&self, kind: PlotKind, arguments: &[(&str, &str)]) -> Result<Part> {
        let chart = kind.chart(self.session, &owned(arguments)).await;
        self.part(chart.map(|chart| vec![Frame { at: 0, chart }]))
    }

    /// A picture of each of the slider's epochs of which there is one, or why there is none.
    async fn film(&self, kind: PlotKind, arguments: &[(&str, &str)]) -> Result<Part> {
        if self.frames.is_empty() {
            return self.picture(kind, arguments).await;
        }
        let arguments = owned(arguments);
        let film = kind.film(self.session, &arguments, &self.frames);
        self.part(film.await)
    }

    fn part(&self, drawn: std::result::Result<Vec<Frame>, PlotError>) -> Result<Part> {
        match drawn {
            Ok(mut frames) => {
                for Frame { chart, .. } in &mut frames {
                    // Which run it is stands at the top of the report.
                    let told = chart.subtitle.strip_prefix(&plot::of_run(self.session));
                    let told = told.map(|rest| rest.strip_prefix(BETWEEN).unwrap_or(rest));
                    chart.subtitle = told.unwrap_or(&chart.subtitle).to_owned();
                }
                Ok(Part::Film(frames))
            }
            Err(error) => refused(error.into()),
        }
    }

    /// The name of a class, or its number.
    fn class_name(&self, class: i64) -> String {
        self.session.info().class_name(class)
    }
}

/// What stands in place of a part that cannot be had of this run, as of too few or too many neurons.
///
/// # Errors
/// The error, if it is another one: what cannot be read ends a report.
fn refused(error: ReportError) -> Result<Part> {
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
        ) => Ok(Part::Missing(error.to_string())),
        Some(_) => Err(error),
    }
}

/// Parts, or what stands in their place.
fn or_missing(parts: Result<impl IntoIterator<Item = Part>>) -> Result<Vec<Part>> {
    match parts {
        Ok(parts) => Ok(parts.into_iter().collect()),
        Err(error) => Ok(vec![refused(error)?]),
    }
}

/// A picture with what introduces it, which stands beside nothing else.
fn introduced(text: impl Into<String>, picture: Part) -> Vec<Part> {
    match picture {
        Part::Film(_) => vec![Part::text(text), picture],
        picture => vec![picture],
    }
}

fn owned(arguments: &[(&str, &str)]) -> Vec<(String, String)> {
    let arguments = arguments.iter();
    arguments
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// A picture that does not change with the epoch.
fn still(chart: Chart) -> Part {
    Part::Film(vec![Frame { at: 0, chart }])
}

/// `1 epoch`, `2 epochs`.
fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{} {noun}s", grouped(count)),
    }
}

/// A whole number with its thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `91.6 %`.
fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// A p-value as it is told.
fn p_value(p: Option<f64>) -> String {
    p.map_or_else(|| "–".to_owned(), |p| format!("{p:.3}"))
}

/// Parts of a sentence: `a`, `a and b`, `a, b and c`.
fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

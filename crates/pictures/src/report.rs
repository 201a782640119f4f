//! A report: what was trained, how it learned, which neurons became what and when, what silencing them
//! does and what recording cost, as one page that needs no network.
//!
//! A section is two files: one asks the run a few questions and makes data of the answers, its `told`
//! makes parts of the data: text, tables, and the charts of [`crate::plot`]. What was not recorded is said
//! in place of what it would have shown. How parts become a page is [`page`]'s business.

mod answers;
mod cost;
mod error;
mod layers;
mod learned;
mod mistakes;
mod neurons;
mod page;
mod prose;
mod section;
mod silenced;
mod trained;

use analysis::spread;
use sql::{QueryError, QuerySession};

use answers::Source;
use error::Result;

pub use error::ReportError;
pub use page::Reload;
pub use section::{Grid, Part, Section};

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
        let info = session.info();
        let num_captured = session.captured_epochs().len();
        Ok(Self {
            title: name.to_string_lossy().into_owned(),
            lead: trained::lead(info, &curve) + &trained::describe_diverged(&diverged),
            figures: trained::figures(info, num_captured, &curve, on_disk),
            sections,
        })
    }
}

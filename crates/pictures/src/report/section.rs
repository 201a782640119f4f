//! What a report is made of: sections, and their parts.

use super::answers::{Answer, Film};
use crate::chart::{Chart, html::Frame};

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
    pub(super) fn text(text: impl Into<String>) -> Self {
        Part::Text(text.into())
    }

    pub(super) fn missing(why: impl Into<String>) -> Self {
        Part::Missing(why.into())
    }

    pub(super) fn grid(
        caption: impl Into<String>,
        columns: &[&'static str],
        rows: Vec<Vec<String>>,
    ) -> Self {
        Part::Grid(Grid {
            caption: caption.into(),
            columns: columns.to_vec(),
            rows,
        })
    }

    /// A picture, or why there is none.
    pub(super) fn film(film: Film) -> Self {
        match film {
            Ok(frames) => Part::Film(frames),
            Err(refusal) => Part::Missing(refusal.0),
        }
    }

    /// A picture that does not change with the epoch.
    pub(super) fn still(chart: Chart) -> Self {
        Part::Film(vec![Frame { at: 0, chart }])
    }
}

/// What is said of an answer, or why there is none.
pub(super) fn parts_of<T, P>(answer: Answer<T>, say: impl FnOnce(T) -> P) -> Vec<Part>
where
    P: IntoIterator<Item = Part>,
{
    match answer {
        Ok(answer) => say(answer).into_iter().collect(),
        Err(refusal) => vec![Part::Missing(refusal.0)],
    }
}

/// A picture with what introduces it, which stands beside nothing else.
pub(super) fn introduced(text: impl Into<String>, film: Film) -> Vec<Part> {
    match film {
        Ok(frames) => vec![Part::text(text), Part::Film(frames)],
        Err(refusal) => vec![Part::Missing(refusal.0)],
    }
}

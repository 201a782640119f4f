//! What can be wrong with data.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::{DatasetKind, FileFormat};

/// Why a data set cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// No such data set is built in, nor is it a file's format.
    #[error(
        "there is no data set {0:?}: name one of {names}, or a file, as csv:iris.csv, \
         parquet:iris.parquet or idx:mnist{hint}",
        names = DatasetKind::ALL.map(DatasetKind::as_str).join(", "),
        hint = with_format(.0)
    )]
    UnknownKind(String),
    /// What was asked for does not go together.
    #[error("{0}")]
    Options(String),
    /// A line of built-in data cannot be read.
    #[error("line {line} of {file}: {problem}")]
    Malformed {
        /// The file.
        file: &'static str,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// No sample would be drawn.
    #[error("an epoch of the notebook's data needs at least one sample: give a batch size above 0")]
    NoSamples,
    /// A file cannot be read.
    #[error("cannot read the data {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file that a run's data was read from cannot be read, and none with the same bytes was found
    /// about the run.
    #[error(
        "cannot read the data {}, and found no file of its name and checksum near the run or here: \
         --data FILE says where it is now",
        file.display()
    )]
    Moved {
        /// The file.
        file: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// A file says something that cannot be learned from.
    #[error("{}{}{}: {problem}", file.display(), after_comma(place), in_column(column))]
    Refused {
        /// The file.
        file: PathBuf,
        /// Where in the file, if it is one place.
        place: Option<Place>,
        /// The column, where there are columns.
        column: Option<String>,
        /// What is wrong there, and what to do.
        problem: String,
    },
    /// The data set is there, but it is not the one that was described.
    #[error(
        "the data set {name} is not the one that was recorded: its {field} is {found}, the run says {expected}{advice}"
    )]
    Changed {
        /// The data set's name, or its file.
        name: String,
        /// What differs.
        field: &'static str,
        /// What it is now.
        found: String,
        /// What it was.
        expected: String,
        /// What to do, where something can be done.
        advice: &'static str,
    },
}

/// A place in a file of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of a text, from 1.
    Line(u64),
    /// A row, or a sample, from 0.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(row) => write!(f, "row {row} (from 0)"),
        }
    }
}

/// The file that somebody may have meant who left out what it is, as a part of a sentence.
fn with_format(text: &str) -> String {
    const ENDINGS: [(&str, FileFormat); 5] = [
        (".csv", FileFormat::Csv),
        (".tsv", FileFormat::Csv),
        (".txt", FileFormat::Csv),
        (".parquet", FileFormat::Parquet),
        ("ubyte", FileFormat::Idx),
    ];
    let name = text.to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let meant = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
    let meant = meant.map(|(_, format)| format!("{}:{text}", format.as_str()));
    words::did_you_mean(meant.as_deref())
}

fn after_comma(place: &Option<Place>) -> String {
    place.map(|p| format!(", {p}")).unwrap_or_default()
}

fn in_column(column: &Option<String>) -> String {
    column
        .as_ref()
        .map(|c| format!(", column {c:?}"))
        .unwrap_or_default()
}

//! What can go wrong with a run that is opened, and with a query, told apart by whom it is up to.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use trace::{BadFileError, OpenRunError, ReadCommitsError};
use words::did_you_mean;

/// Why a run could not be opened for queries.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no run, or it cannot be understood.
    #[error(transparent)]
    Run(#[from] OpenRunError),
    /// Its commits cannot be read or trusted.
    #[error(transparent)]
    Commits(#[from] ReadCommitsError),
    /// Its commits are gone, and there are files that come after commits alone: an answer would be that nothing was
    /// recorded.
    #[error(
        "{} has no commits, and there are files, as {example}: nobody can tell what belongs to the run; bring its \
         commits back, or have `sink repair` make some of what is whole",
        path.display()
    )]
    NoCommits {
        /// Where the commits should be.
        path: PathBuf,
        /// A file of a table, below the run's directory.
        example: String,
    },
    /// Another run is where it was.
    #[error(
        "another run is in {} now, created at {created}: what was recorded there before is gone; open it anew, \
         to ask the other one",
        path.display()
    )]
    Another {
        /// The directory.
        path: PathBuf,
        /// When that run was created, as it says.
        created: String,
    },
    /// A copy without commits could not be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The run cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing was committed yet, so that every table is empty.
    #[error("the run has no committed capture yet")]
    NothingCaptured,
    /// The machine's clock is before 1970, from which DataFusion counts.
    #[error("the machine's clock says {0}, and queries need one that is after 1970: set it")]
    Clock(String),
    /// There is no named query of that name.
    #[error("there is no query {name:?}{instead} (queries: {names})")]
    UnknownQuery {
        /// What was asked for.
        name: String,
        /// What may be meant, as the end of the sentence; empty if nothing is like it.
        instead: String,
        /// Every name.
        names: String,
    },
    /// Nothing that SQL over a run can name has that name.
    #[error(
        "nothing is named {name:?}{} (`query list all` lists what there is)",
        did_you_mean(closest.as_deref())
    )]
    UnknownName {
        /// What was asked for.
        name: String,
        /// The name that comes closest.
        closest: Option<String>,
    },
    /// A named query has no such parameter.
    #[error(
        "{query} has no parameter {name:?}{} (parameters: {names})",
        did_you_mean(closest.as_deref())
    )]
    UnknownParameter {
        /// The query.
        query: &'static str,
        /// What was given.
        name: String,
        /// The name that comes closest.
        closest: Option<String>,
        /// Every name.
        names: String,
    },
    /// A parameter cannot have that value.
    #[error("parameter {name} {problem}")]
    BadParameter {
        /// The parameter.
        name: String,
        /// What is wrong, after the name.
        problem: String,
    },
    /// The query cannot be understood, or asks for what is not there.
    #[error("{0}")]
    Mistake(String),
    /// The query would change something.
    #[error("SQL over a run only reads: {0}")]
    ReadOnly(String),
    /// A file of the run is not what was committed.
    #[error("{0}")]
    BadFile(String),
    /// There is not enough memory, or not enough disk to spill to.
    #[error("this query needs more memory than it may use (`--memory` sets how much): {0}")]
    Resources(String),
    /// There was no answer in the time that the question may take.
    #[error(
        "no answer within {0:?}, and `--timeout` sets how long it may take: give it longer, or ask for less, as fewer \
         epochs, layers or permutations"
    )]
    TimedOut(Duration),
    /// The operating system refused, as where there is no space left to spill to.
    #[error("cannot read or write a file: {0}")]
    Io(String),
    /// The values do not allow it, as lists of different lengths.
    #[error("{0}")]
    Execution(String),
    /// Anything else: a defect.
    #[error("a defect in Stratigraph or DataFusion, please report it: {0}")]
    Internal(String),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match error {
            // Ours, on its way back from a table that is a named query.
            DataFusionError::External(inner) if inner.is::<QueryError>() => {
                *inner.downcast().expect("just asked")
            }
            error => classify(&error),
        }
    }
}

impl From<ArrowError> for QueryError {
    fn from(error: ArrowError) -> Self {
        DataFusionError::from(error).into()
    }
}

fn classify(error: &DataFusionError) -> QueryError {
    if let Some(bad) = cause::<BadFileError>(error) {
        return QueryError::BadFile(bad.to_string());
    }
    if let Some(own) = cause::<QueryError>(error) {
        return QueryError::Mistake(own.to_string());
    }
    let root = error.find_root();
    let message = root.message().trim().to_owned();
    match root {
        DataFusionError::SQL(parser, _) => QueryError::Mistake(parser.to_string()),
        DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_) => QueryError::Mistake(message),
        DataFusionError::ResourcesExhausted(_) => QueryError::Resources(without_settings(&message)),
        DataFusionError::IoError(error) => QueryError::Io(error.to_string()),
        DataFusionError::ArrowError(arrow, _) if matches!(**arrow, ArrowError::IoError(..)) => {
            QueryError::Io(message)
        }
        DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => {
            QueryError::Execution(message)
        }
        DataFusionError::ParquetError(_) => QueryError::BadFile(format!(
            "a file of the run cannot be decoded ({message}); `sink verify` lists every bad file"
        )),
        _ => QueryError::Internal(message),
    }
}

/// The first error of type `E` down the chain of causes, also through errors of Arrow, Parquet and
/// DataFusion that carry another as theirs.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = match error.downcast_ref::<DataFusionError>() {
            Some(DataFusionError::Shared(shared)) => Some(shared.as_ref()),
            Some(DataFusionError::External(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ParquetError(inner)) => Some(inner.as_ref()),
            Some(DataFusionError::ArrowError(inner, _)) => Some(inner.as_ref()),
            _ => match error.downcast_ref::<parquet::errors::ParquetError>() {
                Some(parquet::errors::ParquetError::External(inner)) => Some(inner.as_ref()),
                _ => match error.downcast_ref::<ArrowError>() {
                    Some(ArrowError::ExternalError(inner)) => Some(inner.as_ref()),
                    _ => error.source(),
                },
            },
        };
    }
    None
}

/// The text without the sentences that advise to set something of DataFusion's, which SQL over a
/// run cannot.
pub(crate) fn without_settings(text: &str) -> String {
    let sentences = text.split_inclusive(". ");
    let kept: String = sentences
        .filter(|sentence| !sentence.contains("datafusion."))
        .collect();
    kept.trim_end().to_owned()
}

#[cfg(test)]
mod tests;

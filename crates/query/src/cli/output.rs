//! Where rows go and how, as a command line says it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sql::output::Format;

use super::answer::Destination;
use super::usage::UsageError;

#[derive(Args)]
pub struct OutputArgs {
    /// How rows are written; by default as the suffix of FILE says, or as a table
    #[arg(long, value_parser = format_parser())]
    format: Option<Format>,
    /// Write to FILE (.txt, .csv, .json, .jsonl, .ndjson, .parquet or .arrow)
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE if it exists
    #[arg(long, requires = "output")]
    force: bool,
}

fn format_parser() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name))
        .map(|name| Format::from_name(&name).expect("one of the possible values"))
}

impl OutputArgs {
    /// Where rows go and how.
    ///
    /// # Errors
    /// If that makes no sense: a [`UsageError`].
    pub(super) fn destination(self) -> Result<Destination, UsageError> {
        let format = match (self.format, &self.output) {
            (Some(format), _) => format,
            (None, None) => Format::Table,
            (None, Some(path)) => Format::from_suffix(path).ok_or_else(|| {
                UsageError(format!(
                    "the suffix of {} names no format: give --format",
                    path.display()
                ))
            })?,
        };
        Ok(match self.output {
            Some(path) => Destination::File {
                path,
                format,
                replace: self.force,
            },
            None if format.is_binary() && io::stdout().is_terminal() => {
                return Err(UsageError(format!(
                    "{} is not written to a terminal: give -o FILE",
                    format.name()
                )));
            }
            None => Destination::Stdout { format },
        })
    }
}

//! `query list`: what SQL over a run can name.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::answer::print;

#[derive(Args)]
pub struct ListArgs {
    /// What is listed
    #[arg(value_enum, default_value_t = Listed::Queries)]
    what: Listed,
}

/// [`sql::Listed`], as words of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Listed {
    /// The named queries
    Queries,
    /// The tables of a run
    Tables,
    /// The functions, DataFusion's that we do not document aside
    Functions,
    /// All of them, with all of DataFusion's functions
    All,
}

pub(super) fn run(asked: ListArgs) -> anyhow::Result<ExitCode> {
    let what = match asked.what {
        Listed::Queries => sql::Listed::Queries,
        Listed::Tables => sql::Listed::Tables,
        Listed::Functions => sql::Listed::Functions,
        Listed::All => sql::Listed::All,
    };
    print(&sql::listed(what))?;
    Ok(ExitCode::SUCCESS)
}

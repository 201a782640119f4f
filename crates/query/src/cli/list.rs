//! `query list`: what SQL over a run can name.

use std::process::ExitCode;

use clap::Args;

use super::answer::print;
use super::describe::{self, Listed};

#[derive(Args)]
pub(super) struct ListArgs {
    /// What is listed
    #[arg(value_enum, default_value_t = Listed::Queries)]
    what: Listed,
}

pub(super) fn run(asked: ListArgs) -> anyhow::Result<ExitCode> {
    print(&describe::list(asked.what))?;
    Ok(ExitCode::SUCCESS)
}

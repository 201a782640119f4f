//! `query info`: what a run is, without a look at its captures' values.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::answer;
use super::session::open;

#[derive(Args)]
pub struct InfoArgs {
    /// The run's directory
    run: PathBuf,
}

pub(super) fn run(asked: InfoArgs) -> anyhow::Result<ExitCode> {
    let run = open(&asked.run)?;
    answer::print(&pictures::info(&run))?;
    Ok(ExitCode::SUCCESS)
}

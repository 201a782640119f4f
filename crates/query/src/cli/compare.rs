//! `query compare`: two runs side by side.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use studies::Epochs;

use super::answer::say;
use super::limits::LimitArgs;
use super::output::OutputArgs;
use super::session::{finish, open};

#[derive(Args)]
pub struct CompareArgs {
    /// A run's directory
    run: PathBuf,
    /// Another run's directory
    other: PathBuf,
    /// The epochs: `all`, `first`, `last` or a number, of those that both captured
    #[arg(long, default_value = "all")]
    epoch: Epochs,
    /// This layer alone; `first` and `last` are understood
    #[arg(long)]
    layer: Option<String>,
    /// Both held out the same samples in the same order, where they do not say so themselves
    #[arg(long)]
    same_samples: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) fn run(asked: CompareArgs) -> anyhow::Result<ExitCode> {
    let options = asked.limits.session_options();
    let destination = asked.output.destination()?.open(&asked.limits)?;
    let run = open(&asked.run)?.session(options.clone())?;
    let other = open(&asked.other)?.session(options)?;
    finish(async {
        let layer = asked.layer.as_deref();
        let comparison = studies::compare(run, other, asked.epoch, layer, asked.same_samples)?;
        for note in &comparison.notes {
            say!("note: {note}");
        }
        destination.write(comparison.rows).await
    })
}

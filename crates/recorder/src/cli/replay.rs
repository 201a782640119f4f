//! `recorder replay`.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use capture::cli::{ChosenEpoch, EPOCH_HELP};
use clap::Args;
use console::print;
use recorder::{ReplayError, replay_with_data};
use trace::RunDir;

use super::place::PlaceArgs;
use super::rebuilt::write_rounding;

/// How many samples that differ are named.
const MAX_NAMED: usize = 5;

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// The run's directory
    run: PathBuf,
    #[arg(long, help = EPOCH_HELP, value_name = "N|last", allow_negative_numbers = true)]
    epoch: ChosenEpoch,
    #[command(flatten)]
    place: PlaceArgs,
}

pub(super) fn run(args: &ReplayArgs) -> Result<ExitCode> {
    let run = RunDir::open(&args.run).map_err(ReplayError::from)?;
    let report = replay_with_data(&run, args.epoch.choice(), &args.place.place())?;
    let mut text = String::new();
    writeln!(
        text,
        "epoch {}, step {}, rebuilt on {}: {} of {} held-out samples reproduced bit for bit, {}",
        report.capture.epoch,
        report.capture.step,
        report.device,
        report.num_samples.saturating_sub(report.different.len()),
        report.num_samples,
        report.score,
    )?;
    write_rounding(&mut text, report.precision)?;
    for difference in report.different.iter().take(MAX_NAMED) {
        let columns = difference.columns.join(", ");
        writeln!(text, "  sample {} differs in {columns}", difference.sample)?;
    }
    if report.different.len() > MAX_NAMED {
        writeln!(
            text,
            "  ... and {} more",
            report.different.len() - MAX_NAMED
        )?;
    }
    print(&text).context("cannot write to stdout")?;
    Ok(if report.different.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

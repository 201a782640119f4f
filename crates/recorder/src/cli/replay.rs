//! `recorder replay`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use capture::cli::ChosenEpoch;
use recorder::{DataPlace, Precision, ReplayError, replay_with_data};
use trace::RunDir;

use super::print;

/// How many samples that differ are named.
const MAX_NAMED: usize = 5;

pub(super) fn run(run: &Path, epoch: ChosenEpoch, data: &DataPlace) -> Result<ExitCode> {
    let run = RunDir::open(run).map_err(ReplayError::from)?;
    let report = replay_with_data(&run, epoch.choice(), data)?;
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
    if report.precision != Precision::F32 {
        writeln!(
            text,
            "  its weights were rounded when they were recorded (--precision f16), so the rebuilt \
             network is not quite the one that was trained"
        )?;
    }
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

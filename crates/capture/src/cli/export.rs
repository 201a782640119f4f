//! `export`: a capture's weights as a checkpoint.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use indicatif::HumanBytes;
use trace::{RunDir, Step};

use super::Outcome;
use super::epoch::{self, ChosenEpoch};
use crate::capture_files::CaptureChoice;
use crate::interchange::export;
use crate::precision::Precision;

const EXAMPLES: &str = "\
Examples:
  recorder export traces/digits --epoch last -o model.safetensors
  recorder export traces/digits --step 240 -o step-240.safetensors --force

In PyTorch:
  model.load_state_dict(safetensors.torch.load_file('model.safetensors'))";

/// What `export` is told.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExportArgs {
    /// The run's directory
    run: PathBuf,
    #[arg(
        long,
        help = epoch::HELP,
        value_name = "N|last",
        allow_negative_numbers = true,
        required_unless_present = "step"
    )]
    epoch: Option<ChosenEpoch>,
    /// The optimizer step, where an epoch has several captures, or in place of the epoch
    #[arg(long, value_name = "N")]
    step: Option<i64>,
    /// The checkpoint to write, as model.safetensors
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Replace the checkpoint if it exists
    #[arg(long)]
    force: bool,
}

/// Writes the checkpoint.
///
/// # Errors
/// If there is no such capture, or the checkpoint cannot be written.
pub fn run(args: &ExportArgs) -> Result<Outcome> {
    let run = RunDir::open(&args.run)?;
    let choice = CaptureChoice {
        step: args.step.map(Step),
        ..args.epoch.map(ChosenEpoch::choice).unwrap_or_default()
    };
    let report = export(&run, choice, &args.out, args.force)?;
    let rounded = match report.precision {
        Precision::F32 => "",
        Precision::F16 => ", rounded when they were recorded (--precision f16)",
    };
    let text = format!(
        "exported epoch {}, step {} into {}: {} tensors, {}{rounded}\n",
        report.capture.epoch,
        report.capture.step,
        args.out.display(),
        report.num_tensors,
        HumanBytes(report.num_bytes),
    );
    Ok(Outcome {
        text,
        is_interrupted: false,
    })
}

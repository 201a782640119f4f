//! `recorder export`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use console::print;
use indicatif::HumanBytes;
use recorder::{CaptureChoice, Precision, export};
use trace::{RunDir, Step};

use super::epoch::{self, ChosenEpoch};

const EXAMPLES: &str = "\
Examples:
  recorder export traces/digits --epoch last -o model.safetensors
  recorder export traces/digits --step 240 -o step-240.safetensors --force

In PyTorch:
  model.load_state_dict(safetensors.torch.load_file('model.safetensors'))";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
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

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode> {
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
    print(&format!(
        "exported epoch {}, step {} into {}: {} tensors, {}{rounded}\n",
        report.capture.epoch,
        report.capture.step,
        args.out.display(),
        report.num_tensors,
        HumanBytes(report.num_bytes),
    ))
    .context("cannot write to stdout")?;
    Ok(ExitCode::SUCCESS)
}

//! `recorder import`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Args;
use indicatif::{HumanBytes, HumanCount, ProgressDrawTarget, ProgressStyle};
use recorder::{CancelToken, ImportOptions, ImportSummary, NamePattern, import};
use trace::Table;

use super::console::Console;
use super::train::stop_on_ctrl_c;
use super::{INTERRUPTED, next, print};

/// In a log, progress is said no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  recorder import 'ckpt-*.safetensors' --out traces/mine
  recorder import out/*.safetensors --pattern 'model-{epoch}.safetensors' -o traces/mine
  recorder import 'out/checkpoint-*/model.safetensors.index.json' \\
      --pattern 'checkpoint-{step}/model.safetensors' --steps-per-epoch 500 -o traces/mine";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ImportArgs {
    /// Safetensors files, in any order; of a sharded checkpoint its index,
    /// *.safetensors.index.json. Globs may be quoted
    #[arg(required = true, value_name = "CHECKPOINTS")]
    checkpoints: Vec<PathBuf>,
    /// The run's directory, which must not exist or be empty
    #[arg(short, long, value_name = "RUN")]
    out: PathBuf,
    /// Where names say the epoch or the step, as model-{epoch}.safetensors or
    /// checkpoint-{step}/model.safetensors; * stands for anything [default: the number after the
    /// word epoch or step, else the last number is the epoch]
    #[arg(long, value_name = "PATTERN")]
    pattern: Option<NamePattern>,
    /// Optimizer steps in an epoch: tells the step of checkpoints that tell the epoch alone, and
    /// the other way round [default: an epoch counts as one step; steps are epochs 0, 1, ... in
    /// their order]
    #[arg(long, value_name = "N")]
    steps_per_epoch: Option<NonZeroU64>,
    /// Round values that a 32-bit float does not hold, of 64-bit floats and large integers, which
    /// are an error else
    #[arg(long)]
    lossy: bool,
}

pub(super) fn run(args: &ImportArgs, console: &Console) -> Result<ExitCode> {
    let options = ImportOptions {
        checkpoints: args.checkpoints.clone(),
        out: args.out.clone(),
        pattern: args.pattern.clone(),
        steps_per_epoch: args.steps_per_epoch,
        lossy: args.lossy,
    };
    let cancel = CancelToken::default();
    stop_on_ctrl_c(cancel.clone(), console.clone())?;
    let is_terminal = std::io::stderr().is_terminal();
    if is_terminal {
        let style = ProgressStyle::with_template("{bar:24} checkpoint {pos}/{len} {msg} eta {eta}")
            .expect("the template is well-formed");
        console.bar().set_style(style);
        console.bar().set_draw_target(ProgressDrawTarget::stderr());
    }
    let mut last_line: Option<Instant> = None;
    let result = import(&options, &cancel, &mut |progress| {
        let (done, all) = (progress.num_done, progress.num_checkpoints);
        let message = format!(
            "epoch {} recorded {}",
            progress.capture.epoch,
            HumanBytes(progress.part_bytes)
        );
        let is_due = last_line.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if !is_terminal && (is_due || done == all) {
            console.say(&format!("checkpoint {done}/{all} {message}"));
            last_line = Some(Instant::now());
        }
        console.bar().set_length(all as u64);
        console.bar().set_position(done as u64);
        console.bar().set_message(message);
    });
    console.bar().finish_and_clear();
    let summary = result?;
    print(&describe(&summary)?).context("cannot write to stdout")?;
    Ok(match summary.is_interrupted() {
        true => ExitCode::from(INTERRUPTED),
        false => ExitCode::SUCCESS,
    })
}

fn describe(summary: &ImportSummary) -> Result<String> {
    let mut text = String::new();
    let count = |number: usize| HumanCount(number as u64);
    let run = summary.run.display();
    let (kept, all) = (summary.captures.len(), summary.num_checkpoints);
    if summary.is_interrupted() {
        let (kept, all) = (count(kept), count(all));
        writeln!(
            text,
            "interrupted: {kept} of {all} checkpoints are in {run}, whole"
        )?;
    } else {
        writeln!(text, "imported {} checkpoints into {run}", count(all))?;
    }
    if let (Some(first), Some(last)) = (summary.captures.first(), summary.captures.last()) {
        writeln!(
            text,
            "  epoch {}, step {} to epoch {}, step {}",
            first.epoch, first.step, last.epoch, last.step
        )?;
    }
    writeln!(
        text,
        "  {} layers, {} neurons",
        count(summary.topology.layers().len()),
        HumanCount(summary.topology.num_neurons().cast_unsigned().into()),
    )?;
    writeln!(
        text,
        "  {} rows, {}, {} files",
        HumanCount(summary.sink.num_rows),
        HumanBytes(summary.sink.part_bytes),
        HumanCount(summary.sink.num_parts),
    )?;
    let commands = match kept {
        // There is nothing to ask.
        0 => Vec::new(),
        _ => next::commands(&summary.run, &[Table::Weights]),
    };
    if !commands.is_empty() {
        writeln!(text, "next:")?;
    }
    for command in commands {
        writeln!(text, "  {command}")?;
    }
    Ok(text)
}

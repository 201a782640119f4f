//! `import`: a run of a series of checkpoints.

use std::fmt::Write as _;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use console::{Console, Pace};
use indicatif::{HumanBytes, HumanCount};
use trace::{CaptureId, Compress, Epoch, MaxPartBytes, Table, partition_warning};

use super::{Outcome, next};
use crate::cancel::CancelToken;
use crate::interchange::{
    CheckpointLibrary, ImportError, ImportOptions, ImportPlan, ImportSummary, NamePattern,
    NumberSource, Odd, TransposeGlobs,
};
use crate::part_size::parse_part_size;

/// In a log, progress is said no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

const EXAMPLES: &str = "\
Examples:
  recorder import 'ckpt-*.safetensors' --out traces/mine
  recorder import out/*.safetensors --pattern 'model-{epoch}.safetensors' -o traces/mine
  recorder import 'out/checkpoint-*/model.safetensors.index.json' \\
      --pattern 'checkpoint-{step}/model.safetensors' --steps-per-epoch 500 -o traces/mine
  recorder import 'ckpt-*.safetensors' --dry-run           shows what would become of them";

/// How many checkpoints that stand out are shown.
const MAX_ODD: usize = 8;

/// What `import` is told.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// Safetensors files, in any order; of a sharded checkpoint its index,
    /// *.safetensors.index.json. Globs may be quoted; what exists is a path, whatever characters it has
    #[arg(required = true, value_name = "CHECKPOINTS")]
    checkpoints: Vec<PathBuf>,
    /// The run's directory, which must not exist or be empty
    #[arg(short, long, value_name = "RUN", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// Where names say the epoch or the step, as model-{epoch}.safetensors or
    /// checkpoint-{step}/model.safetensors; * stands for anything [default: the number beside the
    /// word epoch or step, else the only number is the epoch]
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
    /// Tensors that are [in, out], as GPT-2's Conv1D and Flax have them, where their biases do not
    /// tell; '!GLOB' for those that are not, the last that fits decides. Can be given several times
    #[arg(long, value_name = "GLOB")]
    transpose: Vec<String>,
    /// What is taken off tensors' names that begin with it, as _orig_mod. and module. Can be given
    /// several times: one is taken off after the other
    #[arg(long, value_name = "PREFIX")]
    strip_prefix: Vec<String>,
    /// What to compress: auto is what becomes a fifth smaller or more, as weights of half precision do; size is
    /// what becomes smaller by 3% or more, as other weights do by a sixth, which every query has to unpack; none is
    /// nothing [default: auto; with --resume what was compressed before]
    #[arg(long, value_name = "auto|size|none")]
    compress: Option<Compress>,
    /// How much of a layer to put into one part file, as 64MiB, 4KiB at least: a larger one is split by its
    /// units [default: 256MiB; with --resume what the run's last session said]
    #[arg(long, value_name = "SIZE", value_parser = parse_part_size)]
    max_part_bytes: Option<MaxPartBytes>,
    /// Show which epoch and step each checkpoint would become, and create nothing
    #[arg(long)]
    dry_run: bool,
    /// Go on with an import that did not come to its end; the rest of the command as it was
    #[arg(long)]
    resume: bool,
}

/// Makes the run, or says what it would be made of; `cancel` ends it after the checkpoint in hand. `query`
/// is how the program is called that asks the run. `library` reads checkpoints that are no safetensors.
///
/// # Errors
/// If anything about the checkpoints is not as it should be, or the run cannot be written.
pub fn run(
    args: &ImportArgs,
    library: Option<Arc<dyn CheckpointLibrary>>,
    query: &str,
    cancel: &CancelToken,
    console: &Console,
) -> Result<Outcome> {
    let options = ImportOptions {
        checkpoints: args.checkpoints.clone(),
        // A dry run needs none.
        out: args.out.clone().unwrap_or_default(),
        library,
        pattern: args.pattern.clone(),
        steps_per_epoch: args.steps_per_epoch,
        lossy: args.lossy,
        transpose: TransposeGlobs::try_new(&args.transpose)?,
        strip_prefix: args.strip_prefix.clone(),
        compress: args.compress,
        max_part_bytes: args.max_part_bytes,
        resume: args.resume,
    };
    let plan = match ImportPlan::try_new(&options, cancel) {
        Err(error @ ImportError::Cancelled) => {
            console.say(&error.to_string());
            return Ok(Outcome {
                text: String::new(),
                is_interrupted: true,
            });
        }
        plan => plan?,
    };
    let mapping = describe_plan(&plan)?;
    if args.dry_run {
        return Ok(Outcome {
            text: format!("{mapping}nothing was created (--dry-run)\n"),
            is_interrupted: false,
        });
    }
    console.say(mapping.trim_end());
    if let Some(warning) = partition_warning(&options.out) {
        console.say(&format!("warning: {warning}"));
    }
    console.draw_bar("{bar:24} checkpoint {pos}/{len} {msg} eta {eta}");
    let mut pace = (!console.is_terminal()).then(|| Pace::new(LOG_INTERVAL));
    let result = plan.run(cancel, &mut |progress| {
        let (done, all) = (progress.num_done, progress.num_checkpoints);
        let message = format!(
            "epoch {} recorded {}",
            progress.capture.epoch,
            HumanBytes(progress.part_bytes)
        );
        if let Some(pace) = &mut pace
            && (pace.is_due() || done == all)
        {
            console.say(&format!("checkpoint {done}/{all} {message}"));
        }
        console.bar().set_length(all as u64);
        console.bar().set_position(done as u64);
        console.bar().set_message(message);
    });
    console.bar().finish_and_clear();
    let summary = result?;
    Ok(Outcome {
        text: describe(&summary, query)?,
        is_interrupted: summary.is_interrupted(),
    })
}

/// Which epoch and step every checkpoint becomes: the first, the last, and what stands out; and what
/// else should be known before.
fn describe_plan(plan: &ImportPlan) -> Result<String> {
    let mut text = String::new();
    let captures = plan.captures();
    let source = match plan.number_source() {
        NumberSource::ByPattern => "by --pattern",
        NumberSource::ByWord => "by the words epoch and step in their names",
        NumberSource::OnlyNumber => "by the number in their names, taken as the epoch",
        NumberSource::Inside => "by what they say themselves",
    };
    match captures.len() {
        1 => writeln!(text, "1 checkpoint, {source}:")?,
        n => writeln!(text, "{} checkpoints, {source}:", HumanCount(n as u64))?,
    }
    let odd = plan.odd();
    let shown = |place: &usize| *place == 0 || *place + 1 == captures.len();
    let mut places: Vec<usize> = odd.iter().map(|(place, _)| *place).collect();
    places.retain(|place| !shown(place));
    let num_hidden = places.len().saturating_sub(MAX_ODD);
    places.truncate(MAX_ODD);
    places.extend((0..captures.len()).filter(shown));
    places.sort_unstable();
    let mut next = 0;
    for place in places {
        if place > next {
            writeln!(text, "  ...")?;
        }
        next = place + 1;
        let (path, CaptureId { epoch, step }) = &captures[place];
        let why = match odd.iter().find(|(odd, _)| *odd == place) {
            _ if *epoch == Epoch::INITIAL => " (the untrained network)",
            Some((_, Odd::Name)) => " (called otherwise than most)",
            Some((_, Odd::Gap)) => " (not as far from the one before as most)",
            None => "",
        };
        writeln!(
            text,
            "  {} is epoch {epoch}, step {step}{why}",
            path.display()
        )?;
    }
    if num_hidden > 0 {
        writeln!(text, "  {} more stand out", HumanCount(num_hidden as u64))?;
    }
    for note in plan.notes() {
        writeln!(text, "note: {note}")?;
    }
    Ok(text)
}

fn describe(summary: &ImportSummary, query: &str) -> Result<String> {
    let mut text = String::new();
    let count = |number: usize| HumanCount(number as u64);
    let run = summary.run.display();
    let (kept, all) = (summary.captures.len(), summary.num_checkpoints);
    if summary.is_interrupted() {
        let (kept, all) = (count(kept), count(all));
        writeln!(
            text,
            "interrupted: {kept} of {all} checkpoints are in {run}, whole; the same command with --resume \
             goes on"
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
    next::write(
        &mut text,
        query,
        &summary.run,
        &[Table::Weights],
        kept as u64,
    )?;
    Ok(text)
}

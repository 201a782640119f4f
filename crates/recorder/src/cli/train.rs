//! `recorder train`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use capture::cli::next_commands;
use indicatif::{HumanBytes, HumanCount, ProgressDrawTarget, ProgressStyle};
use recorder::{
    CancelToken, Dataset, EpochProgress, RecordError, RecordSummary, Resolution, SessionError,
    SessionObserver, SessionOptions, SessionSummary, Task, train,
};
use trace::{Catalog, Epoch, Rank, RunDir, Table, partition_warning};

use super::console::Console;
use super::{INTERRUPTED, TrainArgs, print};

/// In a log, progress is said no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(args: &TrainArgs, console: &Console) -> Result<ExitCode> {
    let options = SessionOptions {
        out: args.out.clone(),
        dataset: args.data.spec()?,
        train: args.train_config(),
        device: args.device,
        recorded: args.recorded(),
        schedule: args.every.clone(),
        record_initial: args.record_initial,
        layers: args.layers.clone().unwrap_or_default(),
        channel_bytes: args.channel_bytes.map(|size| size.as_u64()),
        checkpoint_every: args.checkpoint_every,
        resume: args.resume,
        rank: Rank(args.rank.cast_signed()),
        world_size: args.world_size,
        limits: args.limits(),
    };
    let cancel = CancelToken::default();
    stop_on_ctrl_c(cancel.clone(), console.clone())?;
    if let Some(file) = &args.config {
        console.say(&format!("options from {}", file.display()));
    }
    let mut progress = Progress::new(&options, console.clone());
    let result = train(&options, &cancel, &mut progress);
    console.bar().finish_and_clear();
    // Nothing is left to be published: from here on Ctrl-C ends the process.
    let was_cancelled = cancel.cancel();
    let mut summary = result.map_err(|error| {
        let safe = what_is_safe(&error);
        let error = anyhow::Error::from(error);
        match safe {
            Some(safe) => anyhow::anyhow!("{error:#}\n{safe}"),
            None => error,
        }
    })?;
    // Somebody who was told that the session stops is not told otherwise, however late it was.
    summary.interrupted = was_cancelled;
    print(&describe(&summary)?).context("cannot write to stdout")?;
    Ok(if summary.interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}

/// The first Ctrl-C ends the session in good order, a second one ends the process.
pub(super) fn stop_on_ctrl_c(cancel: CancelToken, console: Console) -> Result<()> {
    ctrlc::set_handler(move || {
        if cancel.cancel() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        console.say("stopping: publishing what was captured (Ctrl-C again stops at once)");
    })
    .context("cannot listen for Ctrl-C")
}

/// What a session that failed leaves on the disk, if it was recorded.
fn what_is_safe(error: &SessionError) -> Option<String> {
    let run = error.run()?;
    let catalog = RunDir::open(run)
        .ok()
        .and_then(|run| Catalog::load(&run).ok())?;
    let epochs = catalog.captures().iter().map(|capture| capture.id.epoch);
    Some(match (epochs.clone().min(), epochs.max()) {
        (Some(first), Some(last)) => format!(
            "safe on disk: {} committed captures, epochs {first} to {last}, in {}",
            catalog.captures().len(),
            run.display()
        ),
        _ => format!(
            "safe on disk: no capture was committed in {}",
            run.display()
        ),
    })
}

struct Progress {
    console: Console,
    is_terminal: bool,
    last_line: Option<Instant>,
    /// Whether the data is from a file, so that there is something to tell about it.
    from_file: bool,
    /// Whether it was left to the data what is predicted.
    task_inferred: bool,
}

impl Progress {
    fn new(options: &SessionOptions, console: Console) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{bar:24} epoch {pos}/{len} {msg} eta {eta}")
            .expect("the template is well-formed");
        let bar = console.bar();
        bar.set_length(options.train.epochs as u64);
        bar.set_style(style);
        bar.set_draw_target(target);
        Self {
            console,
            is_terminal,
            last_line: None,
            from_file: options.dataset.file().is_some(),
            task_inferred: options
                .dataset
                .file()
                .is_some_and(|file| file.task.is_none()),
        }
    }
}

/// What somebody wants to see confirmed of data of their own.
fn describe_data(dataset: &Dataset, task_inferred: bool) -> String {
    let targets = dataset.target_names().join(", ");
    let predicted = match dataset.task() {
        Task::Classification => {
            format!("{} classes of {targets}", dataset.class_names().len())
        }
        Task::Binary => format!("{targets} as {}", dataset.class_names().join(" or ")),
        Task::MultiLabel => format!("the labels {targets}"),
        Task::Regression => format!("the numbers {targets}"),
    };
    let inferred = match task_inferred {
        true => ", as it looks; --task says otherwise",
        false => "",
    };
    format!(
        "data: {} samples to train on, {} held out ({}); {} inputs predict {predicted} ({}{inferred})",
        HumanCount(dataset.info().num_train),
        HumanCount(dataset.info().num_held_out),
        dataset.info().held_out,
        dataset.num_inputs(),
        dataset.task().as_str(),
    )
}

impl SessionObserver for Progress {
    fn loaded(&mut self, dataset: &Dataset) {
        if self.from_file {
            self.console
                .say(&describe_data(dataset, self.task_inferred));
            for note in dataset.notes() {
                self.console.say(&format!("data: {note}"));
            }
        }
    }

    fn resumed(&mut self, epoch: Epoch, num_retired: usize) {
        let anew = match num_retired {
            0 => String::new(),
            1 => "; 1 capture is recorded anew".to_owned(),
            n => format!("; {n} captures are recorded anew"),
        };
        let num_epochs = self.console.bar().length().unwrap_or(0);
        self.console.say(&format!(
            "going on with epoch {} of {num_epochs}{anew}",
            epoch.0 + 1
        ));
    }

    fn started(&mut self, device: &Resolution, run: Option<&Path>) {
        let console = &self.console;
        console.say(&format!("training on {}", device.reason));
        console.say(&match run {
            Some(run) => format!("recording into {}", run.display()),
            None => "recording nothing".to_owned(),
        });
        if let Some(warning) = run.and_then(partition_warning) {
            console.say(&format!("warning: {warning}"));
        }
        console.bar().reset();
    }

    fn disk_full(&mut self, run: &Path) {
        self.console.say(&format!(
            "warning: {} has reached --max-disk, recording has stopped and training goes on",
            run.display()
        ));
    }

    fn recording_failed(&mut self, run: &Path, error: &RecordError) {
        self.console.say(&format!(
            "warning: recording into {} failed, training goes on without it: {}",
            run.display(),
            error.with_causes()
        ));
    }

    fn epoch_done(&mut self, progress: &EpochProgress) {
        let message = format!(
            "loss {:.4} {} recorded {}",
            progress.eval_loss,
            progress.eval_score,
            HumanBytes(progress.part_bytes)
        );
        let epoch = u64::try_from(progress.train.epoch.0).unwrap_or(0);
        let bar = self.console.bar();
        bar.set_position(epoch + 1);
        let num_epochs = bar.length().unwrap_or(0);
        let is_due = self.last_line.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if !self.is_terminal && (is_due || epoch + 1 == num_epochs) {
            let line = format!("epoch {}/{num_epochs} {message}", epoch + 1);
            self.console.say(&line);
            self.last_line = Some(Instant::now());
        }
        self.console.bar().set_message(message);
    }
}

fn describe(summary: &SessionSummary) -> Result<String> {
    let mut text = String::new();
    let seconds = summary.elapsed.as_secs_f64();
    match &summary.last_epoch {
        Some(last) => writeln!(
            text,
            "{} {} epochs ({} steps) in {seconds:.2} s: held-out loss {:.4}, {}",
            if summary.interrupted {
                "interrupted after"
            } else {
                "trained"
            },
            last.train.epoch.0 + 1,
            HumanCount(last.train.step.0.cast_unsigned()),
            last.eval_loss,
            last.eval_score,
        )?,
        None => writeln!(text, "interrupted before the first epoch was whole")?,
    }
    if let (true, Some(next)) = (summary.interrupted, summary.resumes_with) {
        writeln!(
            text,
            "recorder train --resume, with the same options, goes on with epoch {}",
            next.0 + 1
        )?;
    }
    match &summary.recorded {
        None => writeln!(text, "recorded nothing, as asked")?,
        Some((run, recorded)) => describe_run(&mut text, summary.elapsed, run, recorded)?,
    }
    Ok(text)
}

fn describe_run(
    text: &mut String,
    elapsed: Duration,
    run: &Path,
    recorded: &RecordSummary,
) -> Result<()> {
    // Counted while it was written: reading the commits of a long run back takes memory.
    let sink = &recorded.sink;
    writeln!(
        text,
        "kept {} captures in {}: {} rows, {}, {} files",
        HumanCount(recorded.num_captures),
        run.display(),
        HumanCount(sink.num_rows),
        HumanBytes(sink.part_bytes),
        HumanCount(sink.num_parts),
    )?;
    let left_out = [
        (
            recorded.thinned_captures,
            "were thinned out, to keep within the overhead allowed",
        ),
        (
            recorded.over_disk_captures,
            "were left out, the run had reached --max-disk",
        ),
        (recorded.dropped_captures, "were dropped, there was no room"),
        (recorded.lost_captures, "were lost, recording had failed"),
    ];
    for (num_captures, why) in left_out {
        if num_captures > 0 {
            writeln!(text, "{} captures {why}", HumanCount(num_captures))?;
        }
    }
    let mut tables = Vec::new();
    for (table, (rows, bytes)) in Table::ALL.into_iter().zip(sink.by_table) {
        if rows > 0 {
            tables.push(table);
            writeln!(
                text,
                "  {:<16}{:>12} rows {:>12}",
                table.name(),
                HumanCount(rows).to_string(),
                HumanBytes(bytes).to_string()
            )?;
        }
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let cost = recorded.training_thread();
    writeln!(
        text,
        "cost: {:.1} ms of the training thread ({:.2}% of the time): {:.1} ms handing over ({:.1} ms of it waiting), {:.1} ms until all was committed; elsewhere {:.1} ms encoding, {:.1} ms publishing in {} commits",
        ms(cost),
        100.0 * cost.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
        ms(recorded.hand_off),
        ms(recorded.stall),
        ms(recorded.finish),
        recorded.sink.encode_ms,
        recorded.sink.publish_ms,
        recorded.sink.num_publishes,
    )?;
    let commands = match recorded.num_captures {
        // There is nothing to ask.
        0 => Vec::new(),
        _ => next_commands(run, &tables),
    };
    if !commands.is_empty() {
        writeln!(text, "next:")?;
    }
    for command in commands {
        writeln!(text, "  {command}")?;
    }
    Ok(())
}

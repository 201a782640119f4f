//! `recorder train`.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use recorder::{
    CancelToken, EpochProgress, RecordSummary, Resolution, SessionError, SessionObserver,
    SessionOptions, SessionSummary, train,
};
use trace::{Catalog, RunDir, Table};

use super::{INTERRUPTED, TrainArgs, print, say};

/// In a log, progress is said no more often than this.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

pub(super) fn run(args: &TrainArgs) -> Result<ExitCode> {
    let options = SessionOptions {
        out: args.out.clone(),
        dataset: args.dataset,
        train: args.train_config(),
        device: args.device,
        recorded: args.recorded(),
        channel_bytes: args.channel_bytes.as_u64(),
    };
    let cancel = CancelToken::default();
    stop_on_ctrl_c(cancel.clone())?;
    let mut progress = Progress::new(options.train.epochs);
    let result = train(&options, &cancel, &mut progress);
    progress.bar.finish_and_clear();
    let summary = result.map_err(|error| {
        let safe = what_is_safe(&error);
        let error = anyhow::Error::from(error);
        match safe {
            Some(safe) => anyhow::anyhow!("{error:#}\n{safe}"),
            None => error,
        }
    })?;
    print(&describe(&summary)?).context("cannot write to stdout")?;
    Ok(if summary.interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}

/// The first Ctrl-C ends the session in good order, a second one ends the process.
fn stop_on_ctrl_c(cancel: CancelToken) -> Result<()> {
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        cancel.cancel();
        say("stopping: publishing what was captured (Ctrl-C again stops at once)");
    })
    .context("cannot listen for Ctrl-C")
}

/// What a failed recording leaves on the disk.
fn what_is_safe(error: &SessionError) -> Option<String> {
    let SessionError::Record { run, .. } = error else {
        return None;
    };
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
    bar: ProgressBar,
    is_terminal: bool,
    last_line: Option<Instant>,
}

impl Progress {
    fn new(epochs: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target = if is_terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{bar:24} epoch {pos}/{len} {msg} eta {eta}")
            .expect("the template is well-formed");
        let bar = ProgressBar::with_draw_target(Some(epochs as u64), target).with_style(style);
        Self {
            bar,
            is_terminal,
            last_line: None,
        }
    }
}

impl SessionObserver for Progress {
    fn started(&mut self, device: &Resolution, run: Option<&Path>) {
        say(&format!("training on {}", device.reason));
        say(&match run {
            Some(run) => format!("recording into {}", run.display()),
            None => "recording nothing".to_owned(),
        });
        self.bar.reset();
    }

    fn epoch_done(&mut self, progress: &EpochProgress) {
        let message = format!(
            "loss {:.4} accuracy {:.1}% recorded {}",
            progress.eval_loss,
            100.0 * progress.eval_accuracy,
            HumanBytes(progress.part_bytes)
        );
        let epoch = u64::try_from(progress.train.epoch.0).unwrap_or(0);
        self.bar.set_position(epoch + 1);
        let num_epochs = self.bar.length().unwrap_or(0);
        let is_due = self.last_line.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if !self.is_terminal && (is_due || epoch + 1 == num_epochs) {
            say(&format!("epoch {}/{num_epochs} {message}", epoch + 1));
            self.last_line = Some(Instant::now());
        }
        self.bar.set_message(message);
    }
}

fn describe(summary: &SessionSummary) -> Result<String> {
    let mut text = String::new();
    let seconds = summary.elapsed.as_secs_f64();
    match &summary.last_epoch {
        Some(last) => writeln!(
            text,
            "{} {} epochs ({} steps) in {seconds:.2} s: held-out loss {:.4}, accuracy {:.1}%",
            if summary.interrupted {
                "interrupted after"
            } else {
                "trained"
            },
            last.train.epoch.0 + 1,
            HumanCount(last.train.step.0.cast_unsigned()),
            last.eval_loss,
            100.0 * last.eval_accuracy,
        )?,
        None => writeln!(text, "interrupted before the first epoch was whole")?,
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
    for (table, (rows, bytes)) in Table::ALL.into_iter().zip(sink.by_table) {
        if rows > 0 {
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
    writeln!(
        text,
        "cost: {:.1} ms of the training thread ({:.2}% of the time, {:.1} ms of it waiting); elsewhere {:.1} ms encoding, {:.1} ms publishing in {} commits",
        ms(recorded.hand_off),
        100.0 * recorded.hand_off.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
        ms(recorded.stall),
        recorded.sink.encode_ms,
        recorded.sink.publish_ms,
        recorded.sink.num_publishes,
    )?;
    writeln!(text, "next:")?;
    let query = "cargo run --release -p query --";
    writeln!(text, "  {query} run learning_curve {}", run.display())?;
    writeln!(
        text,
        "  {query} sql {} \"SELECT epoch, layer, avg(weight_l2) FROM weights GROUP BY 1, 2 ORDER BY 1, 2\"",
        run.display()
    )?;
    Ok(())
}

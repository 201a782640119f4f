//! `query report`: a whole run on one page.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use futures::future::{Either, select};
use query::chart::Theme;
use query::output::OutputFile;
use query::{Reload, Report, ReportOptions, Run};

use super::interrupt::{INTERRUPTED, Stop, exit_on_ctrl_c};
use super::memory::MemoryArgs;
use super::plot::theme_parser;
use super::{finish, open, runtime, usage_error};

#[derive(Args)]
pub(super) struct ReportArgs {
    /// The run's directory
    run: PathBuf,
    /// Write to FILE (.html), one page that needs no network
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
    /// Dark on light, or light on dark
    #[arg(long, default_value = "light", value_parser = theme_parser())]
    theme: Theme,
    /// How many epochs the page's sliders choose among: evenly, the first and the last always
    #[arg(long, value_name = "N", default_value_t = 25, value_parser = clap::value_parser!(u16).range(2..=200))]
    epochs: u16,
    /// How many permutations chance is judged by
    #[arg(long, value_name = "N", default_value_t = 199, value_parser = clap::value_parser!(u32).range(19..))]
    permutations: u32,
    /// Write FILE anew while the run goes on; the page follows by itself. Ends with the run, or on
    /// Ctrl-C
    #[arg(long)]
    live: bool,
    /// How often, at most, with --live
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "live", value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    #[command(flatten)]
    memory: MemoryArgs,
}

pub(super) fn run(asked: ReportArgs) -> anyhow::Result<ExitCode> {
    let suffix = asked.output.extension().and_then(|suffix| suffix.to_str());
    if !suffix.is_some_and(|suffix| ["html", "htm"].contains(&suffix.to_ascii_lowercase().as_str()))
    {
        usage_error(format!(
            "a report is an .html, which {} is not",
            asked.output.display()
        ));
    }
    match asked.live {
        true => follow(&asked),
        false => once(&asked),
    }
}

fn once(asked: &ReportArgs) -> anyhow::Result<ExitCode> {
    let unfinished = exit_on_ctrl_c()?;
    let file = OutputFile::create(&asked.output, asked.force)?;
    unfinished.get_or_init(|| file.staged_path().to_owned());
    let run = open(&asked.run)?;
    finish(async {
        let said = io::stderr().is_terminal();
        let report = report(asked, &run, |section| {
            if said {
                eprintln!("{section} ...");
            }
        });
        write(file, &report.await?, asked, None)?;
        eprintln!("report written to {}", asked.output.display());
        Ok(())
    })
}

async fn report(
    asked: &ReportArgs,
    run: &Run,
    at: impl FnMut(&'static str),
) -> anyhow::Result<Report> {
    let options = ReportOptions {
        epochs: asked.epochs.into(),
        permutations: asked.permutations,
    };
    let session = run.session(asked.memory.session_options())?;
    Ok(Report::of(&session, &options, at).await?)
}

fn write(
    mut file: OutputFile,
    report: &Report,
    asked: &ReportArgs,
    reload: Option<Reload>,
) -> anyhow::Result<()> {
    let page = report.page(&asked.run, asked.theme, reload);
    file.write_all(page.as_bytes())?;
    Ok(file.publish()?)
}

/// Writes the report anew whenever something was committed, until nobody records the run any more.
fn follow(asked: &ReportArgs) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_ctrl_c()?;
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let mut last = None;
        let ended = {
            let following = pin!(written_anew(asked, &mut last));
            match select(following, pin!(stop.asked())).await {
                Either::Left((done, _)) => Some(done),
                Either::Right(_) => None,
            }
        };
        match ended {
            Some(done) => done.map(|()| ExitCode::SUCCESS),
            None => {
                // Nobody writes the page anew any more, so that it is not to wait for it either.
                if let Some(report) = &last {
                    write(replacing(&asked.output)?, report, asked, None)?;
                }
                eprintln!("interrupted");
                Ok(ExitCode::from(INTERRUPTED as u8))
            }
        }
    });
    runtime.shutdown_background();
    done
}

async fn written_anew(asked: &ReportArgs, last: &mut Option<Report>) -> anyhow::Result<()> {
    let every = Duration::from_secs(asked.every);
    let mut run = open(&asked.run)?;
    // Whether the name is free is known before anybody waits.
    let mut first = Some(OutputFile::create(&asked.output, asked.force)?);
    let mut num_commits = None;
    loop {
        // Asked before what was committed is: what comes in between is part of the last report.
        let goes_on = run.is_being_recorded();
        run = run.reload()?;
        let began = Instant::now();
        if run.is_empty() && goes_on {
            if num_commits.is_none() {
                eprintln!("{}: waits for the first capture", asked.run.display());
                num_commits = Some(0);
            }
        } else if !goes_on || num_commits != Some(run.num_commits()) {
            num_commits = Some(run.num_commits());
            let report = report(asked, &run, |_| ()).await?;
            let file = match first.take() {
                Some(file) => file,
                None => replacing(&asked.output)?,
            };
            write(file, &report, asked, goes_on.then_some(Reload { every }))?;
            *last = Some(report);
            eprintln!("{}: {}", asked.output.display(), reach(&run, goes_on));
        }
        if !goes_on {
            return Ok(());
        }
        // A report of a large run takes a while: it has at most half of the time.
        tokio::time::sleep(every.max(began.elapsed())).await;
    }
}

fn replacing(path: &Path) -> anyhow::Result<OutputFile> {
    Ok(OutputFile::create(path, true)?)
}

/// What a report that was just written reaches over.
fn reach(run: &Run, goes_on: bool) -> String {
    let epochs = run.captured_epochs();
    let reach = match (epochs.first(), epochs.last()) {
        (Some(first), Some(last)) => format!("epochs {first} to {last}"),
        _ => "no epochs".to_owned(),
    };
    match goes_on {
        true => reach,
        false => format!("{reach}; nobody records the run any more"),
    }
}

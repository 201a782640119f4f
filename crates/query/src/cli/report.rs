//! `query report`: a whole run on one page.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use futures::FutureExt as _;
use futures::future::{Either, select};
use pictures::chart::Theme;
use pictures::{Reload, Report, ReportOptions};
use sql::Run;
use sql::output::OutputFile;
use tokio::task::JoinSet;
use trace::Activity;

use super::answer::say;
use super::interrupt::{Stop, exit_early};
use super::limits::{LimitArgs, remove_spilled};
use super::plot::theme_parser;
use super::session::{finish, open, runtime, say_new_damage};
use super::usage::UsageError;

#[derive(Args)]
pub struct ReportArgs {
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
    #[arg(long, value_name = "N", default_value_t = 199, value_parser = clap::value_parser!(u32).range(99..))]
    permutations: u32,
    /// Write FILE anew while the run goes on; the page follows by itself. Ends with the run, or on
    /// Ctrl-C
    #[arg(long, conflicts_with = "timeout")]
    live: bool,
    /// How often, at most, with --live
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "live", value_parser = clap::value_parser!(u64).range(1..))]
    every: u64,
    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) fn run(asked: ReportArgs) -> anyhow::Result<ExitCode> {
    let suffix = asked.output.extension().and_then(|suffix| suffix.to_str());
    if !suffix.is_some_and(|suffix| ["html", "htm"].contains(&suffix.to_ascii_lowercase().as_str()))
    {
        return Err(UsageError(format!(
            "a report is an .html, which {} is not",
            asked.output.display()
        ))
        .into());
    }
    match asked.live {
        true => follow(&asked),
        false => once(&asked),
    }
}

fn once(asked: &ReportArgs) -> anyhow::Result<ExitCode> {
    let mut ends = exit_early()?;
    let file = OutputFile::create(&asked.output, asked.force)?;
    ends.leave_no(file.staged_path());
    ends.count(&asked.limits)?;
    let run = open(&asked.run)?;
    finish(async {
        let said = io::stderr().is_terminal();
        let at = move |section: &'static str| {
            if said {
                say!("{section} ...");
            }
        };
        let session = run.session(asked.limits.session_options())?;
        let report = |session| {
            let options = options(asked);
            async move { Report::of(&session, &options, at).await }.boxed()
        };
        let report = session.ask(report, say_new_damage).await?;
        write(file, &report, asked, None)?;
        drop(ends);
        say!("report written to {}", asked.output.display());
        Ok(())
    })
}

fn options(asked: &ReportArgs) -> ReportOptions {
    ReportOptions {
        epochs: asked.epochs.into(),
        permutations: asked.permutations,
    }
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

/// Writes the report anew whenever something was committed, until the run has ended. A recorder that has
/// committed nothing for long may be a slow one, and is waited for.
fn follow(asked: &ReportArgs) -> anyhow::Result<ExitCode> {
    let stop = Stop::on_any_signal()?;
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let mut following = Following {
            asked,
            stop: &stop,
            last: None,
        };
        let ended = {
            let stopped = pin!(stop.asked());
            // A signal is listened to before anything is done.
            match select(stopped, pin!(following.until_it_ends())).await {
                Either::Left((status, _)) => Ok(Some(status)),
                Either::Right((done, _)) => done.map(|()| None),
            }
        };
        if !matches!(ended, Ok(None)) {
            // Nobody writes the page anew any more, so that it is not to wait for it either.
            let at_rest = following.leave_at_rest();
            if ended.is_ok() {
                at_rest?;
            } else if let Err(error) = at_rest {
                tracing::warn!(%error, "the last page still waits for the run");
            }
        }
        ended
    });
    // A report that is being made is not waited for.
    runtime.shutdown_background();
    match done? {
        None => Ok(ExitCode::SUCCESS),
        Some(status) => {
            remove_spilled();
            say!("interrupted");
            Ok(ExitCode::from(status as u8))
        }
    }
}

/// A report that is written anew while a run goes on.
struct Following<'a> {
    asked: &'a ReportArgs,
    stop: &'a Stop,
    /// What was written last.
    last: Option<Report>,
}

impl Following<'_> {
    async fn until_it_ends(&mut self) -> anyhow::Result<()> {
        let asked = self.asked;
        let every = Duration::from_secs(asked.every);
        let mut run = open(&asked.run)?;
        // Whether the name is free is known before anybody waits.
        drop(OutputFile::create(&asked.output, asked.force)?);
        let mut num_commits = None;
        let mut failed = false;
        let mut was_silent = false;
        loop {
            let began = Instant::now();
            // Asked before what was committed is: what comes in between is part of the last report.
            let activity = run.activity();
            let goes_on = activity.is_some_and(Activity::may_go_on);
            match self.read(&mut run, goes_on, &mut num_commits).await {
                Ok(report) => {
                    failed = false;
                    if let Some(report) = report {
                        self.write(&report, goes_on.then_some(Reload { every }))?;
                        self.last = Some(report);
                        say!("{}: {}", asked.output.display(), reach(&run, goes_on));
                    }
                    if !goes_on {
                        return Ok(());
                    }
                    let silent = silence(activity);
                    if let Some(silent) = silent.as_ref().filter(|_| !was_silent) {
                        say!("{}: {silent}", asked.run.display());
                    }
                    was_silent = silent.is_some();
                }
                // What was read may have been retired meanwhile, as `structures find --force` and a resumed
                // recorder do: what is committed by the next turn can be read, or the run is damaged.
                Err(error) if !failed => {
                    tracing::warn!(%error, "the run is read again");
                    failed = true;
                    num_commits = None;
                }
                Err(error) => return Err(error),
            }
            // A report of a large run takes a while: it has at most half of the time.
            tokio::time::sleep(every.max(began.elapsed())).await;
        }
    }

    /// The report of what is committed by now; none if that was reported already, or is nothing.
    async fn read(
        &self,
        run: &mut Run,
        goes_on: bool,
        num_commits: &mut Option<usize>,
    ) -> anyhow::Result<Option<Report>> {
        *run = run.reload()?;
        if run.is_empty() && goes_on {
            if num_commits.is_none() {
                say!("{}: waits for the first capture", self.asked.run.display());
                *num_commits = Some(0);
            }
            return Ok(None);
        }
        if goes_on && *num_commits == Some(run.num_commits()) {
            return Ok(None);
        }
        *num_commits = Some(run.num_commits());
        let session = run.session(self.asked.limits.session_options())?;
        let options = options(self.asked);
        // It computes for long without looking up, and a signal is to be noticed meanwhile.
        let mut made = JoinSet::new();
        made.spawn(async move { Report::of(&session, &options, |_| ()).await });
        let report = made.join_next().await.expect("it has one task");
        Ok(Some(report.context("making the report failed")??))
    }

    fn write(&self, report: &Report, reload: Option<Reload>) -> anyhow::Result<()> {
        let asked = self.asked;
        let file = OutputFile::create(&asked.output, asked.force || self.last.is_some())?;
        self.stop.leaves_no(file.staged_path());
        write(file, report, asked, reload)
    }

    /// Writes the last report as one that is not written anew.
    fn leave_at_rest(&self) -> anyhow::Result<()> {
        self.last.iter().try_for_each(|last| self.write(last, None))
    }
}

/// What is said of a recorder that has committed nothing for long.
fn silence(activity: Option<Activity>) -> Option<String> {
    match activity? {
        Activity::Silent { since_last } => Some(format!(
            "no commit for {} minutes: its recorder was interrupted, or is slow; Ctrl-C ends the report",
            since_last.as_secs() / 60
        )),
        Activity::Recording { .. } | Activity::Ended => None,
    }
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

//! A run that is asked, and the threads that do.

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt as _, stream};
use sql::{OpenError, QueryError, QuerySession, Run, SessionOptions};
use words::printable;

use super::answer::say;

/// What is wrong with a damaged run is listed one by one, up to so many.
const LISTED_DAMAGE: usize = 20;

/// How often a question is put anew whose files went while they were read.
const MAX_ATTEMPTS: usize = 3;

pub(super) fn open(path: &Path) -> anyhow::Result<Run> {
    let run = Run::open(path)?;
    if !run.has_commits() {
        say!(
            "note: {} has no commits/, so its directories were listed: captures may not be whole",
            path.display()
        );
    }
    Ok(run)
}

/// Whether a run is asked of which something is damaged.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct SalvageArgs {
    /// Answer from what is whole of a damaged run, and say what is left out or in doubt; the whole run is read first
    #[arg(long)]
    salvage: bool,
}

impl SalvageArgs {
    /// Opens a run, or what is whole of it.
    pub(super) fn open(self, path: &Path) -> anyhow::Result<Run> {
        if !self.salvage {
            return open(path).map_err(|error| match error.downcast_ref() {
                Some(OpenError::Commits(_)) => error.context(
                    "the run cannot be read as it is: `sink verify` lists what is damaged, and --salvage answers \
                     from what is whole",
                ),
                _ => error,
            });
        }
        let run = Run::salvage(path)?;
        say_damage(run.damage());
        Ok(run)
    }
}

/// Says what is wrong with a damaged run, and whether it is left out or used.
fn say_damage(lines: &[String]) {
    for line in lines.iter().take(LISTED_DAMAGE) {
        say!("{}", printable(line));
    }
    if lines.len() > LISTED_DAMAGE {
        say!("... and {} more", lines.len() - LISTED_DAMAGE);
    }
}

/// The run as it is now; says what is found to be wrong with it that was not before.
pub(super) fn reload(run: &Run) -> Result<Run, OpenError> {
    let now = run.reload()?;
    let known: HashSet<&String> = run.damage().iter().collect();
    let new = now.damage().iter().filter(|line| !known.contains(line));
    say_damage(&new.cloned().collect::<Vec<_>>());
    Ok(now)
}

/// The rows of a question, of which the first were read: `ask` puts it.
///
/// A recorder that goes on with the run, and whoever replaces a derived table, removes files that were
/// committed before. Where one is gone that is asked for, the question is put to the run as it is by then, unless
/// nothing was committed meanwhile, or rows were handed on already.
///
/// # Errors
/// Those of the question.
pub(super) async fn rows_of(
    run: &Run,
    options: &SessionOptions,
    ask: impl AsyncFn(&QuerySession) -> anyhow::Result<SendableRecordBatchStream>,
) -> anyhow::Result<SendableRecordBatchStream> {
    let mut run = run.clone();
    let mut attempts = 1..MAX_ATTEMPTS;
    loop {
        let session = run.session(options.clone())?;
        let error = match ask(&session).await {
            Err(error) => error,
            Ok(mut rows) => match rows.next().await {
                Some(Err(error)) => QueryError::from(error).into(),
                first => {
                    let schema = rows.schema();
                    let rows = stream::iter(first).chain(rows);
                    return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)));
                }
            },
        };
        let is_bad_file = matches!(error.downcast_ref(), Some(QueryError::BadFile(_)));
        if !is_bad_file || attempts.next().is_none() {
            return Err(error);
        }
        let now = reload(&run)?;
        if now.num_commits() == run.num_commits() {
            return Err(error);
        }
        tracing::info!(error = %error, "the run is read again");
        run = now;
    }
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("query")
        .enable_all()
        .build()
        .context("cannot start threads")
}

/// Does `work` to its end.
pub(super) fn finish(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<ExitCode> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    // After a failure other parts of the query may still compute: they are not waited for.
    runtime.shutdown_background();
    match done {
        Err(error) if console::is_closed_pipe(error.as_ref()) => Ok(ExitCode::SUCCESS),
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests;

//! A run that is asked, and the threads that do.

use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use datafusion::execution::SendableRecordBatchStream;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use sql::{OpenError, QueryError, QuerySession, Run, first_rows};
use words::{further, printable};

use super::answer::say;

/// So many things that are wrong with a damaged run are listed one by one, of those that are left out and of those
/// that are used: a disk that went bad may have spoilt every file of a long run.
const LISTED_DAMAGE: usize = 10;

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
        say_damage(path, run.damage().iter());
        Ok(run)
    }
}

/// Says what is wrong with a damaged run, and whether it is left out or used.
fn say_damage<'a>(run: &Path, damage: impl Iterator<Item = &'a String>) {
    let (left_out, used): (Vec<_>, Vec<_>) =
        damage.partition(|line| line.starts_with(Run::LEFT_OUT));
    for (kind, lines) in [("left out", left_out), ("in doubt, and used", used)] {
        for line in lines.iter().take(LISTED_DAMAGE) {
            say!("{}", printable(line));
        }
        if let Some(more) = further(lines.len(), LISTED_DAMAGE) {
            let run = run.display().to_string();
            say!(
                "... and {more} more {kind}: `sink verify {}` lists all that is damaged",
                printable(&run)
            );
        }
    }
}

/// The run as it is now; says what is found to be wrong with it that was not before.
pub(super) fn reload(run: &Run) -> Result<Run, OpenError> {
    let now = run.reload()?;
    say_new_damage(run, &now);
    Ok(now)
}

/// Says what is wrong with a run that was not before.
pub(super) fn say_new_damage(before: &Run, now: &Run) {
    let known: HashSet<&String> = before.damage().iter().collect();
    let new = now.damage().iter().filter(|line| !known.contains(line));
    say_damage(now.path(), new);
}

/// The rows of a question, of which the first were worked out. It is put once more where files went
/// meanwhile, see [`QuerySession::ask`].
///
/// # Errors
/// Those of the question.
pub(super) async fn rows_of(
    session: &QuerySession,
    question: impl Fn(QuerySession) -> BoxFuture<'static, Result<SendableRecordBatchStream, QueryError>>,
) -> Result<SendableRecordBatchStream, QueryError> {
    let first = |session| {
        let rows = question(session);
        async move { first_rows(rows.await?).await }.boxed()
    };
    session.ask(first, say_new_damage).await
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
    match finished(work) {
        Err(error) if console::is_closed_pipe(error.as_ref()) => Ok(ExitCode::SUCCESS),
        done => done.map(|()| ExitCode::SUCCESS),
    }
}

/// What `work` comes to.
pub(super) fn finished<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    // After a failure other parts of the query may still compute: they are not waited for.
    runtime.shutdown_background();
    done
}

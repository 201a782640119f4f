//! A run that is asked, and the threads that do.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use sql::Run;

use super::answer::say;

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

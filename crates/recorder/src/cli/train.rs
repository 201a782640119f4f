//! `recorder train`.

mod args;
mod check;
mod config;
mod data;
mod progress;
mod summary;
mod tables;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use capture::cli::stop_on_ctrl_c;
use console::{Console, INTERRUPTED, print};
use recorder::{CancelToken, OnCommit, train};

use progress::Progress;
use summary::{describe, what_is_safe};

pub(super) use args::TrainArgs;
pub(super) use config::expand;

pub(super) fn run(args: &TrainArgs, console: &Console) -> Result<ExitCode> {
    let mut options = args.session()?;
    options.on_commit = args.commits.as_deref().map(tell_commits).transpose()?;
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

/// Who is told of commits: a file, or stdout by `-`.
fn tell_commits(to: &Path) -> Result<OnCommit> {
    if to == Path::new("-") {
        return Ok(OnCommit::lines(io::stdout()));
    }
    OnCommit::append_to(to).with_context(|| {
        format!(
            "cannot write to {}, where --commits is to tell what is committed",
            to.display()
        )
    })
}

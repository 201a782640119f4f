//! `recorder train`.

mod args;
mod check;
mod commits;
mod config;
mod data;
mod progress;
mod summary;
mod tables;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use capture::cli::stop_on_ctrl_c;
use console::{Console, INTERRUPTED, print};
use recorder::{CancelToken, train};

use commits::Commits;
use progress::Progress;
use summary::{describe, what_is_safe};

pub(super) use args::TrainArgs;
pub(super) use config::expand;

pub(super) fn run(args: &TrainArgs, console: &Console) -> Result<ExitCode> {
    let mut options = args.session()?;
    let cancel = CancelToken::default();
    let commits = args.commits.as_deref();
    let commits = commits.map(|to| Commits::to(to, &cancel)).transpose()?;
    options.on_commit = commits.as_ref().map(|commits| commits.on_commit.clone());
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
    let text = describe(&summary)?;
    match commits.filter(|commits| was_cancelled && commits.is_stdout) {
        None => print(&text).context("cannot write to stdout")?,
        Some(commits) => {
            if !commits.tell_last(&text)? {
                console.say(&text);
            }
        }
    }
    Ok(if summary.interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    })
}

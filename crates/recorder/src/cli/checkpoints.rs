//! `recorder import` and `recorder export`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use capture::CancelToken;
use capture::cli::{ExportArgs, ImportArgs, Outcome};
use console::{Console, INTERRUPTED, print};

use super::train::stop_on_ctrl_c;

pub(super) fn import(args: &ImportArgs, console: &Console) -> Result<ExitCode> {
    let cancel = CancelToken::default();
    stop_on_ctrl_c(cancel.clone(), console.clone())?;
    end(capture::cli::import(args, &cancel, console)?)
}

pub(super) fn export(args: &ExportArgs) -> Result<ExitCode> {
    end(capture::cli::export(args)?)
}

fn end(outcome: Outcome) -> Result<ExitCode> {
    print(&outcome.text).context("cannot write to stdout")?;
    Ok(match outcome.is_interrupted {
        true => ExitCode::from(INTERRUPTED),
        false => ExitCode::SUCCESS,
    })
}

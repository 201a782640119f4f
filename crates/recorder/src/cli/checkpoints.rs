//! `recorder import` and `recorder export`.

use std::process::ExitCode;

use anyhow::Result;
use capture::CancelToken;
use capture::cli::{ExportArgs, ImportArgs, QUERY, stop_on_ctrl_c};
use console::Console;

pub(super) fn import(args: &ImportArgs, console: &Console) -> Result<ExitCode> {
    let cancel = CancelToken::default();
    stop_on_ctrl_c(cancel.clone(), console.clone())?;
    capture::cli::import(args, None, QUERY, &cancel, console)?.end()
}

pub(super) fn export(args: &ExportArgs) -> Result<ExitCode> {
    capture::cli::export(args)?.end()
}

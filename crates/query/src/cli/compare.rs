//! Two runs side by side.

use std::path::Path;
use std::process::ExitCode;

use sql::SessionOptions;
use studies::Epochs;

use super::answer::{Destination, say};
use super::{finish, open};

pub(super) fn run(
    [run, other]: [&Path; 2],
    epochs: Epochs,
    layer: Option<&str>,
    options: SessionOptions,
    destination: Destination,
) -> anyhow::Result<ExitCode> {
    let destination = destination.open()?;
    let run = open(run)?.session(options.clone())?;
    let other = open(other)?.session(options)?;
    finish(async {
        let comparison = studies::compare(run, other, epochs, layer)?;
        for note in &comparison.notes {
            say!("note: {note}");
        }
        destination.write(comparison.rows).await
    })
}

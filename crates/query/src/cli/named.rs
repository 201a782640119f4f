//! `query run`: a named query.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use futures::FutureExt as _;
use sql::QueryError;
use sql::output::widened;

use super::limits::LimitArgs;
use super::output::OutputArgs;
use super::session::{SalvageArgs, finish, rows_of};
use super::usage::key_and_value;

#[derive(Args)]
pub struct RunArgs {
    /// The query's name
    name: String,
    /// The run's directory
    run: PathBuf,
    /// Set a parameter (`query describe NAME` shows them); may be given several times
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_and_value)]
    params: Vec<(String, String)>,
    /// Write a column a list element: w_0, w_1, ... for `weights`, null past a list's end
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    salvage: SalvageArgs,
}

pub(super) fn run(asked: RunArgs) -> anyhow::Result<ExitCode> {
    let destination = asked.output.destination()?.open(&asked.limits)?;
    let run = asked.salvage.open(&asked.run)?;
    if run.is_empty() {
        return Err(QueryError::NothingCaptured.into());
    }
    let session = run.session(asked.limits.session_options())?;
    let is_wide = asked.wide;
    finish(async {
        let rows = rows_of(&session, |session| {
            let (name, params) = (asked.name.clone(), asked.params.clone());
            async move {
                let rows = session.named(&name, &params).await?;
                match is_wide {
                    true => widened(rows).await,
                    false => Ok(rows.execute_stream().await?),
                }
            }
            .boxed()
        });
        destination.write(rows.await?).await
    })
}

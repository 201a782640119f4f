//! `query run`: a named query.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sql::QueryError;
use sql::output::widened;

use super::memory::MemoryArgs;
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
    memory: MemoryArgs,
    #[command(flatten)]
    salvage: SalvageArgs,
}

pub(super) fn run(asked: RunArgs) -> anyhow::Result<ExitCode> {
    let destination = asked.output.destination()?.open()?;
    let run = asked.salvage.open(&asked.run)?;
    if run.is_empty() {
        return Err(QueryError::NothingCaptured.into());
    }
    let options = asked.memory.session_options();
    finish(async {
        let rows = rows_of(&run, &options, async |session| {
            let rows = session.named(&asked.name, &asked.params).await?;
            Ok(match asked.wide {
                true => widened(rows).await?,
                false => rows.execute_stream().await.map_err(QueryError::from)?,
            })
        });
        destination.write(rows.await?).await
    })
}

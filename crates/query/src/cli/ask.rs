//! `query sql`: a SQL query.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use sql::QueryError;

use super::memory::MemoryArgs;
use super::output::OutputArgs;
use super::session::{SalvageArgs, finish, rows_of};

#[derive(Args)]
pub struct SqlArgs {
    /// The run's directory
    run: PathBuf,
    /// The query, as "SELECT epoch, layer, count(*) FROM weights GROUP BY epoch, layer"
    // SQL may begin with a comment, which looks like an option.
    #[arg(allow_hyphen_values = true)]
    sql: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    memory: MemoryArgs,
    #[command(flatten)]
    salvage: SalvageArgs,
}

pub(super) fn run(asked: SqlArgs) -> anyhow::Result<ExitCode> {
    let destination = asked.output.destination()?.open()?;
    let run = asked.salvage.open(&asked.run)?;
    let options = asked.memory.session_options();
    finish(async {
        let rows = rows_of(&run, &options, async |session| {
            let rows = session.sql(&asked.sql).await?;
            if session.is_empty() && session.reads_captures(&rows) {
                return Err(QueryError::NothingCaptured.into());
            }
            Ok(rows.execute_stream().await.map_err(QueryError::from)?)
        });
        destination.write(rows.await?).await
    })
}

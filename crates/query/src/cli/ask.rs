//! `query sql`: a SQL query.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use futures::FutureExt as _;
use sql::QueryError;

use super::limits::LimitArgs;
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
    limits: LimitArgs,
    #[command(flatten)]
    salvage: SalvageArgs,
}

pub(super) fn run(asked: SqlArgs) -> anyhow::Result<ExitCode> {
    let destination = asked.output.destination()?.open(&asked.limits)?;
    let run = asked.salvage.open(&asked.run)?;
    let session = run.session(asked.limits.session_options())?;
    finish(async {
        let rows = rows_of(&session, |session| {
            let sql = asked.sql.clone();
            async move {
                let rows = session.sql(&sql).await?;
                if session.is_empty() && session.reads_captures(&rows) {
                    return Err(QueryError::NothingCaptured);
                }
                Ok(rows.execute_stream().await?)
            }
            .boxed()
        });
        destination.write(rows.await?).await
    })
}

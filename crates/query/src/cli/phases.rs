//! Phases of a training.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{FutureExt as _, stream};
use studies::{phase_rows, phases};

use super::answer::say;
use super::limits::LimitArgs;
use super::output::OutputArgs;
use super::session::{finish, open, say_new_damage};

#[derive(Args)]
pub struct PhasesArgs {
    /// The run's directory
    run: PathBuf,
    /// This layer alone; `first` and `last` are understood
    #[arg(long)]
    layer: Option<String>,
    /// How many phases; by default the number from 1 to 6 with the smallest Bayesian information
    /// criterion
    #[arg(long)]
    phases: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

pub(super) fn run(asked: PhasesArgs) -> anyhow::Result<ExitCode> {
    let destination = asked.output.destination()?.open(&asked.limits)?;
    let session = open(&asked.run)?.session(asked.limits.session_options())?;
    finish(async {
        let num_phases = asked.phases;
        let find = |session| {
            let layer = asked.layer.clone();
            async move { phases(&session, layer.as_deref(), num_phases).await }.boxed()
        };
        let found = session.ask(find, say_new_damage).await?;
        for layer in &found {
            say!("{}", layer.summary());
        }
        for reason in session.all_not_finite().await? {
            eprintln!("{reason}");
        }
        let rows = phase_rows(&found)?;
        let schema = rows.schema();
        let rows = RecordBatchStreamAdapter::new(schema, stream::iter([Ok(rows)]));
        destination.write(Box::pin(rows)).await
    })
}

//! `query meta`: the meta-model, told.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use datafusion::physical_plan::memory::MemoryStream;
use futures::FutureExt as _;
use sql::QueryError;
use studies::{Epochs, MetaOptions, meta_model};

use super::answer::say;
use super::limits::LimitArgs;
use super::output::OutputArgs;
use super::session::{finish, open, say_new_damage};

#[derive(Args)]
pub struct MetaArgs {
    /// The run's directory
    run: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// What is learned, and how.
#[derive(Args)]
struct ModelArgs {
    /// The epoch; first and last are understood, and all
    #[arg(long, default_value = "last", allow_hyphen_values = true)]
    epoch: Epochs,
    /// Learn from the neurons of this layer alone
    #[arg(long)]
    layer: Option<String>,
    /// So many neurons, the most important ones; all is understood
    #[arg(long, default_value = "20", value_name = "N")]
    top: String,
    /// Trees of the random forest
    #[arg(long, default_value = "100", value_name = "N")]
    trees: String,
    /// Every random choice follows from it
    #[arg(long, default_value = "42", value_name = "N")]
    seed: String,
}

/// Says how well it is learned on stderr, and writes the neurons.
pub(super) fn run(asked: MetaArgs) -> anyhow::Result<ExitCode> {
    let destination = asked.output.destination()?.open(&asked.limits)?;
    let session = open(&asked.run)?.session(asked.limits.session_options())?;
    if session.is_empty() {
        return Err(QueryError::NothingCaptured.into());
    }
    let model = asked.model;
    let options = MetaOptions {
        epochs: model.epoch,
        layer: model.layer,
        top: model.top,
        trees: model.trees,
        seed: model.seed,
    };
    finish(async {
        let learn = |session| {
            let options = options.clone();
            async move { meta_model(&session, options).await }.boxed()
        };
        let learned = session.ask(learn, say_new_damage).await?;
        for scores in learned.scores {
            say!("{scores}");
        }
        let rows = MemoryStream::try_new(learned.rows, learned.schema, None);
        let rows = rows.map_err(QueryError::from)?;
        destination.write(Box::pin(rows)).await
    })
}

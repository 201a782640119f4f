//! `query meta`: the meta-model, told.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type, Int64Type};
use clap::Args;
use datafusion::physical_plan::memory::MemoryStream;
use query::{QueryError, QuerySession};

use super::answer::Opened;
use super::memory::MemoryArgs;
use super::{OutputArgs, finish, open};

/// The named query that does the work.
const META_MODEL: &str = "meta_model";

#[derive(Args)]
pub(super) struct MetaArgs {
    /// The run's directory
    run: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

/// What is learned, and how.
#[derive(Args)]
struct ModelArgs {
    /// The epoch; first and last are understood, and all
    #[arg(long, default_value = "last", allow_hyphen_values = true)]
    epoch: String,
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

pub(super) fn run(asked: MetaArgs) -> anyhow::Result<ExitCode> {
    let destination = asked.output.destination().open()?;
    let session = open(&asked.run)?.session(asked.memory.session_options())?;
    if session.is_empty() {
        return Err(QueryError::NothingCaptured.into());
    }
    finish(learn(session, asked.model, destination))
}

/// Says how well it is learned on stderr, and writes the neurons.
async fn learn(session: QuerySession, asked: ModelArgs, destination: Opened) -> anyhow::Result<()> {
    let ModelArgs {
        epoch,
        layer,
        top,
        trees,
        seed,
    } = asked;
    let given = [
        ("epoch", Some(epoch)),
        ("layer", layer),
        ("top", Some(top)),
        ("trees", Some(trees)),
        ("seed", Some(seed)),
    ];
    let arguments = given
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let arguments: Vec<(String, String)> = arguments.collect();
    let rows = session.named(META_MODEL, &arguments).await?;
    let schema = rows.schema().as_arrow().clone().into();
    let batches = rows.collect().await.map_err(QueryError::from)?;
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        bail!(
            "there is nothing to learn from: it takes an epoch that was captured with activations \
             and classifications, and five held-out samples at least that the network is wrong about, \
             and five that it is right about (query run confusion RUN says which epochs there are, and \
             how often it is wrong: an early one has more mistakes)"
        );
    }
    for scores in batches.iter().flat_map(scores_by_epoch) {
        eprintln!("{scores}");
    }
    let rows = MemoryStream::try_new(batches, schema, None).map_err(QueryError::from)?;
    destination.write(Box::pin(rows)).await
}

/// What is said of each epoch, from the first row that it has in the batch.
fn scores_by_epoch(batch: &RecordBatch) -> Vec<String> {
    let epochs = batch["epoch"].as_primitive::<Int32Type>().values();
    let is_first = |row: usize| row == 0 || epochs[row] != epochs[row - 1];
    let firsts = (0..batch.num_rows()).filter(|&row| is_first(row));
    firsts.map(|row| scores(batch, row)).collect()
}

fn scores(batch: &RecordBatch, row: usize) -> String {
    let float = |name: &str| batch[name].as_primitive::<Float32Type>().value(row);
    let count = |name: &str| batch[name].as_primitive::<Int64Type>().value(row);
    format!(
        "epoch {}: {} held-out samples, {} of them mistakes. Probability that a model puts a sample \
         that the network is right about above a mistake, where it has learned from neither (five \
         folds; by chance 0.5): forest {:.3} ± {:.3}, logistic regression {:.3} ± {:.3}, the network's own \
         confidence {:.3}",
        batch["epoch"].as_primitive::<Int32Type>().value(row),
        count("samples"),
        count("mistakes"),
        float("forest_auc"),
        float("forest_auc_std"),
        float("linear_auc"),
        float("linear_auc_std"),
        float("confidence_auc"),
    )
}

//! Neurons as points in a picture, and in clusters.

use std::path::PathBuf;
use std::process::ExitCode;

use analysis::Linkage;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use studies::{EmbedOptions, Embedder, EmbeddingMethod, EmbeddingRows, Epochs, ValuesOf};

use super::answer::say;
use super::limits::LimitArgs;
use super::output::OutputArgs;
use super::session::{finish, open};

#[derive(Args)]
pub struct EmbedArgs {
    /// The run's directory
    run: PathBuf,
    /// What neurons are compared by
    #[arg(long, default_value = "activations", value_parser = one_of(ValuesOf::ALL.map(ValuesOf::name), ValuesOf::ALL))]
    of: ValuesOf,
    /// How they are placed
    #[arg(long, default_value = "tsne", value_parser = one_of(EmbeddingMethod::ALL.map(EmbeddingMethod::name), EmbeddingMethod::ALL))]
    method: EmbeddingMethod,
    /// 2 or 3
    #[arg(long, default_value_t = 2)]
    dimensions: usize,
    /// Of t-SNE: about how many neighbours a neuron has; by default 30, or as many as there can be
    #[arg(long)]
    perplexity: Option<f64>,
    /// Of t-SNE: the same seed gives the same picture
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// `last`, `first`, a number, or `all`, each of which begins where the one before it ended
    #[arg(long, default_value = "last")]
    epoch: Epochs,
    /// The neurons of this layer alone, by default of all but the output layer; `first` and `last` are
    /// understood
    #[arg(long)]
    layer: Option<String>,
    /// How clusters are merged
    #[arg(long, default_value = "ward", value_parser = one_of(Linkage::ALL.map(Linkage::name), Linkage::ALL))]
    linkage: Linkage,
    /// How many clusters; by default the number from 2 to 10 with the largest silhouette
    #[arg(long)]
    clusters: Option<usize>,
    /// What the rows are: neurons, or the merges that made the clusters
    #[arg(long, default_value = "neurons", value_parser = one_of(["neurons", "merges"], [EmbeddingRows::Neurons, EmbeddingRows::Merges]))]
    rows: EmbeddingRows,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// A choice of values by their names.
fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    names: [&'static str; N],
    values: [T; N],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names).map(move |chosen| {
        let place = names.iter().position(|name| *name == chosen);
        values[place.expect("one of the possible values")]
    })
}

pub(super) fn run(asked: EmbedArgs) -> anyhow::Result<ExitCode> {
    let destination = asked.output.destination()?.open(&asked.limits)?;
    let session = open(&asked.run)?.session(asked.limits.session_options())?;
    let embedder = Embedder::try_new(
        session,
        EmbedOptions {
            of: asked.of,
            method: asked.method,
            dimensions: asked.dimensions,
            perplexity: asked.perplexity,
            seed: asked.seed,
            epochs: asked.epoch,
            layer: asked.layer,
            linkage: asked.linkage,
            clusters: asked.clusters,
            at_most: None,
        },
    )?;
    let rows = embedder.into_rows(asked.rows, |embedding| say!("{}", embedding.verdict()));
    finish(async { destination.write(rows).await })
}

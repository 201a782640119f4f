//! The meta-model: whether the network is right, learned from its neurons.

use analysis::{MetaModelError, NUM_FOLDS};
use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Float32Type, Int32Type, Int64Type, SchemaRef};
use sql::{QueryError, QuerySession};
use trace::Table;

use crate::layer_values::Epochs;

/// The named query that does the work.
const META_MODEL: &str = "meta_model";

/// What is learned, and how.
#[derive(Debug, Clone)]
pub struct MetaOptions {
    /// The epochs, one or all.
    pub epochs: Epochs,
    /// The neurons of this layer alone; of all if not given.
    pub layer: Option<String>,
    /// So many neurons, the most important ones, or `all`.
    pub top: String,
    /// Trees of the random forest.
    pub trees: String,
    /// Every random choice follows from it.
    pub seed: String,
}

/// What was learned.
#[derive(Debug, Clone)]
pub struct MetaModel {
    /// How well it is learned, a sentence an epoch.
    pub scores: Vec<String>,
    /// The columns of the rows.
    pub schema: SchemaRef,
    /// A row a neuron, as the named query `meta_model` has them.
    pub rows: Vec<RecordBatch>,
}

/// Learns from the neurons whether the network is right about a held-out sample.
///
/// # Errors
/// If there is no such epoch or layer, or it cannot be learned there: the error says why, and what to do.
pub async fn meta_model(
    session: &QuerySession,
    options: MetaOptions,
) -> Result<MetaModel, QueryError> {
    if session.is_empty() {
        return Err(QueryError::NothingCaptured);
    }
    let MetaOptions {
        epochs,
        layer,
        top,
        trees,
        seed,
    } = options;
    let epochs = epochs.among(&session.captured_epochs())?;
    let known_layer = layer.as_deref().map(|layer| session.known_layer(layer));
    let layer = known_layer.transpose()?;
    let one_epoch = match epochs[..] {
        [epoch] => epoch.to_string(),
        _ => "all".to_owned(),
    };
    let given = [
        ("epoch", Some(one_epoch)),
        ("layer", layer.clone()),
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
    let rows = rows.collect().await?;
    if rows.iter().all(|batch| batch.num_rows() == 0) {
        let why = why_nothing(session, &epochs, layer.as_deref()).await?;
        return Err(QueryError::Mistake(why));
    }
    let scores = rows.iter().flat_map(scores_by_epoch).collect();
    Ok(MetaModel {
        scores,
        schema,
        rows,
    })
}

/// What an epoch has to learn from.
struct Material {
    epoch: i32,
    has_activations: bool,
    num_right: usize,
    num_wrong: usize,
}

impl Material {
    fn is_enough(&self) -> bool {
        self.has_activations && self.num_right.min(self.num_wrong) >= NUM_FOLDS
    }
}

/// Why nothing can be learned at these epochs, and what to do.
async fn why_nothing(
    session: &QuerySession,
    epochs: &[i32],
    layer: Option<&str>,
) -> Result<String, QueryError> {
    const RECORD: &str = "`recorder train --record activations,classifications` records both";
    let topology = &session.info().layers;
    let output = topology.output_layer().map(|layer| layer.layer.as_str());
    if topology.hidden_layers().next().is_none() {
        return Ok("the network has no hidden neurons to learn from, only its outputs".to_owned());
    }
    if layer.is_some() && layer == output {
        return Ok(format!(
            "{} is the output layer, and what is learned from are hidden neurons",
            output.unwrap_or_default()
        ));
    }
    let last = epochs.iter().copied().max().unwrap_or(i32::MAX);
    let tables = [Table::Activations, Table::Weights];
    if let Some(reason) = session.not_finite_in(&tables, layer).await?
        && reason.since <= last
    {
        return Ok(format!(
            "there is nothing to learn from: {reason}; training has diverged"
        ));
    }
    let there = materials(session, layer).await?;
    let of_epochs = match epochs {
        [epoch] => format!("epoch {epoch} was captured"),
        _ => "every epoch was captured".to_owned(),
    };
    let asked: Vec<&Material> = there.iter().filter(|m| epochs.contains(&m.epoch)).collect();
    if asked.is_empty() {
        return Ok(format!(
            "{of_epochs} without classifications of held-out samples, which say what the network is \
             right about: {RECORD}"
        ));
    }
    let with_activations = asked.iter().filter(|m| m.has_activations);
    // Of those that were asked for, the one that comes closest.
    let Some(best) = with_activations.max_by_key(|m| m.num_right.min(m.num_wrong)) else {
        let of_layer = layer.map_or(String::new(), |layer| format!(" of layer {layer}"));
        return Ok(format!(
            "{of_epochs} without activations{of_layer} of held-out samples, which are what is learned \
             from (statistics of them tell nothing of a sample): {RECORD}"
        ));
    };
    let epoch = best.epoch;
    if best.is_enough() {
        return Ok(format!(
            "at epoch {epoch} every neuron has activations that are not finite"
        ));
    }
    let too_few = MetaModelError::TooFew {
        num_right: best.num_right,
        num_samples: best.num_right + best.num_wrong,
    };
    // The last is nearest to the network that training ended with.
    let advice = match there.iter().rev().find(|other| other.is_enough()) {
        Some(other) => format!(
            "epoch {} has enough, with {} mistakes (--epoch {0})",
            other.epoch, other.num_wrong
        ),
        None => "no epoch that was captured has enough".to_owned(),
    };
    Ok(format!("at epoch {epoch} {too_few}; {advice}"))
}

/// What the epochs have that were captured with classifications, in order. Samples of which no
/// activations were kept do not count where others have some.
async fn materials(
    session: &QuerySession,
    layer: Option<&str>,
) -> Result<Vec<Material>, QueryError> {
    let of_layer = layer.map_or(String::new(), |layer| {
        format!("AND layer = '{}'", layer.replace('\'', "''"))
    });
    let sql = format!(
        "SELECT c.epoch, max(kept.samples) IS NOT NULL AS has_activations,
            count(*) FILTER (WHERE c.correct) AS num_right,
            count(*) FILTER (WHERE NOT c.correct) AS num_wrong
        FROM epochs.classifications c
        LEFT JOIN (
            SELECT epoch, min(array_length(activations)) AS samples FROM epochs.activations
            WHERE phase = 'eval' AND activations IS NOT NULL {of_layer}
            GROUP BY epoch
        ) kept ON kept.epoch = c.epoch
        WHERE c.phase = 'eval' AND c.correct IS NOT NULL AND coalesce(c.sample < kept.samples, true)
        GROUP BY c.epoch ORDER BY c.epoch"
    );
    let rows = session.sql(&sql).await?;
    let batches = rows.collect().await?;
    let of_batch = batches.iter().flat_map(|batch| {
        let count = |name: &str, row| {
            let count = batch[name].as_primitive::<Int64Type>().value(row);
            usize::try_from(count).unwrap_or(0)
        };
        (0..batch.num_rows()).map(move |row| Material {
            epoch: batch["epoch"].as_primitive::<Int32Type>().value(row),
            has_activations: batch["has_activations"].as_boolean().value(row),
            num_right: count("num_right", row),
            num_wrong: count("num_wrong", row),
        })
    });
    Ok(of_batch.collect())
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

//! Structures that the run's own values say.

use std::collections::BTreeMap;

use analysis::{Half, Measure};
use arrow::array::{AsArray, Int32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use sql::{QueryError, QuerySession};

use super::column::column;
use super::error::StructureError;
use super::{FoundBy, Structure, StructureNeuron};

/// The named query that finds them.
pub(super) const STRUCTURE_ONSET: &str = "structure_onset";

/// What is looked for, and where.
#[derive(Debug, Clone)]
pub struct FindOptions {
    /// The epoch, or `last`.
    pub epoch: String,
    /// Neurons of this class alone, by its number or name.
    pub class: Option<String>,
    /// Neurons of this layer alone, or of those that a glob fits.
    pub layer: Option<String>,
    /// The most neurons of a structure.
    pub size: u32,
    /// `positive` for neurons that are more active with the class, `negative`, or `any`.
    pub sign: String,
    /// What neurons are ranked by.
    pub measure: Measure,
    /// The samples that are looked at.
    pub half: Half,
    /// Of halves and permutations.
    pub seed: i64,
    /// How many permutations p-values are made of.
    pub permutations: u32,
    /// What a structure's name begins with; its class follows.
    pub prefix: String,
}

/// Finds structures: of each class the strongest neurons that chance does not explain.
///
/// # Errors
/// If the scores cannot be worked out, or an option makes no sense.
pub async fn find_structures(
    session: &QuerySession,
    options: &FindOptions,
) -> Result<Vec<Structure>, StructureError> {
    if options.epoch == "all" {
        return Err(QueryError::BadParameter {
            name: "epoch".to_owned(),
            problem: "is \"all\", but structures are found at one epoch".to_owned(),
        }
        .into());
    }
    let class = options.class.clone().unwrap_or_else(|| "all".to_owned());
    let mut arguments = vec![
        ("epoch", options.epoch.clone()),
        ("class", class),
        ("top", options.size.to_string()),
        ("sign", options.sign.clone()),
        ("measure", options.measure.name().to_owned()),
        ("permutations", options.permutations.to_string()),
        ("half", options.half.to_string()),
        ("seed", options.seed.to_string()),
    ];
    if let Some(layer) = &options.layer {
        arguments.push(("layer", layer.clone()));
    }
    let arguments: Vec<(String, String)> = arguments
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    let rows = session.named(STRUCTURE_ONSET, &arguments).await?;
    let rows = rows.collect().await.map_err(QueryError::from)?;
    let mut found: BTreeMap<i32, Structure> = BTreeMap::new();
    for batch in &rows {
        let int = |name: &str| {
            Ok::<_, QueryError>(column(STRUCTURE_ONSET, batch, name)?.as_primitive().clone())
        };
        let float = |name: &str| {
            let column = cast(column(STRUCTURE_ONSET, batch, name)?, &DataType::Float64)?;
            Ok::<_, QueryError>(column.as_primitive::<Float64Type>().clone())
        };
        let classes: Int32Array = int("class")?;
        let neurons: Int32Array = int("neuron")?;
        let first: Int32Array = int("first_epoch")?;
        let last: Int32Array = int("last_epoch")?;
        let (scores, p_values) = (float("score")?, float("p_value")?);
        let layers = column(STRUCTURE_ONSET, batch, "layer")?;
        let layers = cast(layers, &DataType::Utf8).map_err(QueryError::from)?;
        let layers = layers.as_string::<i32>();
        for row in 0..batch.num_rows() {
            let class = classes.value(row);
            let epoch = last.value(row);
            let capture = session
                .run()
                .capture_of(epoch)
                .ok_or(StructureError::NoCapture(epoch))?;
            let structure = found.entry(class).or_insert_with(|| Structure {
                name: format!(
                    "{}{}",
                    options.prefix,
                    session.info().class_name(class.into())
                ),
                class: Some(class),
                capture,
                neurons: Vec::new(),
                found: Some(FoundBy {
                    measure: options.measure,
                    half: options.half,
                    seed: options.seed,
                }),
            });
            structure.neurons.push(StructureNeuron {
                layer: layers.value(row).to_owned(),
                neuron: neurons.value(row),
                first_epoch: first.value(row),
                last_epoch: epoch,
                score: Some(scores.value(row)),
                p_value: Some(p_values.value(row)),
            });
        }
    }
    Ok(found.into_values().collect())
}
